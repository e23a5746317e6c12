"""Several sequences advanced side by side on a GPU: one call of the network serves a frame of each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from engine.device import get_dist_info
from tracking.data.boxes import require_first_box
from tracking.data.crops import ImageArray
from tracking.data.readers.sequence import Video
from tracking.inference.prefetch import PrefetchIterator
from tracking.inference.progress import TrackingProgress
from tracking.inference.result_files import TrackedSequence, write_tracked_sequence
from tracking.inference.sequential import iter_frames
from tracking.inference.tracker import Tracker

PREFETCH_PER_SEQUENCE = 2
"""Frames that wait decoded, a sequence."""


class SequenceState:
    """One sequence on its way: its frames, its tracker, and what was found so far. ``close`` ends its reader thread."""

    def __init__(self, tracker: Tracker, video: Video) -> None:
        self.tracker, self.video, self.frame_index = tracker, video, 0
        self.results = TrackedSequence.allocate(len(video.frames))
        self._frames = PrefetchIterator(iter_frames(video), PREFETCH_PER_SEQUENCE)

    def init_target(self) -> None:
        """Take the target from the first frame.

        Raises:
            DataError: see ``sequential.track_sequence``.
        """
        began = time.perf_counter()
        frame, name = next(self._frames), f"sequence {self.video.name}"
        self.results.boxes[0] = require_first_box(self.video.boxes[0], frame.shape[1], frame.shape[0], name)
        self.tracker.init(frame, self.results.boxes[0])
        self.results.times_ms[0] = 1000 * (time.perf_counter() - began), 1000 * self.tracker.network_seconds
        self.frame_index = 1

    @property
    def is_done(self) -> bool:
        """Whether all frames have their box."""
        return self.frame_index == len(self.video.frames)

    def crop_search_region(self) -> ImageArray:
        """The search region of the next frame."""
        return self.tracker.crop_search_region(next(self._frames))

    def record_frame(self, box: np.ndarray, milliseconds: tuple[float, float]) -> None:
        """The next frame's box and its share of the time."""
        self.results.boxes[self.frame_index] = box
        self.results.confidences[self.frame_index] = self.tracker.confidence
        self.results.times_ms[self.frame_index] = milliseconds
        self.frame_index += 1

    def close(self) -> None:
        """End the reader thread."""
        self._frames.close()


def track_batched(tracker: Tracker, videos: Sequence[Video], folder: Path, label: str, batch_size: int) -> None:
    """Track sequences into ``folder``, up to ``batch_size`` side by side; one that is done makes room for the next.

    The network is called with ``batch_size`` targets always; places that are empty repeat the first. So the shape of
    the computation, on which its rounding depends, does not depend on which sequences were left. Times of a frame are
    its share of the step that several shared.

    Args:
        tracker: gives network and crop sizes.
        videos: in the order in which they begin.
        folder: there already.
        label: for the progress display.
        batch_size: targets in a call.

    Raises:
        DataError: see ``sequential.track_sequence``.
    """
    waiting = iter(videos)
    alive: list[SequenceState] = []
    with TrackingProgress(label, videos) as meter:
        try:
            while _start_sequences(alive, waiting, tracker, batch_size, meter):
                meter.advance_frames(_advance_one_frame(alive, tracker, batch_size))
                for each in [each for each in alive if each.is_done]:
                    each.close()
                    alive.remove(each)
                    write_tracked_sequence(folder, each.video, each.results, get_dist_info()[1])
                    meter.finish_sequence()
        finally:
            for each in alive:
                each.close()


def _start_sequences(
    active: list[SequenceState], pending: Iterator[Video], tracker: Tracker, batch_size: int, progress: TrackingProgress
) -> bool:
    """Let sequences begin while there is room; whether any is on its way."""
    while len(active) < batch_size and (video := next(pending, None)) is not None:
        active.append(SequenceState(Tracker(tracker.network, tracker.crop_sizes, tracker.name), video))
        active[-1].init_target()
        progress.advance_frames(1)
    return bool(active)


def _advance_one_frame(active: Sequence[SequenceState], tracker: Tracker, batch_size: int) -> int:
    """One frame of each that has one left (a sequence of a single frame has none); how many those are."""
    moving = [each for each in active if not each.is_done]
    if not moving:
        return 0
    began = time.perf_counter()
    crops = [each.crop_search_region() for each in moving]
    memories = [each.tracker.encoded_template for each in moving]
    spare = batch_size - len(moving)
    before = time.perf_counter()
    maps = tracker.network.predict_maps(memories + memories[:1] * spare, crops + crops[:1] * spare)
    looked = time.perf_counter()
    boxes = [each.tracker.decode_box(found) for each, found in zip(moving, maps, strict=False)]
    share = 1000 / len(moving)
    times = share * (time.perf_counter() - began), share * (looked - before)
    for each, box in zip(moving, boxes, strict=True):
        each.record_frame(box, times)
    return len(moving)
