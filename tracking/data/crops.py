"""Square crops around a box, and boxes in the coordinates of a crop.

Two geometries. ``ostrack`` matches OSTrack (botaoye/OSTrack at 33b5e125, lib/train/data/processing_utils.py) to the
pixel, two slips included: a crop that ends at the image's border gets a black last column or row, and boxes are mapped
about (size - 1) / 2 in training but about size / 2 in tracking. ``exact`` has neither: every pixel of the image is
used, and both ways are the crop's own affine map.
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
    """The square a crop shows: top-left corner (may lie outside the image) and side, whole image pixels."""

    x: int
    y: int
    side: int


def make_crop_window(box: BoxLike, area_factor: float) -> CropWindow:
    """The square of side ceil(sqrt(w h) factor) about a box's centre; the corner is rounded half to even.

    Raises:
        DataError: the box has no area.

    >>> make_crop_window((50, 40, 30, 20), 4)
    CropWindow(x=16, y=1, side=98)
    """
    x, y, w, h = (float(value) for value in box)
    area = w * h
    side = math.ceil(math.sqrt(area) * area_factor) if w > 0 and h > 0 and math.isfinite(area) else 0
    if side < 1:
        raise DataError(f"no crop can be cut about the box ({x:g}, {y:g}, {w:g}, {h:g}): it has no area")
    return CropWindow(round(x + 0.5 * w - side * 0.5), round(y + 0.5 * h - side * 0.5), side)


def crop_window(
    image: ImageArray, window: CropWindow, output_size: int, geometry: CropGeometry = "ostrack"
) -> ImageArray:
    """The crop, black where it leaves the image, resized bilinearly (OpenCV, no antialias).

    Args:
        image: (height, width, 3), RGB.
        window: the square.
        output_size: side of the output, pixels.
        geometry: see the module.

    Returns:
        (size, size, 3).
    """
    lost = 1 if geometry == "ostrack" else 0  # OSTrack pads max(x2 - width + 1, 0), one pixel too early
    height, width = image.shape[:2]
    left, top = max(0, window.x), max(0, window.y)
    right = min(window.x + window.side, width - lost)
    bottom = min(window.y + window.side, height - lost)
    inside = right > left and bottom > top
    if inside and (right - left, bottom - top) == (window.side, window.side):
        part = image[top:bottom, left:right]
    else:
        part = np.zeros((window.side, window.side, *image.shape[2:]), np.uint8)
        if inside:
            part[top - window.y : bottom - window.y, left - window.x : right - window.x] = image[top:bottom, left:right]
    return np.asarray(cv2.resize(part, (output_size, output_size)), np.uint8)


def has_image_overlap(image: NDArray[Any], window: CropWindow) -> bool:
    """Whether any pixel of the image is in the window."""
    height, width = image.shape[:2]
    return window.x < width and window.y < height and window.x + window.side > 0 and window.y + window.side > 0


def image_to_crop_box(
    box: BoxLike, reference_box: BoxLike, window: CropWindow, output_size: int, geometry: CropGeometry = "ostrack"
) -> FloatArray:
    """An image box in crop coordinates, as shares of the crop's side.

    Args:
        box: the box to map.
        reference_box: the box that the crop was cut about.
        window: the crop's square.
        output_size: side of the resized crop, pixels.
        geometry: see the module.
    """
    x, y, w, h = (float(value) for value in box)
    if geometry == "exact":
        return np.array([x - window.x, y - window.y, w, h], np.float64) / window.side
    scale = output_size / window.side
    centre_x = (output_size - 1) / 2 + (x + 0.5 * w - (reference_box[0] + 0.5 * reference_box[2])) * scale
    centre_y = (output_size - 1) / 2 + (y + 0.5 * h - (reference_box[1] + 0.5 * reference_box[3])) * scale
    corner = (centre_x - 0.5 * w * scale, centre_y - 0.5 * h * scale)
    return np.array([*corner, w * scale, h * scale], np.float64) / output_size


def crop_to_image_box(
    crop_box: BoxLike, reference_box: BoxLike, window: CropWindow, geometry: CropGeometry = "ostrack"
) -> FloatArray:
    """A predicted box (centre x, centre y, w, h as shares of the crop's side) as an image box x, y, w, h.

    ``ostrack`` takes the exact centre of ``reference_box`` for the crop's centre; ``exact`` the crop as it was cut.
    """
    cx, cy, w, h = (float(value) * window.side for value in crop_box)
    if geometry == "exact":
        left, top = float(window.x), float(window.y)
    else:
        left = reference_box[0] + 0.5 * reference_box[2] - 0.5 * window.side
        top = reference_box[1] + 0.5 * reference_box[3] - 0.5 * window.side
    return np.array([left + cx - 0.5 * w, top + cy - 0.5 * h, w, h], np.float64)


def make_hann_window(grid_size: int) -> FloatArray:
    """The window that is multiplied on a score map: outer product of 0.5 (1 - cos(2 pi k / (n + 1))), k = 1 .. n.

    >>> make_hann_window(3).diagonal().round(3).tolist()
    [0.25, 1.0, 0.25]
    """
    line = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, grid_size + 1) / (grid_size + 1)))
    return np.asarray(np.outer(line, line), np.float64)
