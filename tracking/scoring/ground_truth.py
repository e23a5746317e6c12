"""The ground truth of one sequence, and how messages list sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tracking.data.boxes import BoolArray, FloatArray

MAX_LISTED_NAMES = 20
"""Largest number of faulty sequences that a message lists."""


class SequenceGroundTruth(NamedTuple):
    """What is known about one sequence.

    Attributes:
        name: name of the sequence.
        boxes: x, y, width, height in pixels, shape (frames, 4); NaN only where ``absent``.
        absent: whether the target is fully occluded or out of view, shape (frames,).
        category: category of the target, or empty.
        attributes: names of the sequence's challenges.
        image_size: width and height of its images in pixels, for rules that clip to them.
    """

    name: str
    boxes: FloatArray
    absent: BoolArray
    category: str = ""
    attributes: tuple[str, ...] = ()
    image_size: tuple[float, float] | None = None


def format_name_list(items: Sequence[str]) -> str:
    """Join names for a message, at most ``MAX_LISTED_NAMES`` of them.

    Args:
        items: the names.
    """
    more = len(items) - MAX_LISTED_NAMES
    return ", ".join(items[:MAX_LISTED_NAMES]) + (f" and {more} more" if more > 0 else "")
