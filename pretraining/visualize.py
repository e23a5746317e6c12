"""Pictures of a run: reconstructions, and the curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from foundation.files import atomic_writer

TILE_GAP = 4
MIN_TILE_SIDE = 96
"""Sides below this many pixels are enlarged by a whole factor, so that they can be seen."""


def write_image_grid(columns: Sequence[Tensor], path: Path) -> None:
    """A PNG with one row an image.

    Args:
        columns: each (N, 3, S, S) uint8: original, masked, reconstructed.
        path: of the file.
    """
    side = columns[0].shape[-1]
    factor = max(1, -(-MIN_TILE_SIDE // side))
    cell = side * factor + TILE_GAP
    sheet = np.full((len(columns[0]) * cell - TILE_GAP, len(columns) * cell - TILE_GAP, 3), 255, np.uint8)
    for place, column in enumerate(columns):
        for row, image in enumerate(column.permute(0, 2, 3, 1).cpu().numpy()):
            large = image.repeat(factor, 0).repeat(factor, 1)
            sheet[row * cell : row * cell + len(large), place * cell : place * cell + len(large)] = large
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_writer(path) as file:
        Image.fromarray(sheet).save(file, "PNG")


def write_loss_curves(rows: Sequence[dict[str, float | None]], unit: str, path: Path) -> None:
    """A PNG of the losses, and of the health check where there is one, over epochs or iterations."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    names = [name for name in rows[0] if name.startswith("loss_")]
    for name in (["loss"] if len(names) > 1 else []) + names:
        axes.plot(*_select_points(rows, name), label=name)
    axes.set_xlabel(unit)
    axes.set_ylabel("loss")
    axes.legend(loc="upper right")
    steps, shares = _select_points(rows, "knn")
    if steps:
        other = axes.twinx()
        other.plot(steps, shares, "k.--", label="k-NN, %")
        other.set_ylabel("k-NN on training images, %")
        other.set_ylim(0, 100)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_writer(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _select_points(rows: Sequence[dict[str, float | None]], name: str) -> tuple[list[float], list[float]]:
    """Steps and values, where there are any."""
    points = [(row["step"], row[name]) for row in rows]
    whole = [(step, value) for step, value in points if step is not None and value is not None]
    return [step for step, _ in whole], [value for _, value in whole]
