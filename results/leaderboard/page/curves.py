"""Read the training curves of a run from its TensorBoard logs."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

MAX_CURVE_POINTS = 150
"""Maximum number of points of a curve. Longer curves are subsampled evenly."""

MAX_LOG_BYTES = 8_000_000
"""Maximum size of an event file in bytes. Larger files are left out, since building a page should take seconds."""


class TrainingCurve(NamedTuple):
    """One logged value over the course of the training.

    Attributes:
        name: tag of the value, for example ``loss`` or ``val/top1``.
        x_unit: what ``x`` counts: ``step``, ``epoch`` or ``validation``.
        x, y: the points of the curve.
    """

    name: str
    x_unit: str
    x: list[int]
    y: list[float]


def read_training_curves(run_folder: Path) -> list[TrainingCurve]:
    """Read the losses and validation metrics of a run. If it was resumed, the newest value of each step is used.

    Args:
        run_folder: folder of the run, with mmengine's TensorBoard files below ``logs/``.
    """
    # regular files only: a foreign folder may hold a link into nowhere, or a pipe that never ends
    files = [
        path
        for path in sorted(run_folder.glob("logs/*/vis_data/events.*"))
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_LOG_BYTES
    ]
    logged: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for path in files:
        for name, step, value in _read_scalar_events(path):
            # validation metrics have a prefix such as "val/"; learning rates, times and memory are left out
            if name in ("loss", "epoch") or "/" in name:
                logged[name].append((step, value))
    # the last epoch is not a curve, but tells _build_curve whether validations were logged by epoch
    epochs = max((int(value) for _, value in logged.pop("epoch", [])), default=None)
    return [_build_curve(name, points, epochs) for name, points in sorted(logged.items())]


def _read_scalar_events(path: Path) -> list[tuple[str, int, float]]:
    """Return name, step and value of each finite scalar in an event file.

    Reading stops at an incomplete last event, which a killed run leaves behind.
    """
    # importing tensorboard takes about a second, so only pages with curves pay for it
    from tensorboard.backend.event_processing.event_file_loader import (  # type: ignore[import-untyped]
        EventFileLoader,
    )

    found = []
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            # TensorBoard's loader converts plain scalars to tensors; simple_value is for events that it leaves as is
            number = value.tensor.float_val[0] if value.tensor.float_val else value.simple_value
            if math.isfinite(number):
                found.append((value.tag, int(event.step), float(number)))
    return found


def _build_curve(name: str, points: list[tuple[int, float]], epochs: int | None) -> TrainingCurve:
    """Build a curve from logged (step, value) points; ``epochs`` is the last epoch that was logged, if any."""
    steps = {step for step, _ in points}
    if len(steps) == 1 < len(points):  # validations were logged without their step, so all have the same one
        points = list(enumerate((value for _, value in points), 1))
        over = "validation"
    else:
        points = sorted(dict(points).items())  # dict: of several values of one step, the last one logged remains
        # in an epoch-based run, mmengine logs validations by epoch and losses by iteration
        over = "epoch" if name != "loss" and points[-1][0] == epochs else "step"
    every = math.ceil(len(points) / MAX_CURVE_POINTS)
    # always keep the last point: it is the value with which the training ended
    kept = points[::every] + ([points[-1]] if (len(points) - 1) % every else [])
    return TrainingCurve(name, over, [step for step, _ in kept], [float(f"{value:.5g}") for _, value in kept])
