"""Draw the pictures of a pre-training: reconstructions and loss curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from foundation.files import atomic_writer

TILE_GAP = 4  # pixels between two images
MIN_TILE_SIDE = 96
"""Smaller images are enlarged by an integer factor until their side has at least this many pixels."""


def write_image_grid(columns: Sequence[Tensor], path: Path) -> None:
    """Write a PNG with one row per image.

    Args:
        columns: one (N, 3, S, S) uint8 tensor per column: original, masked, reconstructed.
        path: the file to write.
    """
    side = columns[0].shape[-1]
    factor = max(1, -(-MIN_TILE_SIDE // side))  # rounded up
    cell = side * factor + TILE_GAP
    sheet = np.full((len(columns[0]) * cell - TILE_GAP, len(columns) * cell - TILE_GAP, 3), 255, np.uint8)
    for column_index, column in enumerate(columns):
        for row, image in enumerate(column.permute(0, 2, 3, 1).cpu().numpy()):
            large = image.repeat(factor, 0).repeat(factor, 1)  # repeats pixels, so that patches keep sharp edges
            top, left = row * cell, column_index * cell
            sheet[top : top + len(large), left : left + len(large)] = large
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_writer(path) as file:
        Image.fromarray(sheet).save(file, "PNG")


def write_loss_curves(rows: Sequence[dict[str, float | None]], unit: str, path: Path) -> None:
    """Write a PNG of the losses, and of the k-NN check if there is one, over epochs or iterations.

    Args:
        rows: the rows of the curve.
        unit: label of the horizontal axis: ``epoch`` or ``iteration``.
        path: the file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # not pyplot: it would need a display, and keeps every figure in memory
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    names = [name for name in rows[0] if name.startswith("loss_")]
    # the sum is drawn only if it consists of several losses
    for name in (["loss"] if len(names) > 1 else []) + names:
        axes.plot(*_select_points(rows, name), label=name)
    axes.set_xlabel(unit)
    axes.set_ylabel("loss")
    axes.legend(loc="upper right")
    steps, accuracies = _select_points(rows, "knn")
    if steps:
        other = axes.twinx()
        other.plot(steps, accuracies, "k.--", label="k-NN, %")
        other.set_ylabel("k-NN on training images, %")
        other.set_ylim(0, 100)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_writer(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _select_points(rows: Sequence[dict[str, float | None]], name: str) -> tuple[list[float], list[float]]:
    """Return the steps and values of the rows that contain a value (the k-NN check is not made in every row)."""
    points = [(row["step"], row[name]) for row in rows]
    present = [(step, value) for step, value in points if step is not None and value is not None]
    return [step for step, _ in present], [value for _, value in present]
