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
from backbones.flop_counter import count
from backbones.memory import METHODS, peak_memory
from backbones.registry import get_card
from foundation.errors import UserError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Repeats:
    """How often a pass is timed: ``warmup`` dropped ones, ``least`` times, then until ``seconds`` or ``most``."""

    warmup: int = 5
    least: int = 10
    most: int = 200
    seconds: float = 3.0


@dataclass(frozen=True)
class Timings:
    """Times of single passes, milliseconds, in the order they were taken; the spread is the sample's."""

    median: float
    minimum: float
    maximum: float
    mean: float
    std: float
    p90: float
    raw: list[float]

    @classmethod
    def of(cls, raw: list[float]) -> Timings:
        """Summarise at least two timings."""
        p90 = statistics.quantiles(raw, n=10, method="inclusive")[-1]
        spread = statistics.stdev(raw)
        return cls(statistics.median(raw), min(raw), max(raw), statistics.fmean(raw), spread, p90, raw)


def profile_backbone(
    name: str,
    *,
    img_size: int | None = None,
    batch: int = 16,
    device: str = "cpu",
    dtype: str = "fp32",
    repeats: Repeats | None = None,
) -> dict[str, Any]:
    """Profile a backbone with its classifier, randomly initialised (weights do not change the cost).

    Args:
        name: registry name or ``timm/<name>``.
        img_size: input side in pixels; the card's own when not given.
        batch: images at once for the throughput.
        device: ``cpu`` or ``cuda``.
        dtype: ``fp32``, ``bf16`` or ``fp16``, of weights and images; MACs and activations are counted under fp32.
        repeats: how often passes are timed.

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
        cost = profile_model(model, image, batch, device, dtype, repeats or Repeats(), held)
    except torch.OutOfMemoryError as error:
        raise UserError(f"{name} at {size[0]} px and batch {batch} does not fit into memory; lower --batch") from error
    except (RuntimeError, NotImplementedError, AssertionError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{name} does not run at {size[0]} x {size[1]} px, batch {batch}, {dtype} on {device} ({first}); "
            "try --dtype fp32, another --img-size or a smaller --batch"
        ) from error
    return {**head, "classes": classes, **cost}


def profile_model(
    model: nn.Module,
    image: Tensor,
    batch: int,
    device: str,
    dtype: str,
    repeats: Repeats,
    held_before: int = 0,
) -> dict[str, Any]:
    """Profile any module that takes one batch of images; it is moved to the device and put into eval mode.

    Args:
        model: the module.
        image: one image, (1, channels, height, width), any values.
        batch: images at once for the throughput.
        device: ``cpu`` or ``cuda``.
        dtype: a key of ``DTYPES``.
        repeats: how often passes are timed.
        held_before: bytes of the CUDA allocator before the model was made.

    Returns:
        ``counts`` (per image), ``memory`` (bytes at batch 1 and N, and how measured), ``latency`` (batch 1, ms),
        ``throughput`` (images per second, with the ms of each batch) and ``where``. Raw timings included.
    """
    counts = count(model, [image])
    model = model.to(device, DTYPES[dtype]).eval()
    one = image.to(device, DTYPES[dtype])
    many = one.expand(batch, *one.shape[1:]).contiguous()
    latency = time_passes(lambda: model(one), device, repeats)
    throughput = time_passes(lambda: model(many), device, repeats)
    memory = {"batch_1": peak_memory(model, [one], held_before), "batch_n": peak_memory(model, [many], held_before)}
    return {
        "counts": counts.as_dict(),
        "memory": {"unit": "bytes", **memory, "method": METHODS[device]},
        "latency": {"batch": 1, "unit": "ms", **asdict(latency)},
        "throughput": {
            "batch": batch,
            "images_per_second": 1000 * batch / throughput.median,  # one slow pass does not move the median
            "unit": "ms",
            **asdict(throughput),
        },
        "where": {**describe_machine(device), "dtype": dtype, "repeats": asdict(repeats)},
    }


def time_passes(call: Callable[[], object], device: str, repeats: Repeats) -> Timings:
    """Time single calls in inference mode; on a GPU each waits for the device to finish."""

    def once() -> float:
        _synchronise(device)
        start = time.perf_counter()
        call()
        _synchronise(device)
        return 1000 * (time.perf_counter() - start)

    with torch.inference_mode():
        for _ in range(repeats.warmup):
            once()
        raw: list[float] = []
        end = time.perf_counter() + repeats.seconds
        while len(raw) < repeats.least or (len(raw) < repeats.most and time.perf_counter() < end):
            raw.append(once())
    return Timings.of(raw)


def describe_machine(device: str) -> dict[str, Any]:
    """What else decides a timing: the chip, threads, versions, and the precision of fp32 products."""
    chip = torch.cuda.get_device_name() if device == "cuda" else _processor()
    return {
        "device": device,
        "chip": chip,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "tf32_convolutions": bool(torch.backends.cudnn.allow_tf32) if device == "cuda" else False,
    }


def _synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
