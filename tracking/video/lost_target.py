"""Where a tracker is not sure of itself: spans of frames whose confidence stays low."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LOST_THRESHOLD = 0.5
"""Below it a confidence is low: chosen on embedded training sequences, see docs/guides/track-your-video.md."""
LOST_PATIENCE = 5
"""Frames in a row that are low before the target is called lost: single ones are blur or a passing shadow."""


class LowConfidenceSpan(NamedTuple):
    """Consecutive frames of low confidence: the first and last number, and the lowest confidence among them."""

    first: int
    last: int
    lowest: float


def find_low_spans(
    confidences: Sequence[float], lost_threshold: float, patience: int = LOST_PATIENCE, first_frame: int = 0
) -> list[LowConfidenceSpan]:
    """Every run of at least ``patience`` frames with a confidence below ``lost_threshold``.

    Frames count from ``first_frame``.

    >>> find_low_spans([1.0, 0.1, 0.2, 0.9, 0.1], 0.3, patience=2)
    [LowConfidenceSpan(first=1, last=2, lowest=0.1)]
    """
    values = np.asarray(confidences, np.float64)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], values < lost_threshold, [False]]).astype(int)))
    return [
        LowConfidenceSpan(first_frame + int(first), first_frame + int(end) - 1, float(values[first:end].min()))
        for first, end in zip(edges[::2], edges[1::2], strict=True)
        if end - first >= patience
    ]


class LostTargetDetector:
    """The same while frames come in: ``is_lost`` from the frame on that completes a span, until it ends.

    Args:
        lost_threshold, patience: as of ``find_low_spans``.
    """

    def __init__(self, lost_threshold: float, patience: int = LOST_PATIENCE) -> None:
        self.lost_threshold, self.patience = lost_threshold, patience
        self._low_frames = 0

    @property
    def is_lost(self) -> bool:
        """Whether the newest frame is in a span."""
        return self._low_frames >= self.patience

    def observe_frame(self, frame_number: int, confidence: float) -> str:
        """Take the next frame; returns what to tell the person, where that changes."""
        was = self.is_lost
        self._low_frames = self._low_frames + 1 if confidence < self.lost_threshold else 0
        if self.is_lost and not was:
            return (
                f"frame {frame_number}: confidence {confidence:.3f}, below {self.lost_threshold:g} for {self.patience} "
                "frames; the target may be lost"
            )
        return f"frame {frame_number}: confidence is back at {confidence:.3f}" if was and not self.is_lost else ""
