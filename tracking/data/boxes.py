"""Boxes as (x, y, width, height): the top-left corner and the size as floats, in pixels of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.array_types import FloatArray as FloatArray  # the readers and trackers take it from here
from foundation.errors import DataError

BoolArray = NDArray[np.bool_]
BoxLike = Sequence[float] | NDArray[Any]

CLIP_MARGIN = 10
"""Number of pixels of a predicted box that stay inside the image, and its smallest side length (OSTrack)."""


def clip_box(box: BoxLike, width: int, height: int, margin: int = CLIP_MARGIN) -> FloatArray:
    """Move a predicted box into the image, as OSTrack does after each frame.

    The left edge is clipped to [0, width - margin] and the right edge to [margin, width], the vertical ones alike.
    Sides are at least ``margin`` long.

    Args:
        box: x, y, width, height in pixels.
        width: width of the image in pixels.
        height: height of the image in pixels.
        margin: number of pixels that stay inside the image.

    Returns:
        x, y, width, height in pixels, shape (4,).

    Example:
        >>> clip_box((-20, -30, 50, 60), 640, 480).tolist()
        [0.0, 0.0, 30.0, 30.0]
    """
    x, y, w, h = (float(value) for value in box)
    # a box that has left the image keeps a strip at its border, from which the next search region can find the target
    left, top = min(max(0.0, x), width - margin), min(max(0.0, y), height - margin)
    right, bottom = min(max(float(margin), x + w), width), min(max(float(margin), y + h), height)
    # without the least side, a box that shrank to nothing would give an empty search region in the next frame
    return np.array([left, top, max(margin, right - left), max(margin, bottom - top)], np.float64)


def has_area(boxes: FloatArray) -> BoolArray:
    """Return which boxes have a width and a height above 0; NaN has not.

    Args:
        boxes: x, y, width, height, shape (n, 4).

    Returns:
        Shape (n,).
    """
    return np.asarray((boxes[:, 2:] > 0).all(1), np.bool_)


def require_first_box(box: BoxLike, width: int, height: int, context: str) -> FloatArray:
    """Check that a tracker can start from a box, and return it.

    Args:
        box: x, y, width, height in pixels, as given by the user or a file.
        width: width of the first frame in pixels.
        height: height of the first frame in pixels.
        context: what the box belongs to, for the message.

    Returns:
        The box as floats, shape (4,).

    Raises:
        DataError: the box is not four finite numbers, has no area, or lies outside the frame.
    """
    values = np.asarray(box, np.float64)
    if values.shape == (4,) and np.isnan(values).all():
        raise DataError(
            f"{context}: the target has no box in the first frame, and a tracker starts from it; let the sequence "
            "begin where the target is first seen: remove the frames before, and their lines of boxes"
        )
    if values.shape != (4,) or not np.isfinite(values).all():
        raise DataError(
            f"{context}: the first box {_format_box(box)} is not four finite numbers x, y, w, h; correct it"
        )
    x, y, w, h = values.tolist()
    if w <= 0 or h <= 0:
        raise DataError(
            f"{context}: the first box {_format_box(box)} has no area; give a box x, y, w, h with w and h above 0"
        )
    # a box that reaches beyond the frame is fine, as ground truth has such boxes; it must overlap the frame
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise DataError(
            f"{context}: the first box {_format_box(box)} lies outside the frame of {width} x {height} px; boxes are "
            "x, y, w, h from the top-left corner"
        )
    return values


def _format_box(box: BoxLike) -> str:
    """Return a box of any length as text, for messages."""
    return "(" + ", ".join(f"{float(value):g}" for value in np.ravel(np.asarray(box, np.float64))) + ")"
