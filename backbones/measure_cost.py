"""A short look at what a backbone costs, for the record of each run; ``bench profile`` looks longer."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from backbones.flop_counter import compute_complexity
from backbones.profile import TimingConfig, describe_machine, time_passes

TIMED_SECONDS = 1.0
"""Timed seconds of each of the two measurements; a pass that takes longer is still timed ``MIN_PASSES`` times."""

MIN_PASSES = 3
MAX_PASSES = 50
MAX_BATCH_SIZE = 16


def measure_efficiency(
    model: nn.Module, input_size: tuple[int, int, int], device: str, *, with_timing: bool
) -> dict[str, Any]:
    """Count a backbone as a run made it, and time it in fp32.

    What is measured is a copy: moving a model to a device, running it, and what some models keep from a pass would
    change the one that the run goes on to train. No random number is drawn that the run would have drawn.

    Args:
        model: the backbone, with the run's weights (which change no cost).
        input_size: channels, height and width of its input, pixels.
        device: ``cpu`` or ``cuda``.
        with_timing: whether to take times too: about two seconds for a light backbone; ``MIN_PASSES`` passes, and one
            before them, for a slow one.

    Returns:
        The fields of a record's ``cost.efficiency``. The throughput is taken at the largest batch, a power of two up
        to ``MAX_BATCH_SIZE``, of which three passes fit into ``TIMED_SECONDS``.
    """
    image = torch.randn(1, *input_size, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        twin = copy.deepcopy(model)
        found: dict[str, Any] = {"img_size": list(input_size[1:]), **compute_complexity(twin, [image]).as_dict()}
        return {**found, **_time_model(twin, image, device)} if with_timing else found


def _time_model(model: torch.nn.Module, image: torch.Tensor, device: str) -> dict[str, Any]:
    model = model.to(device, torch.float32).eval()
    one = image.to(device)
    repeats = TimingConfig(warmup=1, min_passes=MIN_PASSES, max_passes=MAX_PASSES, time_budget=TIMED_SECONDS)
    latency = time_passes(lambda: model(one), device, repeats)
    batch = 1
    while batch < MAX_BATCH_SIZE and 2 * batch * latency.median * MIN_PASSES <= 1000 * TIMED_SECONDS:
        batch *= 2
    many = one.expand(batch, *one.shape[1:]).contiguous()
    # a backbone too slow for a batch of two within the time has been timed already
    throughput = latency if batch == 1 else time_passes(lambda: model(many), device, repeats)
    machine = describe_machine(device)
    return {
        "latency": {"batch": 1, "raw_ms": latency.raw},
        "throughput": {"batch": batch, "raw_ms": throughput.raw},
        "chip": machine["chip"],
        "threads": machine["threads"],
        "runtime": f"torch {machine['torch']}",
        "precision": "fp32",
    }
