"""The pictures of a pre-training: whole epochs, a legend for all marks, and titles above the columns."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from pretraining.visualize import TILE_SIZES, draw_reconstructions, plot_loss_curves


def plot_curve(num_steps: int, with_knn: bool = True) -> Figure:
    steps = [float(step) for step in range(1, num_steps + 1)]
    knn = [None] * (num_steps - 1) + [60.0 if with_knn else None]
    figure = plot_loss_curves({"step": steps, "loss": steps, "loss_masked": steps, "knn": knn}, "epoch")
    figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize("num_steps", [1, 2, 5, 20, 400])
def test_ticks_are_whole_epochs(num_steps: int) -> None:
    ticks = plot_curve(num_steps).axes[0].get_xticks()
    assert (ticks == ticks.round()).all()


def test_every_mark_is_in_the_legend() -> None:
    (legend,) = plot_curve(20).legends
    assert [text.get_text() for text in legend.get_texts()] == ["loss_masked", "k-NN check, % (right axis)"]
    (legend,) = plot_curve(20, with_knn=False).legends
    assert [text.get_text() for text in legend.get_texts()] == ["loss_masked"]


@pytest.mark.parametrize("side", [32, 100, 224, 384])
def test_columns_are_wide_enough_for_their_titles(side: int) -> None:
    columns = [torch.full((2, 3, side, side), value, dtype=torch.uint8) for value in (50, 100, 150)]
    picture = draw_reconstructions(columns, has_true_contrast=True)
    assert picture.entry.kind == "reconstruction"
    assert "Mean and contrast" in picture.entry.caption
    sheet = np.asarray(Image.open(io.BytesIO(picture.content)).convert("L"))
    width = (sheet.shape[1] - 8) // 3
    assert TILE_SIZES[0] <= width <= TILE_SIZES[1]
    assert [int(sheet[-10, place * (width + 4) + 10]) for place in range(3)] == [50, 100, 150]
    for place in range(3):
        title = sheet[:20, place * (width + 4) : place * (width + 4) + width]
        assert title.min() < 100, "a title stands above the column"
        assert (title[:, -3:] == 255).all(), "and is not cut"
