"""Training curves of a run, from its TensorBoard logs."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

MAX_CURVE_POINTS = 150
"""Points of one curve; longer ones are thinned evenly."""

MAX_LOG_BYTES = 8_000_000
"""Bytes of an event file that is still read for a page."""


class TrainingCurve(NamedTuple):
    """One logged value; ``x_unit`` says what ``x`` counts: steps, epochs or validations."""

    name: str
    x_unit: str
    x: list[int]
    y: list[float]


def read_training_curves(run_folder: Path) -> list[TrainingCurve]:
    """The losses and the validation metrics that a run logged; of a resumed run the newest value of each step.

    Args:
        run_folder: its ``logs/`` hold mmengine's TensorBoard files.
    """
    files = [
        path for path in sorted(run_folder.glob("logs/*/vis_data/events.*")) if path.stat().st_size <= MAX_LOG_BYTES
    ]
    logged: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for path in files:
        for name, step, value in _read_scalar_events(path):
            if name in ("loss", "epoch") or "/" in name:
                logged[name].append((step, value))
    epochs = max((int(value) for _, value in logged.pop("epoch", [])), default=None)
    return [_build_curve(name, points, epochs) for name, points in sorted(logged.items())]


def _read_scalar_events(path: Path) -> list[tuple[str, int, float]]:
    """Name, step and value of each finite scalar of an event file; a torn end (a killed run) ends it."""
    from tensorboard.backend.event_processing.event_file_loader import (  # type: ignore[import-untyped]
        EventFileLoader,
    )

    found = []
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            number = value.tensor.float_val[0] if value.tensor.float_val else value.simple_value
            if math.isfinite(number):
                found.append((value.tag, int(event.step), float(number)))
    return found


def _build_curve(name: str, points: list[tuple[int, float]], epochs: int | None) -> TrainingCurve:
    steps = {step for step, _ in points}
    if len(steps) == 1 < len(points):  # validations are logged without their step
        points = list(enumerate((value for _, value in points), 1))
        over = "validation"
    else:
        points = sorted(dict(points).items())
        # mmengine logs the validations of a run in epochs by their epoch, its losses by their iteration
        over = "epoch" if name != "loss" and points[-1][0] == epochs else "step"
    every = math.ceil(len(points) / MAX_CURVE_POINTS)
    kept = points[::every] + ([points[-1]] if (len(points) - 1) % every else [])
    return TrainingCurve(name, over, [step for step, _ in kept], [float(f"{value:.5g}") for _, value in kept])
