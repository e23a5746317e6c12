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
from tracking.data.boxes import BoxLike, Floats

Geometry = Literal["ostrack", "exact"]
Image = NDArray[np.uint8]


class Window(NamedTuple):
    """The square a crop shows: top-left corner (may lie outside the image) and side, whole image pixels."""

    x: int
    y: int
    side: int


def window(box: BoxLike, factor: float) -> Window:
    """The square of side ceil(sqrt(w h) factor) about a box's centre; the corner is rounded half to even.

    Raises:
        DataError: the box has no area.

    >>> window((50, 40, 30, 20), 4)
    Window(x=16, y=1, side=98)
    """
    x, y, w, h = (float(value) for value in box)
    area = w * h
    side = math.ceil(math.sqrt(area) * factor) if w > 0 and h > 0 and math.isfinite(area) else 0
    if side < 1:
        raise DataError(f"no crop can be cut about the box ({x:g}, {y:g}, {w:g}, {h:g}): it has no area")
    return Window(round(x + 0.5 * w - side * 0.5), round(y + 0.5 * h - side * 0.5), side)


def cut(image: Image, place: Window, size: int, geometry: Geometry = "ostrack") -> Image:
    """The crop, black where it leaves the image, resized bilinearly (OpenCV, no antialias).

    Args:
        image: (height, width, 3), RGB.
        place: the square.
        size: side of the output, pixels.
        geometry: see the module.

    Returns:
        (size, size, 3).
    """
    lost = 1 if geometry == "ostrack" else 0  # OSTrack pads max(x2 - width + 1, 0), one pixel too early
    height, width = image.shape[:2]
    left, top = max(0, place.x), max(0, place.y)
    right = min(place.x + place.side, width - lost)
    bottom = min(place.y + place.side, height - lost)
    inside = right > left and bottom > top
    if inside and (right - left, bottom - top) == (place.side, place.side):
        part = image[top:bottom, left:right]
    else:
        part = np.zeros((place.side, place.side, *image.shape[2:]), np.uint8)
        if inside:
            part[top - place.y : bottom - place.y, left - place.x : right - place.x] = image[top:bottom, left:right]
    return np.asarray(cv2.resize(part, (size, size)), np.uint8)


def shows_image(image: NDArray[Any], place: Window) -> bool:
    """Whether any pixel of the image is in the window."""
    height, width = image.shape[:2]
    return place.x < width and place.y < height and place.x + place.side > 0 and place.y + place.side > 0


def to_crop(box: BoxLike, around: BoxLike, place: Window, size: int, geometry: Geometry = "ostrack") -> Floats:
    """An image box in crop coordinates, as shares of the crop's side.

    Args:
        box: the box to map.
        around: the box that the crop was cut about.
        place: the crop's square.
        size: side of the resized crop, pixels.
        geometry: see the module.
    """
    x, y, w, h = (float(value) for value in box)
    if geometry == "exact":
        return np.array([x - place.x, y - place.y, w, h], np.float64) / place.side
    scale = size / place.side
    centre_x = (size - 1) / 2 + (x + 0.5 * w - (around[0] + 0.5 * around[2])) * scale
    centre_y = (size - 1) / 2 + (y + 0.5 * h - (around[1] + 0.5 * around[3])) * scale
    corner = (centre_x - 0.5 * w * scale, centre_y - 0.5 * h * scale)
    return np.array([*corner, w * scale, h * scale], np.float64) / size


def from_crop(predicted: BoxLike, around: BoxLike, place: Window, geometry: Geometry = "ostrack") -> Floats:
    """A predicted box (centre x, centre y, w, h as shares of the crop's side) as an image box x, y, w, h.

    ``ostrack`` takes the exact centre of ``around`` for the crop's centre; ``exact`` the crop as it was cut.
    """
    cx, cy, w, h = (float(value) * place.side for value in predicted)
    if geometry == "exact":
        left, top = float(place.x), float(place.y)
    else:
        left = around[0] + 0.5 * around[2] - 0.5 * place.side
        top = around[1] + 0.5 * around[3] - 0.5 * place.side
    return np.array([left + cx - 0.5 * w, top + cy - 0.5 * h, w, h], np.float64)


def hann(size: int) -> Floats:
    """The window that is multiplied on a score map: outer product of 0.5 (1 - cos(2 pi k / (n + 1))), k = 1 .. n.

    >>> hann(3).diagonal().round(3).tolist()
    [0.25, 1.0, 0.25]
    """
    line = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, size + 1) / (size + 1)))
    return np.asarray(np.outer(line, line), np.float64)
