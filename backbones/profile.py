"""What a backbone costs on this machine: counts, peak memory, latency at batch 1, throughput at batch N."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbones.create import create_backbone
from backbones.flop_counter import compute_complexity
from backbones.memory import MEMORY_METHODS, measure_peak_memory
from backbones.registry import get_card
from foundation.errors import UserError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class TimingConfig:
    """How often a pass is timed.

    ``warmup`` dropped ones, ``min_passes`` times, then until ``time_budget`` (seconds) or ``max_passes``.
    """

    warmup: int = 5
    min_passes: int = 10
    max_passes: int = 200
    time_budget: float = 3.0


@dataclass(frozen=True)
class TimingSummary:
    """Times of single passes, milliseconds, in the order they were taken; the spread is the sample's."""

    median: float
    minimum: float
    maximum: float
    mean: float
    std: float
    p90: float
    raw: list[float]

    @classmethod
    def from_samples(cls, samples: list[float]) -> TimingSummary:
        """Summarise at least two timings."""
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
    """Profile a backbone with its classifier, randomly initialised (weights do not change the cost).

    Args:
        name: registry name or ``timm/<name>``.
        img_size: input side in pixels; the card's own when not given.
        batch_size: images at once for the throughput.
        device: ``cpu`` or ``cuda``.
        dtype: ``fp32``, ``bf16`` or ``fp16``, of weights and images; MACs and activations are counted under fp32.
        timing: how often passes are timed.

    Returns:
        Plain data: see ``profile_model``; with ``name``, ``architecture`` and ``classes``.

    Raises:
        UserError: unknown name, a size, device or precision that does not work.
    """
    card = get_card(name)
    size = (img_size, img_size) if img_size else card.input_size[1:]
    held = torch.cuda.memory_allocated() if device == "cuda" else 0
    model = create_backbone(card, img_size=size, checkpoint="random").model
    image = torch.randn(1, card.input_size[0], *size, generator=torch.Generator().manual_seed(0))
    head = {"name": name, "architecture": card.architecture, "img_size": list(size)}
    classes = getattr(model, "num_classes", None)
    try:
        cost = profile_model(model, image, batch_size, device, dtype, timing or TimingConfig(), held)
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
    """Profile any module that takes one batch of images; it is moved to the device and put into eval mode.

    Args:
        model: the module.
        image: one image, (1, channels, height, width), any values.
        batch_size: images at once for the throughput.
        device: ``cpu`` or ``cuda``.
        dtype: a key of ``DTYPES``.
        timing: how often passes are timed.
        baseline_bytes: bytes of the CUDA allocator before the model was made.

    Returns:
        ``counts`` (per image), ``memory`` (bytes at batch 1 and N, and how measured), ``latency`` (batch 1, ms),
        ``throughput`` (images per second, with the ms of each batch) and ``where``. Raw timings included.
    """
    counts = compute_complexity(model, [image])
    model = model.to(device, DTYPES[dtype]).eval()
    one = image.to(device, DTYPES[dtype])
    many = one.expand(batch_size, *one.shape[1:]).contiguous()
    latency = time_passes(lambda: model(one), device, timing)
    throughput = time_passes(lambda: model(many), device, timing)
    memory = {
        "batch_1": measure_peak_memory(model, [one], baseline_bytes),
        "batch_n": measure_peak_memory(model, [many], baseline_bytes),
    }
    return {
        "counts": counts.as_dict(),
        "memory": {"unit": "bytes", **memory, "method": MEMORY_METHODS[device]},
        "latency": {"batch": 1, "unit": "ms", **asdict(latency)},
        "throughput": {
            "batch": batch_size,
            "images_per_second": 1000 * batch_size / throughput.median,  # one slow pass does not move the median
            "unit": "ms",
            **asdict(throughput),
        },
        "where": {**describe_machine(device), "dtype": dtype, "repeats": asdict(timing)},
    }


def time_passes(call: Callable[[], object], device: str, timing: TimingConfig) -> TimingSummary:
    """Time single calls in inference mode; on a GPU each waits for the device to finish."""

    def once() -> float:
        _synchronize(device)
        start = time.perf_counter()
        call()
        _synchronize(device)
        return 1000 * (time.perf_counter() - start)

    with torch.inference_mode():
        for _ in range(timing.warmup):
            once()
        raw: list[float] = []
        end = time.perf_counter() + timing.time_budget
        while len(raw) < timing.min_passes or (len(raw) < timing.max_passes and time.perf_counter() < end):
            raw.append(once())
    return TimingSummary.from_samples(raw)


def describe_machine(device: str) -> dict[str, Any]:
    """What else decides a timing: the chip, threads, versions, and the precision of fp32 products."""
    chip = torch.cuda.get_device_name() if device == "cuda" else _cpu_model_name()
    return {
        "device": device,
        "chip": chip,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "tf32_convolutions": bool(torch.backends.cudnn.allow_tf32) if device == "cuda" else False,
    }


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _cpu_model_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
