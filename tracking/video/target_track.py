"""One target of a video: where it starts, and what was found of it frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tracking.data.boxes import BoxLike, FloatArray
from tracking.data.crops import ImageArray
from tracking.inference.tracker import Tracker
from tracking.video.lost_target import LOST_THRESHOLD, LostTargetDetector


class TargetStart(NamedTuple):
    """A target in the first frame.

    Attributes:
        box: x, y, width, height in pixels.
        origin: where the box comes from, for the summary.
        lost_threshold: confidence below which the target may be lost.
    """

    box: BoxLike
    origin: str = "the caller"
    lost_threshold: float = LOST_THRESHOLD


StartChooser = Callable[[ImageArray], Sequence[TargetStart]]
"""Names the targets when it sees the first frame: RGB, shape (height, width, 3)."""


@dataclass
class TargetTrack:
    """A target that is followed.

    Attributes:
        number: number of the target, from 1.
        start: where it starts.
        tracker: its tracker; the targets of a video share one network.
        watch: tells when the confidence stays low.
        boxes: x, y, width, height of each frame in pixels; the first box is the given one.
        confidences: confidence of each frame, from 0 to 1; 1 for the first.
    """

    number: int
    start: TargetStart
    tracker: Tracker
    watch: LostTargetDetector
    boxes: list[FloatArray] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)


def start_tracks(tracker: Tracker, starts: Sequence[TargetStart]) -> list[TargetTrack]:
    """Give each target a tracker of its own; the network, which has no state, is shared.

    Args:
        tracker: the tracker; the first target gets it.
        starts: the targets.
    """
    # only the box and the template belong to a target; the weights of a large ViT fit into memory once
    copies = [tracker.make_sibling() for _ in starts[1:]]
    return [
        TargetTrack(number, start, own, LostTargetDetector(start.lost_threshold))
        for number, (start, own) in enumerate(zip(starts, [tracker, *copies], strict=True), 1)
    ]
