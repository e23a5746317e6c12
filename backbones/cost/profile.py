"""Profile a backbone on this machine: counts, peak memory, latency at batch 1, throughput at batch N."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from backbones.cost.flop_counter import compute_complexity
from backbones.cost.memory import MEMORY_METHODS, measure_peak_memory
from backbones.create import create_backbone
from backbones.registry import get_card
from foundation.errors import UserError
from foundation.machine.machine_load import (
    MachineLoad,
    get_processor_name,
    is_machine_busy,
    is_minimum_stable,
    start_load_meter,
)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class TimingConfig:
    """How often a forward pass is timed.

    Attributes:
        warmup: passes before the first timed one.
        min_passes: passes that are timed in any case; at least 2.
        max_passes: passes that are timed at most.
        time_budget: seconds after which no further pass is started.
        stable_passes: no further pass is started once the last ``stable_passes`` found no new minimum and the median
            is close to it.
        warmup_seconds: how long the warm-up takes at least.
    """

    warmup: int = 5
    min_passes: int = 10
    max_passes: int = 500
    time_budget: float = 3.0
    stable_passes: int = 150
    warmup_seconds: float = 0.2


@dataclass(frozen=True)
class TimingSummary:
    """Times of single passes, in milliseconds.

    Attributes:
        median: median of the times.
        minimum: shortest time.
        maximum: longest time.
        mean: arithmetic mean.
        std: standard deviation of the sample (divided by n - 1).
        p90: 90th percentile.
        raw: all times, in the order in which they were measured.
    """

    median: float
    minimum: float
    maximum: float
    mean: float
    std: float
    p90: float
    raw: list[float]

    @classmethod
    def from_samples(cls, samples: list[float]) -> TimingSummary:
        """Summarize at least two times.

        Args:
            samples: times in milliseconds.
        """
        # "inclusive" interpolates between the samples and never goes beyond the largest
        p90 = statistics.quantiles(samples, n=10, method="inclusive")[-1]
        spread = statistics.stdev(samples)
        return cls(
            statistics.median(samples), min(samples), max(samples), statistics.fmean(samples), spread, p90, samples
        )


def profile_backbone(
    name: str,
    *,
    img_size: int | None = None,
    batch_size: int = 16,
    device: str = "cpu",
    dtype: str = "fp32",
    timing: TimingConfig | None = None,
) -> dict[str, Any]:
    """Profile a backbone with its classifier and random weights, which do not change the cost.

    Args:
        name: registry name or ``timm/<name>``.
        img_size: input side in pixels; the card's when not given.
        batch_size: images per batch for the throughput.
        device: ``cpu`` or ``cuda``.
        dtype: ``fp32``, ``bf16`` or ``fp16``, for weights and images. MACs and activations are always counted in fp32.
        timing: how often passes are timed.

    Returns:
        Plain data: that of ``profile_model``, with ``name``, ``architecture``, ``img_size`` and ``classes``.

    Raises:
        UserError: the name is unknown, or the size, device or precision does not work.
    """
    card = get_card(name)
    size = (img_size, img_size) if img_size else card.input_size[1:]
    # measured before the model exists, so that other tensors on the GPU are not counted as its memory
    allocated = torch.cuda.memory_allocated() if device == "cuda" else 0
    model = create_backbone(card, img_size=size, checkpoint="random").model
    image = torch.randn(1, card.input_size[0], *size, generator=torch.Generator().manual_seed(0))
    head = {"name": name, "architecture": card.architecture, "img_size": list(size)}
    classes = getattr(model, "num_classes", None)
    try:
        cost = profile_model(model, image, batch_size, device, dtype, timing or TimingConfig(), allocated)
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"{name} at {size[0]} px and batch {batch_size} does not fit into memory; lower --batch"
        ) from error
    except (RuntimeError, NotImplementedError, AssertionError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{name} does not run at {size[0]} x {size[1]} px, batch {batch_size}, {dtype} on {device} ({first}); "
            "try --dtype fp32, another --img-size or a smaller --batch"
        ) from error
    return {**head, "classes": classes, **cost}


def profile_model(
    model: nn.Module,
    image: Tensor,
    batch_size: int,
    device: str,
    dtype: str,
    timing: TimingConfig,
    baseline_bytes: int = 0,
) -> dict[str, Any]:
    """Profile any module that takes one batch of images.

    The module is moved to the device and put into eval mode.

    Args:
        model: the module.
        image: one image with any values, shape (1, channels, height, width).
        batch_size: images per batch for the throughput.
        device: ``cpu`` or ``cuda``.
        dtype: a key of ``DTYPES``.
        timing: how often passes are timed.
        baseline_bytes: bytes that the CUDA allocator held before the model was created.

    Returns:
        ``counts`` (per image), ``memory`` (bytes at batch 1 and N, and how they were measured), ``latency`` (ms at
        batch 1), ``throughput`` (images per second, and ms per batch) and ``where`` (the machine and the settings). All
        single times are included, and ``is_busy`` says whether something else kept the machine busy meanwhile.
    """
    # counted before the model changes its precision
    counts = compute_complexity(model, [image])
    model = model.to(device, DTYPES[dtype]).eval()
    one = image.to(device, DTYPES[dtype])
    many = one.expand(batch_size, *one.shape[1:]).contiguous()
    measure_load = start_device_load(device)
    latency = time_passes(lambda: model(one), device, timing)
    throughput = time_passes(lambda: model(many), device, timing)
    load, threads = measure_load(), torch.get_num_threads()
    # after the timing, so that the libraries have allocated their workspaces
    memory = {
        "batch_1": measure_peak_memory(model, [one], baseline_bytes),
        "batch_n": measure_peak_memory(model, [many], baseline_bytes),
    }
    return {
        "counts": counts.as_dict(),
        "memory": {"unit": "bytes", **memory, "method": MEMORY_METHODS[device]},
        "latency": {
            "batch": 1,
            "unit": "ms",
            "is_busy": is_machine_busy(latency.raw, load, threads),
            **asdict(latency),
        },
        "throughput": {
            "batch": batch_size,
            # from the median, which one slow pass does not change
            "images_per_second": 1000 * batch_size / throughput.median,
            "unit": "ms",
            "is_busy": is_machine_busy(throughput.raw, load, threads),
            **asdict(throughput),
        },
        "where": {**describe_machine(device), **load._asdict(), "dtype": dtype, "repeats": asdict(timing)},
    }


def time_passes(call: Callable[[], object], device: str, timing: TimingConfig) -> TimingSummary:
    """Time single calls in inference mode, until the shortest time is stable.

    Args:
        call: what is timed, usually one forward pass.
        device: ``cpu`` or ``cuda``; on a GPU, each call is timed until the device has finished.
        timing: how often it is timed.

    Returns:
        The times in milliseconds.
    """

    def once() -> float:
        _synchronize(device)  # a CUDA call returns before its kernels have run
        start = time.perf_counter()
        call()
        _synchronize(device)
        return 1000 * (time.perf_counter() - start)

    with torch.inference_mode():
        warm = time.perf_counter() + timing.warmup_seconds
        passes = 0
        while passes < timing.warmup or time.perf_counter() < warm:
            once()
            passes += 1
        raw: list[float] = []
        end = time.perf_counter() + timing.time_budget
        while len(raw) < timing.min_passes or (
            len(raw) < timing.max_passes and time.perf_counter() < end and not _has_settled(raw, timing.stable_passes)
        ):
            raw.append(once())
    return TimingSummary.from_samples(raw)


def _has_settled(raw: list[float], stable_passes: int) -> bool:
    """Return whether more passes would hardly change the times: a disturbance that passes is waited for."""
    return is_minimum_stable(raw, stable_passes) and not is_machine_busy(raw)


def start_device_load(device: str) -> Callable[[], MachineLoad]:
    """Start to measure what else the machine does; on a GPU, the load of the processors says nothing about the times.

    Args:
        device: ``cpu`` or ``cuda``.
    """
    return start_load_meter() if device == "cpu" else MachineLoad


def describe_machine(device: str) -> dict[str, Any]:
    """Return what a timing depends on besides the model: chip, threads, version, precision of fp32 products."""
    chip = torch.cuda.get_device_name() if device == "cuda" else get_processor_name()
    return {
        "device": device,
        "chip": chip,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "tf32_convolutions": bool(torch.backends.cudnn.allow_tf32) if device == "cuda" else False,
    }


def _synchronize(device: str) -> None:
    """Wait until the GPU has finished all queued work."""
    if device == "cuda":
        torch.cuda.synchronize()
    # work is queued there as on CUDA, so a time without waiting would be that of the queueing
    elif device == "mps":
        torch.mps.synchronize()
