"""Several sequences advanced side by side on a GPU: one call of the network serves a frame of each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from engine.device import world
from tracking.data.boxes import require_first_box
from tracking.data.crops import Image
from tracking.data.readers.sequence import Video
from tracking.inference.prefetch import Ahead
from tracking.inference.progress import Meter
from tracking.inference.result_files import Tracked, write_tracked
from tracking.inference.sequential import frames_of
from tracking.inference.tracker import Tracker

DEPTH = 2
"""Frames that wait decoded, a sequence."""


class Follower:
    """One sequence on its way: its frames, its tracker, and what was found so far. ``close`` ends its reader thread."""

    def __init__(self, tracker: Tracker, video: Video) -> None:
        self.tracker, self.video, self.number = tracker, video, 0
        count = len(video.frames)
        self.tracked = Tracked(np.empty((count, 4)), np.ones(count), np.empty((count, 2)))
        self._frames = Ahead(frames_of(video), DEPTH)

    def begin(self) -> None:
        """Take the target from the first frame.

        Raises:
            DataError: see ``evaluate.track``.
        """
        began = time.perf_counter()
        frame, name = next(self._frames), f"sequence {self.video.name}"
        self.tracked.boxes[0] = require_first_box(self.video.boxes[0], frame.shape[1], frame.shape[0], name)
        self.tracker.init(frame, self.tracked.boxes[0])
        self.tracked.milliseconds[0] = 1000 * (time.perf_counter() - began), 1000 * self.tracker.seconds
        self.number = 1

    @property
    def done(self) -> bool:
        """Whether all frames have their box."""
        return self.number == len(self.video.frames)

    def search(self) -> Image:
        """The search region of the next frame."""
        return self.tracker.search(next(self._frames))

    def keep(self, box: np.ndarray, milliseconds: tuple[float, float]) -> None:
        """The next frame's box and its share of the time."""
        self.tracked.boxes[self.number] = box
        self.tracked.confidences[self.number] = self.tracker.confidence
        self.tracked.milliseconds[self.number] = milliseconds
        self.number += 1

    def close(self) -> None:
        """End the reader thread."""
        self._frames.close()


def track_together(tracker: Tracker, videos: Sequence[Video], folder: Path, label: str, batch: int) -> None:
    """Track sequences into ``folder``, up to ``batch`` of them side by side; one that is done makes room for the next.

    The network is called with ``batch`` targets always; places that are empty repeat the first. So the shape of the
    computation, on which its rounding depends, does not depend on which sequences were left. Times of a frame are its
    share of the step that several shared.

    Args:
        tracker: gives network and crop sizes.
        videos: in the order in which they begin.
        folder: there already.
        label: for the progress display.
        batch: targets in a call.

    Raises:
        DataError: see ``evaluate.track``.
    """
    waiting = iter(videos)
    alive: list[Follower] = []
    with Meter(label, videos) as meter:
        try:
            while _fill(alive, waiting, tracker, batch, meter):
                meter.advance(_advance(alive, tracker, batch))
                for each in [each for each in alive if each.done]:
                    each.close()
                    alive.remove(each)
                    write_tracked(folder, each.video, each.tracked, world()[1])
                    meter.finish()
        finally:
            for each in alive:
                each.close()


def _fill(alive: list[Follower], waiting: Iterator[Video], tracker: Tracker, batch: int, meter: Meter) -> bool:
    """Let sequences begin while there is room; whether any is on its way."""
    while len(alive) < batch and (video := next(waiting, None)) is not None:
        alive.append(Follower(Tracker(tracker.network, tracker.sizes, tracker.name), video))
        alive[-1].begin()
        meter.advance(1)
    return bool(alive)


def _advance(alive: Sequence[Follower], tracker: Tracker, batch: int) -> int:
    """One frame of each that has one left (a sequence of a single frame has none); how many those are."""
    moving = [each for each in alive if not each.done]
    if not moving:
        return 0
    began = time.perf_counter()
    crops = [each.search() for each in moving]
    memories = [each.tracker.memory for each in moving]
    spare = batch - len(moving)
    before = time.perf_counter()
    maps = tracker.network.look(memories + memories[:1] * spare, crops + crops[:1] * spare)
    looked = time.perf_counter()
    boxes = [each.tracker.settle(found) for each, found in zip(moving, maps, strict=False)]
    share = 1000 / len(moving)
    times = share * (time.perf_counter() - began), share * (looked - before)
    for each, box in zip(moving, boxes, strict=True):
        each.keep(box, times)
    return len(moving)
