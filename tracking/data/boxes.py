"""Boxes as (x, y, w, h): the top-left corner and the size, in pixels of the image, as floats."""

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
"""Pixels of a predicted box that stay inside the image, and its least side (OSTrack)."""


def clip_box(box: BoxLike, width: int, height: int, margin: int = CLIP_MARGIN) -> FloatArray:
    """A predicted box moved into an image, as OSTrack does after each frame.

    x1 goes into [0, width - margin], x2 into [margin, width], y alike; sides are at least ``margin``.

    >>> clip_box((-20, -30, 50, 60), 640, 480).tolist()
    [0.0, 0.0, 30.0, 30.0]
    """
    x, y, w, h = (float(value) for value in box)
    left, top = min(max(0.0, x), width - margin), min(max(0.0, y), height - margin)
    right, bottom = min(max(float(margin), x + w), width), min(max(float(margin), y + h), height)
    return np.array([left, top, max(margin, right - left), max(margin, bottom - top)], np.float64)


def require_first_box(box: BoxLike, width: int, height: int, context: str) -> FloatArray:
    """The box a tracker starts from, if one can start from it.

    Args:
        box: as given.
        width, height: of the first frame, pixels.
        context: what the box belongs to, for the message.

    Raises:
        DataError: not four finite numbers, no area, or outside the frame.
    """
    values = np.asarray(box, np.float64)
    if values.shape != (4,) or not np.isfinite(values).all():
        raise DataError(
            f"{context}: the first box {_format_box(box)} is not four finite numbers x, y, w, h; correct it"
        )
    x, y, w, h = values.tolist()
    if w <= 0 or h <= 0:
        raise DataError(
            f"{context}: the first box {_format_box(box)} has no area; give a box x, y, w, h with w and h above 0"
        )
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise DataError(
            f"{context}: the first box {_format_box(box)} lies outside the frame of {width} x {height} px; boxes are "
            "x, y, w, h from the top-left corner"
        )
    return values


def _format_box(box: BoxLike) -> str:
    return "(" + ", ".join(f"{float(value):g}" for value in np.ravel(np.asarray(box, np.float64))) + ")"
