"""Draw figures of single images: attention maps, principal components of patches, nearest neighbours."""

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
    """Convert a normalized image (3, S, S) back to 8-bit RGB (S, S, 3).

    Args:
        image: the normalized image.
        mean: mean of each channel that was subtracted, on the scale 0 to 1.
        std: standard deviation of each channel that the image was divided by.
    """
    # channels last, so that mean and std (3,) broadcast
    values = np.asarray(image.float().cpu().numpy()).transpose(1, 2, 0) * np.asarray(std) + np.asarray(mean)
    return np.asarray((values.clip(0, 1) * 255).round(), np.uint8)


def resize_to_square(pixels: RgbImage, side: int) -> RgbImage:
    """Resize a picture to a square of ``side`` pixels; pictures up to 64 pixels high keep sharp cells."""
    # a map of 14 x 14 patches must keep its cells visible: smoothing would suggest values between them
    smooth = Image.Resampling.BICUBIC if pixels.shape[0] > 64 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(pixels).resize((side, side), smooth))


def draw_attention_maps(image: RgbImage, maps: NDArray[np.float32], title: str) -> Figure:
    """Draw an image, and next to it one map per head (row) and block (column), each scaled to its largest value.

    Args:
        image: the image (S, S, 3).
        maps: attention to each patch (blocks, heads, rows, columns).
        title: title of the figure.
    """
    blocks, heads = maps.shape[:2]
    # All maps go into one array, because hundreds of matplotlib axes are slow to draw; NaN leaves the gaps white
    cell, gap = 44, 3  # pixels of a map, and between two maps
    sheet = np.full((heads * (cell + gap) - gap, blocks * (cell + gap) - gap), np.nan)
    for block in range(blocks):
        for head in range(heads):
            # heads differ in their largest weight by orders of magnitude; 1e-12 guards against a map of zeros
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
    # ticks at the middle of each map; the labels are block and head indices
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
    """Draw rows of pictures, each with a caption above it and, if a color is given, a frame.

    Args:
        rows: for each picture the pixels, the caption and the color of the frame ("" for no frame).
        title: title of the figure.
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
            if column >= len(pictures):  # the last row may be shorter: its axes stay empty
                continue
            pixels, caption, frame = pictures[column]
            axes.imshow(resize_to_square(pixels, image_size))
            axes.set_title(caption, fontsize=7, pad=3)
            if frame:
                for spine in axes.spines.values():
                    spine.set(visible=True, color=frame, linewidth=2.5)
    return figure
