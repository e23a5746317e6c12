"""Draw figures of single images: attention maps, principal components of patches, nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from analysis.output.figures import DPI, wrap_title

RgbImage = NDArray[np.uint8]

IMAGE_BRIGHTNESS = 0.65
"""Brightness of the image below an attention map: a bright one would look like attention."""
MAX_OPACITY = 0.7
"""Opacity of the color at the largest attention, so that the image stays visible below it."""


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


def overlay_attention(image: RgbImage, weights: NDArray[np.float32], side: int) -> RgbImage:
    """Lay an attention map over a gray, darkened image (S, S, 3); the more attention, the more its color hides.

    Args:
        image: the image (S, S, 3).
        weights: attention to each patch (rows, columns), scaled here by its largest value.
        side: side of the result, pixels.
    """
    # heads differ in their largest weight by orders of magnitude; 1e-12 guards against a map of zeros
    scaled = weights / max(float(weights.max()), 1e-12)
    shares = resize_to_square(np.asarray((scaled * 255).round(), np.uint8), side)[..., None] / 255
    gray = resize_to_square(image, side).mean(2, keepdims=True) * IMAGE_BRIGHTNESS
    return np.asarray((_color_attention(shares[..., 0], gray)).round(), np.uint8)


def _color_attention(shares: NDArray[np.float64], gray: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return the RGB color (..., 3), 0 to 255, of fractions of the largest attention over gray values (..., 1)."""
    heat = mpl.colormaps["inferno"](shares)[..., :3] * 255
    opacity = MAX_OPACITY * shares[..., None]
    return np.asarray(gray * (1 - opacity) + heat * opacity)


def draw_attention_maps(image: RgbImage, maps: NDArray[np.float32], title: str) -> Figure:
    """Draw an image, and next to it its overlay with the map of each head (row) and block (column).

    Args:
        image: the image (S, S, 3).
        maps: attention to each patch (blocks, heads, rows, columns).
        title: title of the figure.
    """
    blocks, heads = maps.shape[:2]
    # few maps are drawn large; many must still be small enough for a page
    cell, gap = int(np.clip(1000 // max(blocks, heads), 84, 180)), 4  # pixels of a map, and between two maps
    # all maps go into one array, because hundreds of matplotlib axes are slow to draw
    sheet = np.full((heads * (cell + gap) - gap, blocks * (cell + gap) - gap, 3), 255, np.uint8)
    for block in range(blocks):
        for head in range(heads):
            row, column = head * (cell + gap), block * (cell + gap)
            sheet[row : row + cell, column : column + cell] = overlay_attention(image, maps[block, head], cell)
    # placed by hand, in inches, so that the maps keep their pixels: a layout engine would scale them
    height, width = (side / DPI for side in sheet.shape[:2])
    shown, left = 2.6, 3.5  # side of the image, and where the maps begin
    body = max(height, shown + 0.9)  # the image has its color bar below it
    size = (left + max(width, 2.6) + 0.2, body + 1.5)
    figure = Figure(figsize=size)
    figure.suptitle(wrap_title(title, size[0]), fontsize=10, y=1 - 0.1 / size[1], va="top")
    top = size[1] - 0.95

    def add_axes(x: float, y: float, wide: float, high: float) -> Axes:
        return figure.add_axes((x / size[0], y / size[1], wide / size[0], high / size[1]))

    image_axes, axes = add_axes(0.2, top - shown, shown, shown), add_axes(left, top - height, width, height)
    image_axes.imshow(image)
    image_axes.set_title("image", fontsize=9)
    image_axes.set_axis_off()
    axes.imshow(sheet, interpolation="nearest")
    axes.set_title("attention of each head in each block", fontsize=9)
    # ticks at the middle of each map; the labels are block and head indices
    middles = cell / 2 + np.arange(max(blocks, heads)) * (cell + gap)
    axes.set_xticks(middles[:blocks], [str(block) for block in range(blocks)], fontsize=9)
    axes.set_yticks(middles[:heads], [str(head) for head in range(heads)], fontsize=9)
    axes.set_xlabel("block", fontsize=9)
    axes.set_ylabel("head", fontsize=9)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    _add_attention_bar(figure, add_axes(0.2, top - shown - 0.3, shown, 0.14))
    return figure


def _add_attention_bar(figure: Figure, axes: Axes) -> None:
    """Draw the color bar of attention maps into axes of their own."""
    # the colors as they look over a medium gray, so that the bar is not brighter than the maps
    colors = _color_attention(np.linspace(0, 1, 256), np.full((256, 1), 128 * IMAGE_BRIGHTNESS)) / 255
    scale = ScalarMappable(Normalize(0, 1), ListedColormap(colors))
    bar = figure.colorbar(scale, cax=axes, orientation="horizontal", ticks=[0, 0.5, 1])
    bar.set_label("attention to a patch,\nas a fraction of the largest in its map", fontsize=9)
    bar.ax.tick_params(labelsize=8)


def draw_image_rows(rows: Sequence[Sequence[tuple[RgbImage, str, str]]], title: str, image_size: int = 160) -> Figure:
    """Draw rows of pictures, each with a caption above it and, if a color is given, a frame.

    Args:
        rows: for each picture the pixels, the caption and the color of the frame ("" for no frame).
        title: title of the figure.
        image_size: side of a picture, pixels.
    """
    high, wide = len(rows), max(map(len, rows))
    lines = wrap_title(title, 1.25 * wide + 0.3)
    # compressed: a picture is square, and the room that its axes do not need is not left between the rows
    height = 1.42 * high + 0.2 * (1 + lines.count("\n"))
    figure = Figure(figsize=(1.25 * wide + 0.3, height), layout="compressed")
    figure.suptitle(lines, fontsize=10)
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
            axes.set_title(caption, fontsize=8, pad=3)
            if frame:
                for spine in axes.spines.values():
                    spine.set(visible=True, color=frame, linewidth=2.5)
    return figure
