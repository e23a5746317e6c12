"""Pictures of single images: attention maps, principal components of patches, nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from analysis.output.figures import wrap_title

RgbImage = NDArray[np.uint8]


def denormalize_image(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> RgbImage:
    """A normalised image (3, S, S) as 8-bit RGB (S, S, 3) again."""
    values = np.asarray(image.float().cpu().numpy()).transpose(1, 2, 0) * np.asarray(std) + np.asarray(mean)
    return np.asarray((values.clip(0, 1) * 255).round(), np.uint8)


def resize_to_square(pixels: RgbImage, side: int) -> RgbImage:
    """The picture as a square of ``side`` pixels; small ones keep their cells."""
    smooth = Image.Resampling.BICUBIC if pixels.shape[0] > 64 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(pixels).resize((side, side), smooth))


def draw_attention_maps(image: RgbImage, maps: NDArray[np.float32], title: str) -> Figure:
    """The image, and beside it one map for each head (row) and block (column), each scaled to its own largest value.

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
            gray = resize_to_square(np.asarray((values * 255).round(), np.uint8), cell) / 255
            top, left = head * (cell + gap), block * (cell + gap)
            sheet[top : top + cell, left : left + cell] = gray
    width, height = (max(side / 85, 1.2) for side in sheet.shape[::-1])
    figure = Figure(figsize=(2.7 + width, max(2.6, 1.0 + height)), layout="constrained")
    figure.suptitle(wrap_title(title, 2.7 + width, 9), fontsize=9)
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


def draw_image_rows(rows: Sequence[Sequence[tuple[RgbImage, str, str]]], title: str, image_size: int = 160) -> Figure:
    """Rows of pictures, each with a caption above and a colored frame where one is given.

    Args:
        rows: picture, caption and the frame's color ("" for no frame).
        title: above.
        image_size: side of a picture, pixels.
    """
    high, wide = len(rows), max(map(len, rows))
    figure = Figure(figsize=(1.25 * wide + 0.3, 1.42 * high + 0.5), layout="constrained")
    figure.suptitle(wrap_title(title, 1.25 * wide + 0.3, 9), fontsize=9)
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
            axes.imshow(resize_to_square(pixels, image_size))
            axes.set_title(caption, fontsize=7, pad=3)
            if frame:
                for spine in axes.spines.values():
                    spine.set(visible=True, color=frame, linewidth=2.5)
    return figure
