"""Pictures of single images: attention maps, principal components of patches, nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from analysis.figures import fold

Pixels = NDArray[np.uint8]


def shown(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Pixels:
    """A normalised image (3, S, S) as 8-bit RGB (S, S, 3) again."""
    values = np.asarray(image.float().cpu().numpy()).transpose(1, 2, 0) * np.asarray(std) + np.asarray(mean)
    return np.asarray((values.clip(0, 1) * 255).round(), np.uint8)


def enlarge(pixels: Pixels, side: int) -> Pixels:
    """The picture as a square of ``side`` pixels; small ones keep their cells."""
    smooth = Image.Resampling.BICUBIC if pixels.shape[0] > 64 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(pixels).resize((side, side), smooth))


def attention_figure(image: Pixels, maps: NDArray[np.float32], title: str) -> Figure:
    """The image, and beside it a map a head (row) and block (column), each as bright as its own largest value.

    Args:
        image: (S, S, 3).
        maps: (blocks, heads, rows, columns), attention to each patch.
        title: above.
    """
    blocks, heads = maps.shape[:2]
    cell, gap = 44, 3
    sheet = np.full((heads * (cell + gap) - gap, blocks * (cell + gap) - gap), np.nan)
    for block in range(blocks):
        for head in range(heads):
            values = maps[block, head] / max(float(maps[block, head].max()), 1e-12)
            grey = enlarge(np.asarray((values * 255).round(), np.uint8), cell) / 255
            top, left = head * (cell + gap), block * (cell + gap)
            sheet[top : top + cell, left : left + cell] = grey
    width, height = (max(side / 85, 1.2) for side in sheet.shape[::-1])
    figure = Figure(figsize=(2.7 + width, max(2.6, 1.0 + height)), layout="constrained")
    figure.suptitle(fold(title, 2.7 + width, 9), fontsize=9)
    left_axes, axes = figure.subplots(1, 2, width_ratios=[2.0, width])
    left_axes.imshow(image)
    left_axes.set_axis_off()
    axes.imshow(sheet, cmap="magma", vmin=0, vmax=1)
    middles = cell / 2 + np.arange(max(blocks, heads)) * (cell + gap)
    axes.set_xticks(middles[:blocks], [str(block) for block in range(blocks)], fontsize=7)
    axes.set_yticks(middles[:heads], [str(head) for head in range(heads)], fontsize=7)
    axes.set_xlabel("block", fontsize=8)
    axes.set_ylabel("head", fontsize=8)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def rows_figure(rows: Sequence[Sequence[tuple[Pixels, str, str]]], title: str, side: int = 160) -> Figure:
    """Rows of pictures, each with a caption above and a frame colour ("" for none).

    Args:
        rows: picture, caption and frame colour.
        title: above.
        side: of a picture, pixels.
    """
    high, wide = len(rows), max(map(len, rows))
    figure = Figure(figsize=(1.25 * wide + 0.3, 1.42 * high + 0.5), layout="constrained")
    figure.suptitle(fold(title, 1.25 * wide + 0.3, 9), fontsize=9)
    grid = figure.subplots(high, wide, squeeze=False)
    for row, pictures in enumerate(rows):
        for column in range(wide):
            axes = grid[row, column]
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_visible(False)
            if column >= len(pictures):
                continue
            pixels, caption, frame = pictures[column]
            axes.imshow(enlarge(pixels, side))
            axes.set_title(caption, fontsize=7, pad=3)
            if frame:
                for spine in axes.spines.values():
                    spine.set(visible=True, color=frame, linewidth=2.5)
    return figure
