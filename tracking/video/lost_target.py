"""Find spans of frames in which the tracker's confidence stays low, so that the target may be lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LOST_THRESHOLD = 0.5
"""A confidence below it is low. Chosen on embedded training sequences, see docs/guides/track-your-video.md."""
LOST_PATIENCE = 5
"""Number of consecutive low frames after which the target counts as lost; single ones are caused by blur or shadows."""


class LowConfidenceSpan(NamedTuple):
    """Consecutive frames of low confidence.

    Attributes:
        first, last: numbers of the first and last frame.
        lowest: lowest confidence among them.
    """

    first: int
    last: int
    lowest: float


def find_low_spans(
    confidences: Sequence[float], lost_threshold: float, patience: int = LOST_PATIENCE, first_frame: int = 0
) -> list[LowConfidenceSpan]:
    """Find all spans of at least ``patience`` consecutive frames with a confidence below ``lost_threshold``.

    Args:
        confidences: confidence of each frame, from 0 to 1.
        lost_threshold: a confidence below it is low.
        patience: smallest number of frames in a span.
        first_frame: number of the first frame.

    Example:
        >>> find_low_spans([1.0, 0.1, 0.2, 0.9, 0.1], 0.3, patience=2)
        [LowConfidenceSpan(first=1, last=2, lowest=0.1)]
    """
    values = np.asarray(confidences, np.float64)
    # padded with False on both sides, so that changes alternate between the start of a span and the frame after its end
    edges = np.flatnonzero(np.diff(np.concatenate([[False], values < lost_threshold, [False]]).astype(int)))
    return [
        LowConfidenceSpan(first_frame + int(first), first_frame + int(end) - 1, float(values[first:end].min()))
        for first, end in zip(edges[::2], edges[1::2], strict=True)
        if end - first >= patience
    ]


class LostTargetDetector:
    """Finds the same spans while frames arrive.

    Args:
        lost_threshold: a confidence below it is low.
        patience: smallest number of frames in a span.
    """

    def __init__(self, lost_threshold: float, patience: int = LOST_PATIENCE) -> None:
        self.lost_threshold, self.patience = lost_threshold, patience
        self._low_frames = 0

    @property
    def is_lost(self) -> bool:
        """Whether the newest frame is in a span: true from the frame that completes the span until it ends."""
        return self._low_frames >= self.patience

    def observe_frame(self, frame_number: int, confidence: float) -> str:
        """Process the next frame.

        Args:
            frame_number: number of the frame.
            confidence: its confidence, from 0 to 1.

        Returns:
            A message for the user if the target was just lost or found again, else an empty string.
        """
        was = self.is_lost
        # a single confident frame ends the span
        self._low_frames = self._low_frames + 1 if confidence < self.lost_threshold else 0
        if self.is_lost and not was:
            return (
                f"frame {frame_number}: confidence {confidence:.3f}, below {self.lost_threshold:g} for {self.patience} "
                "frames; the target may be lost"
            )
        return f"frame {frame_number}: confidence is back at {confidence:.3f}" if was and not self.is_lost else ""
