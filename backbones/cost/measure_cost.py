"""Measure briefly what a backbone costs, for the record of each run. ``bench profile`` measures longer."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn

from backbones.cost.flop_counter import compute_complexity
from backbones.cost.profile import TimingConfig, describe_machine, start_device_load, time_passes

TIMED_SECONDS = 1.0
"""Time budget of each of the two measurements, in seconds; at least ``MIN_PASSES`` passes are timed in any case."""

MIN_PASSES = 3
STABLE_PASSES = 30
MAX_PASSES = 500
"""Passes at most. A quiet machine needs about 50 (``STABLE_PASSES`` without a new minimum); a busy one gets more, in
the same time budget."""

WARMUP_SECONDS = 0.1
"""Duration of each warm-up: the clock rate rises, and the load of other processes is measured long enough."""

MAX_BATCH_SIZE = 16

_SHARED: ContextVar[dict[tuple[Any, ...], dict[str, Any]] | None] = ContextVar("shared measurements", default=None)
"""What was measured inside ``share_measurements``, by what decides it; ``None`` outside."""


@contextmanager
def share_measurements() -> Iterator[None]:
    """Measure each model once for all runs inside, which follow one another on one machine within minutes.

    ``bench demo`` runs two backbones under several protocols and seeds; measuring each run anew would take a fifth of
    its time. A run that a user asks for is measured by itself, because hours may lie between two of those.
    """
    token = _SHARED.set({})
    try:
        yield
    finally:
        _SHARED.reset(token)


def measure_efficiency(
    model: nn.Module, input_size: tuple[int, int, int], device: str, *, with_timing: bool
) -> dict[str, Any]:
    """Count the cost of a backbone as a run created it, and optionally time it in fp32.

    A copy is measured: moving a model to a device, running it, and what some models keep from a pass would change the
    one that the run goes on to train. No random number is drawn that the run would have drawn.

    Args:
        model: the backbone, with the run's weights (which do not change the cost).
        input_size: channels, height and width of its input, in pixels.
        device: ``cpu`` or ``cuda``.
        with_timing: also measure latency and throughput. This takes up to about two seconds for a light backbone; for a
            slow one, it takes ``MIN_PASSES`` passes and one to warm up.

    Returns:
        The fields of a record's ``cost.efficiency``. Throughput is measured at the largest power of two up to
        ``MAX_BATCH_SIZE`` for which ``MIN_PASSES`` batches fit into ``TIMED_SECONDS``.
    """
    # the modules and their sizes decide the cost, which repr() writes; the values of the weights make no difference
    key = (repr(model), input_size, device, with_timing, torch.get_num_threads())
    shared = _SHARED.get()
    if shared is None:
        return _measure_once(model, input_size, device, with_timing)
    if key not in shared:
        shared[key] = _measure_once(model, input_size, device, with_timing)
    return copy.deepcopy(shared[key])


def _measure_once(model: nn.Module, input_size: tuple[int, int, int], device: str, with_timing: bool) -> dict[str, Any]:
    # A generator of its own, and the others put back: the run draws the same random numbers with and without this.
    image = torch.randn(1, *input_size, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        twin = copy.deepcopy(model)
        found: dict[str, Any] = {"img_size": list(input_size[1:]), **compute_complexity(twin, [image]).as_dict()}
        return {**found, **_time_model(twin, image, device)} if with_timing else found


def make_brief_timing() -> TimingConfig:
    """Return the budget of a timing beside a run: the same for backbones, exports and trackers."""
    return TimingConfig(
        warmup=1,
        min_passes=MIN_PASSES,
        max_passes=MAX_PASSES,
        time_budget=TIMED_SECONDS,
        stable_passes=STABLE_PASSES,
        warmup_seconds=min(WARMUP_SECONDS, TIMED_SECONDS),
    )


def _time_model(model: torch.nn.Module, image: torch.Tensor, device: str) -> dict[str, Any]:
    """Measure latency at batch 1 and throughput; return them with the machine that they were measured on."""
    model = model.to(device, torch.float32).eval()
    one = image.to(device)
    repeats = make_brief_timing()
    measure_load = start_device_load(device)
    latency = time_passes(lambda: model(one), device, repeats)
    # latency is in ms; assume that a batch takes at most its size times as long as one image
    batch = 1
    while batch < MAX_BATCH_SIZE and 2 * batch * latency.median * MIN_PASSES <= 1000 * TIMED_SECONDS:
        batch *= 2
    # contiguous() copies: a batch of views of one image would have better cache behavior than real images
    many = one.expand(batch, *one.shape[1:]).contiguous()
    # too slow for a batch of two: batch 1 has just been timed
    throughput = latency if batch == 1 else time_passes(lambda: model(many), device, repeats)
    machine = describe_machine(device)
    return {
        "latency": {"batch": 1, "raw_ms": latency.raw},
        "throughput": {"batch": batch, "raw_ms": throughput.raw},
        "chip": machine["chip"],
        "threads": machine["threads"],
        "runtime": f"torch {machine['torch']}",
        "precision": "fp32",
        **measure_load()._asdict(),
    }
