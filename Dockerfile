# bench in a container: a small image with the command as its entry point, run by a user without rights.
#
#   docker build -t bench .                                              # for CPUs
#   docker build -t bench:cuda --build-arg PIP_EXTRA_INDEX_URL= .        # for NVIDIA GPUs, 6 GB larger
#   docker run --rm -v "$PWD:/work" -v bench-cache:/cache bench run digits --backbone vit_nano
#
# docs/guides/install.md says more: GPUs, your own user, shared memory. Which of these lines have been run is there too.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
# PyTorch's own index has builds for CPUs alone. pip prefers them, because 2.15.0+cpu counts as later than 2.15.0; with an
# empty value, which pip ignores, it takes the builds with CUDA's libraries.
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
WORKDIR /source
RUN python -m venv /opt/bench
ENV PATH=/opt/bench/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# the packages first, so that a change of bench's own source leaves this layer alone
COPY requirements.lock .
RUN pip install -c requirements.lock torch torchvision
COPY . .
RUN pip install -c requirements.lock ".[deploy,parquet]"
# the same OpenCV without windows, which would need a hundred megabytes of the system's graphics; nobody looks at them here
RUN version="$(python -c 'from importlib.metadata import version; print(version("opencv-python"))')" \
    && pip uninstall --yes opencv-python \
    && pip install "opencv-python-headless==${version}" \
    && bench doctor

FROM python:${PYTHON}-slim-bookworm
LABEL org.opencontainers.image.title="bench" org.opencontainers.image.licenses="Apache-2.0"
# bench starts long CPU runs with it, which keeps memory between steps (docs/explanation/measurements.md); any version does
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends libjemalloc2 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/bench /opt/bench
# /cache is for whatever user the container is started with, so it is open like /tmp
RUN useradd --create-home --uid 1000 bench && mkdir -m 1777 /cache && mkdir -m 755 /data && install -d -o bench /work
ENV PATH=/opt/bench/bin:$PATH \
    BENCH_CACHE=/cache/bench BENCH_DATA=/data \
    HF_HOME=/cache/huggingface MPLCONFIGDIR=/cache/matplotlib \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# a number, by which Kubernetes can see that it is not root
USER 1000
WORKDIR /work
VOLUME /cache
ENTRYPOINT ["bench"]
CMD ["--help"]
