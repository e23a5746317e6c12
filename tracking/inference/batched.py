"""Track several sequences side by side on a GPU: one call of the network processes one frame of each."""

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
from tracking.inference.sequential import iter_frames, name_failed_frame
from tracking.inference.tracker import Tracker

PREFETCH_PER_SEQUENCE = 2
"""Number of decoded frames that wait for each sequence."""


class SequenceState:
    """The state of one sequence in progress: its frames, its tracker and its results.

    Args:
        tracker: a tracker for this sequence alone.
        video: the sequence.

    Attributes:
        frame_index: index of the next frame.
        results: boxes, confidences and times so far.
    """

    def __init__(self, tracker: Tracker, video: Video) -> None:
        self.tracker, self.video, self.frame_index = tracker, video, 0
        self.results = TrackedSequence.allocate(len(video.frames))
        self._frames = PrefetchIterator(iter_frames(video), PREFETCH_PER_SEQUENCE)

    def init_target(self) -> None:
        """Start the tracker with the first frame and its true box.

        Raises:
            DataError: see ``sequential.track_sequence``.
        """
        # the times of the first frame are those of encoding the template
        began = time.perf_counter()
        frame, name = next(self._frames), f"sequence {self.video.name}"
        self.results.boxes[0] = require_first_box(self.video.boxes[0], frame.shape[1], frame.shape[0], name)
        self.tracker.init(frame, self.results.boxes[0])
        self.results.times_ms[0] = 1000 * (time.perf_counter() - began), 1000 * self.tracker.network_seconds
        self.frame_index = 1

    @property
    def is_done(self) -> bool:
        """Whether all frames have a box."""
        return self.frame_index == len(self.video.frames)

    def crop_search_region(self) -> ImageArray:
        """Cut the search region of the next frame."""
        return self.tracker.crop_search_region(next(self._frames))

    def record_frame(self, box: np.ndarray, milliseconds: tuple[float, float]) -> None:
        """Store the results of the next frame.

        Args:
            box: x, y, width, height in pixels, shape (4,).
            milliseconds: end-to-end time and network time of the frame.
        """
        self.results.boxes[self.frame_index] = box
        self.results.confidences[self.frame_index] = self.tracker.confidence
        self.results.times_ms[self.frame_index] = milliseconds
        self.frame_index += 1

    def close(self) -> None:
        """Stop the thread that decodes frames."""
        self._frames.close()


def track_batched(tracker: Tracker, videos: Sequence[Video], folder: Path, label: str, batch_size: int) -> None:
    """Track sequences into ``folder``, up to ``batch_size`` side by side; a finished one is replaced by the next.

    The network is always called with ``batch_size`` targets; unused slots repeat the first target. Rounding depends on
    the batch size, so with a constant size it does not depend on which sequences are left. The time of a frame is an
    equal part of the time of the step in which several frames were processed.

    Args:
        tracker: provides the network and the crop sizes.
        videos: sequences in the order in which they are started.
        folder: folder for the result files, which exists.
        label: name for the progress display.
        batch_size: number of targets per call.

    Raises:
        DataError: see ``sequential.track_sequence``.
    """
    waiting = iter(videos)
    alive: list[SequenceState] = []
    with TrackingProgress(label, videos) as meter:
        try:
            while _start_sequences(alive, waiting, tracker, batch_size, meter):
                meter.advance_frames(_advance_one_frame(alive, tracker, batch_size))
                # a list of its own, as sequences are removed from ``alive`` in the loop
                for each in [each for each in alive if each.is_done]:
                    each.close()
                    alive.remove(each)
                    write_tracked_sequence(folder, each.video, each.results, get_dist_info()[1])
                    meter.finish_sequence()
        finally:
            # after an error too: each sequence has a thread that would otherwise wait forever
            for each in alive:
                each.close()


def _start_sequences(
    active: list[SequenceState], pending: Iterator[Video], tracker: Tracker, batch_size: int, progress: TrackingProgress
) -> bool:
    """Start pending sequences while there is room; return whether any sequence is in progress."""
    while len(active) < batch_size and (video := next(pending, None)) is not None:
        active.append(SequenceState(Tracker(tracker.network, tracker.crop_sizes, tracker.name), video))
        active[-1].init_target()
        progress.advance_frames(1)
    return bool(active)


def _advance_one_frame(active: Sequence[SequenceState], tracker: Tracker, batch_size: int) -> int:
    """Track the next frame of each active sequence that has one left; return how many frames were tracked."""
    # a sequence of a single frame is done once its target is initialized
    moving = [each for each in active if not each.is_done]
    if not moving:
        return 0
    began = time.perf_counter()
    crops = [each.crop_search_region() for each in moving]
    memories = [each.tracker.encoded_template for each in moving]
    # unused slots repeat the first target, and their maps are dropped below
    spare = batch_size - len(moving)
    network_start = time.perf_counter()
    maps = tracker.network.predict_maps(memories + memories[:1] * spare, crops + crops[:1] * spare)
    network_end = time.perf_counter()
    boxes = []
    # not strict: the maps of unused slots come last and are ignored
    for each, found in zip(moving, maps, strict=False):
        with name_failed_frame(each.video, each.frame_index):
            boxes.append(each.tracker.decode_box(found))
    # an equal part for each frame of the step, in milliseconds
    share = 1000 / len(moving)
    times = share * (time.perf_counter() - began), share * (network_end - network_start)
    for each, box in zip(moving, boxes, strict=True):
        each.record_frame(box, times)
    return len(moving)
