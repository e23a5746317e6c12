"""Where a tracker is not sure of itself: spans of frames whose confidence stays low."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LOW = 0.5
"""Below it a confidence is low: chosen on embedded training sequences, see docs/track.md."""
PATIENCE = 5
"""Frames in a row that are low before the target is called lost: single ones are blur or a passing shadow."""


class Span(NamedTuple):
    """Consecutive frames of low confidence: the first and last number, and the lowest confidence among them."""

    first: int
    last: int
    lowest: float


def low_spans(confidences: Sequence[float], low: float, patience: int = PATIENCE, start: int = 0) -> list[Span]:
    """Every run of at least ``patience`` frames with a confidence below ``low``; frames count from ``start``.

    >>> low_spans([1.0, 0.1, 0.2, 0.9, 0.1], 0.3, patience=2)
    [Span(first=1, last=2, lowest=0.1)]
    """
    values = np.asarray(confidences, np.float64)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], values < low, [False]]).astype(int)))
    return [
        Span(start + int(first), start + int(end) - 1, float(values[first:end].min()))
        for first, end in zip(edges[::2], edges[1::2], strict=True)
        if end - first >= patience
    ]


class Watch:
    """The same while frames come in: ``lost`` from the frame on that completes a span, until it ends.

    Args:
        low, patience: as of ``low_spans``.
    """

    def __init__(self, low: float, patience: int = PATIENCE) -> None:
        self.low, self.patience = low, patience
        self._run = 0

    @property
    def lost(self) -> bool:
        """Whether the newest frame is in a span."""
        return self._run >= self.patience

    def see(self, number: int, confidence: float) -> str:
        """Take the next frame; returns what to tell the person, where that changes."""
        was = self.lost
        self._run = self._run + 1 if confidence < self.low else 0
        if self.lost and not was:
            return (
                f"frame {number}: confidence {confidence:.3f}, below {self.low:g} for {self.patience} frames; "
                "the target may be lost"
            )
        return f"frame {number}: confidence is back at {confidence:.3f}" if was and not self.lost else ""
