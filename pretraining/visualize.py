"""Draw the pictures of a pre-training: reconstructions and loss curves."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from engine.pictures.encoding import make_picture
from engine.pictures.layout import arrange_grid, draw_text_lines, resize_to_width, stack_images
from results.records.picture_manifest import PICTURES_DIR, DrawnPicture
from results.records.record import Record
from results.statistics.item_files import read_item_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

TILE_GAP = 4  # pixels between two images
TILE_SIZES = (120, 224)
"""Smallest and largest side of a tile, pixels: a smaller one leaves no room for its title."""
COLUMN_TITLES = ("image", "masked", "reconstruction")
_OLD_RECONSTRUCTIONS = "reconstructions.png"  # of runs before the manifest; without titles
_CAPTION = (
    "Gray parts were hidden from the encoder; the reconstruction shows its own guess there, and the image elsewhere."
)


def draw_reconstructions(columns: Sequence[Tensor], has_true_contrast: bool) -> DrawnPicture:
    """Draw one row per image: the image, what the encoder saw of it, and the reconstruction.

    Args:
        columns: one (N, 3, S, S) uint8 tensor for each of ``COLUMN_TITLES``.
        has_true_contrast: whether mean and contrast of each reconstructed patch are those of the image.
    """
    side = columns[0].shape[-1]
    # a small image is enlarged by an integer factor, so that its pixels and patches stay equally large
    width = min(side * max(1, -(-TILE_SIZES[0] // side)), TILE_SIZES[1])
    tiles = [
        resize_to_width(image.permute(1, 2, 0).cpu().numpy(), width)
        for row in zip(*columns, strict=True)
        for image in row
    ]
    note = (
        " Mean and contrast of each patch are those of the image, as the method predicts none."
        if has_true_contrast
        else ""
    )
    return _add_column_titles(arrange_grid(tiles, len(columns), TILE_GAP), _CAPTION + note)


def _add_column_titles(grid: Image.Image, caption: str) -> DrawnPicture:
    width = (grid.width - TILE_GAP * (len(COLUMN_TITLES) - 1)) // len(COLUMN_TITLES)
    titles = arrange_grid([draw_text_lines([title], width) for title in COLUMN_TITLES], len(COLUMN_TITLES), TILE_GAP)
    title = "reconstructions of training images"
    return make_picture(stack_images([titles, grid]), "reconstruction", "reconstruction", title, caption=caption)


def draw_pretraining_curve(folder: Path, record: Record) -> DrawnPicture:
    """Draw the losses, and the k-NN check if there is one, over epochs or iterations.

    Args:
        folder: the run's folder; its ``items.csv`` is read.
        record: the run's record.
    """
    columns = {
        name: [float(value) if value else None for value in values]
        for name, values in read_item_table(folder, record).columns.items()
    }
    unit = "epoch" if record.config["recipe"].get("epochs") is not None else "iteration"
    stream = io.BytesIO()
    plot_loss_curves(columns, unit).savefig(stream, format="png", dpi=110, metadata={"Software": None})
    image = Image.open(stream).convert("RGB")
    # the k-NN check is made in a few rows only
    caption = "The k-NN check classifies training images by their neighbours." if any(columns.get("knn", ())) else ""
    return make_picture(image, "curve", "curve", f"loss over the training, by {unit}", caption=caption)


def plot_loss_curves(columns: Mapping[str, Sequence[float | None]], unit: str) -> Figure:
    """Draw the losses, and the k-NN check if there is one, over epochs or iterations.

    Args:
        columns: the columns of the curve: ``step``, ``loss``, its parts ``loss_...``, and ``knn``.
        unit: label of the horizontal axis: ``epoch`` or ``iteration``.
    """
    # not pyplot: it would need a display, and keeps every figure in memory
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.add_subplot()
    parts = [name for name in columns if name.startswith("loss_")]
    # the sum is drawn only if it consists of several losses
    for name in (["loss"] if len(parts) > 1 else []) + (parts or ["loss"]):
        # a training of one step is a point, which a line would not show
        axes.plot(*_select_points(columns, name), label=name, marker="." if len(columns["step"]) < 30 else "")
    axes.set_xlabel(unit)
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(
        MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
    )  # there is no half epoch
    axes.grid(True, linestyle=":", color="0.8")
    steps, accuracies = _select_points(columns, "knn")
    if steps:
        other = axes.twinx()
        other.plot(steps, accuracies, "ks--", markersize=5, linewidth=1, label="k-NN check, % (right axis)")
        other.set_ylabel("k-NN accuracy on training images, %")
        other.set_ylim(0, 105)  # above 100, so that the mark of a perfect check is not cut
    # one legend for both axes, below them, where it hides no mark
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def _select_points(columns: Mapping[str, Sequence[float | None]], name: str) -> tuple[list[float], list[float]]:
    """Return the steps and values of the rows that contain a value (the k-NN check is not made in every row)."""
    points = zip(columns["step"], columns.get(name, ()), strict=False)
    present = [(step, value) for step, value in points if step is not None and value is not None]
    return [step for step, _ in present], [value for _, value in present]


def draw_stored_pretraining(folder: Path, record: Record) -> list[DrawnPicture]:
    """Draw what the folder of a run still holds: its curve, and the reconstructions that an older run drew.

    Args:
        folder: the run's folder.
        record: the run's record.
    """
    old = folder / PICTURES_DIR / _OLD_RECONSTRUCTIONS
    pictures = []
    if old.is_file() and not old.is_symlink():
        with Image.open(old) as opened:
            grid = opened.convert("RGB")
        factor = -(-len(COLUMN_TITLES) * TILE_SIZES[0] // grid.width)  # rounded up
        large = grid.resize((grid.width * factor, grid.height * factor), Image.Resampling.NEAREST)
        pictures.append(_add_column_titles(large, _CAPTION))
    return [*pictures, draw_pretraining_curve(folder, record)]
