"""Cut square crops around a box, and convert boxes between the image and a crop.

There are two geometries. ``ostrack`` matches OSTrack (botaoye/OSTrack at 33b5e125, lib/train/data/processing_utils.py)
to the pixel, including two of its inaccuracies: a crop that ends exactly at the border of the image gets a black last
column or row, and boxes are mapped relative to (size - 1) / 2 in training but relative to size / 2 in tracking.
``exact`` has neither: it uses every pixel of the image, and both directions use the affine map of the crop itself.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from tracking.data.boxes import BoxLike, FloatArray

CropGeometry = Literal["ostrack", "exact"]
ImageArray = NDArray[np.uint8]


class CropWindow(NamedTuple):
    """The square region of the image that a crop shows, in integer pixels.

    Attributes:
        x, y: top-left corner, which may lie outside the image.
        side: side length.
    """

    x: int
    y: int
    side: int


def make_crop_window(box: BoxLike, area_factor: float) -> CropWindow:
    """Return the square with side ceil(sqrt(w h) factor) around the center of a box.

    The top-left corner is rounded to integer pixels (half to even, as Python's ``round`` does).

    Args:
        box: x, y, width, height in pixels.
        area_factor: side length of the square as a multiple of the box's side sqrt(w h).

    Raises:
        DataError: the box has no area.

    Example:
        >>> make_crop_window((50, 40, 30, 20), 4)
        CropWindow(x=16, y=1, side=98)
    """
    x, y, w, h = (float(value) for value in box)
    area = w * h
    # NaN and infinite boxes fail these comparisons and end in the message below
    side = math.ceil(math.sqrt(area) * area_factor) if w > 0 and h > 0 and math.isfinite(area) else 0
    if side < 1:
        raise DataError(
            f"no crop can be cut around the box ({x:g}, {y:g}, {w:g}, {h:g}), which has no area; correct the box"
        )
    return CropWindow(round(x + 0.5 * w - side * 0.5), round(y + 0.5 * h - side * 0.5), side)


def crop_window(
    image: ImageArray, window: CropWindow, output_size: int, geometry: CropGeometry = "ostrack"
) -> ImageArray:
    """Cut a crop: black outside the image, resized bilinearly (OpenCV, no antialias).

    Args:
        image: RGB, shape (height, width, 3).
        window: the region that the crop shows.
        output_size: side length of the crop in pixels.
        geometry: ``ostrack`` or ``exact``, see the module.

    Returns:
        RGB, shape (output_size, output_size, 3).
    """
    # OSTrack pads max(x2 - width + 1, 0) columns where x2 is already exclusive, so one column of the image is lost
    lost = 1 if geometry == "ostrack" else 0
    height, width = image.shape[:2]
    left, top = max(0, window.x), max(0, window.y)
    right = min(window.x + window.side, width - lost)
    bottom = min(window.y + window.side, height - lost)
    inside = right > left and bottom > top
    if inside and (right - left, bottom - top) == (window.side, window.side):
        part = image[top:bottom, left:right]  # a view: nothing is copied in the common case
    else:
        part = np.zeros((window.side, window.side, *image.shape[2:]), np.uint8)
        if inside:
            part[top - window.y : bottom - window.y, left - window.x : right - window.x] = image[top:bottom, left:right]
    return np.asarray(cv2.resize(part, (output_size, output_size)), np.uint8)


def has_image_overlap(image: NDArray[Any], window: CropWindow) -> bool:
    """Return whether a window contains at least one pixel of the image.

    Args:
        image: shape (height, width, ...).
        window: the region, which may lie outside the image.
    """
    height, width = image.shape[:2]
    return window.x < width and window.y < height and window.x + window.side > 0 and window.y + window.side > 0


def image_to_crop_box(
    box: BoxLike, reference_box: BoxLike, window: CropWindow, output_size: int, geometry: CropGeometry = "ostrack"
) -> FloatArray:
    """Convert a box of the image to coordinates of a crop.

    Args:
        box: the box to convert: x, y, width, height in pixels of the image.
        reference_box: the box around which the crop was cut, in the same form.
        window: the region that the crop shows.
        output_size: side length of the crop in pixels.
        geometry: ``ostrack`` or ``exact``, see the module.

    Returns:
        x, y, width, height as fractions of the crop's side, shape (4,).
    """
    x, y, w, h = (float(value) for value in box)
    if geometry == "exact":
        return np.array([x - window.x, y - window.y, w, h], np.float64) / window.side
    # OSTrack places the center of the reference box at (size - 1) / 2, whatever the rounding of the window's corner
    scale = output_size / window.side
    center_x = (output_size - 1) / 2 + (x + 0.5 * w - (reference_box[0] + 0.5 * reference_box[2])) * scale
    center_y = (output_size - 1) / 2 + (y + 0.5 * h - (reference_box[1] + 0.5 * reference_box[3])) * scale
    corner = (center_x - 0.5 * w * scale, center_y - 0.5 * h * scale)
    return np.array([*corner, w * scale, h * scale], np.float64) / output_size


def crop_to_image_box(
    crop_box: BoxLike, reference_box: BoxLike, window: CropWindow, geometry: CropGeometry = "ostrack"
) -> FloatArray:
    """Convert a predicted box to coordinates of the image.

    ``ostrack`` takes the exact center of ``reference_box`` as the center of the crop; ``exact`` uses the window, whose
    corner is rounded.

    Args:
        crop_box: center x, center y, width, height as fractions of the crop's side.
        reference_box: the box around which the crop was cut: x, y, width, height in pixels.
        window: the region that the crop shows.
        geometry: ``ostrack`` or ``exact``, see the module.

    Returns:
        x, y, width, height in pixels of the image, shape (4,).
    """
    cx, cy, w, h = (float(value) * window.side for value in crop_box)
    if geometry == "exact":
        left, top = float(window.x), float(window.y)
    else:
        left = reference_box[0] + 0.5 * reference_box[2] - 0.5 * window.side
        top = reference_box[1] + 0.5 * reference_box[3] - 0.5 * window.side
    return np.array([left + cx - 0.5 * w, top + cy - 0.5 * h, w, h], np.float64)


def make_hann_window(grid_size: int) -> FloatArray:
    """Return the Hann window by which score maps are multiplied: higher in the center, where the target was before.

    It is the outer product of 0.5 (1 - cos(2 pi k / (n + 1))) for k = 1 .. n with itself, so the border is not zero.

    Args:
        grid_size: number of cells per side, n.

    Returns:
        Shape (grid_size, grid_size), in (0, 1].

    Example:
        >>> make_hann_window(3).diagonal().round(3).tolist()
        [0.25, 1.0, 0.25]
    """
    # k = 0 and k = n + 1, where the window is 0, are left out: a target in the outermost cells can still be found
    line = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, grid_size + 1) / (grid_size + 1)))
    return np.asarray(np.outer(line, line), np.float64)
