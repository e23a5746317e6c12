"""Display the progress of tracking: finished frames and sequences, and the remaining time estimated from frames."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from engine.calibration.scope import LoopTimer, end_calibration, get_calibration
from engine.device import get_dist_info
from engine.progress_bar import ProgressBar
from tracking.data.readers.sequence import Video


class TrackingProgress:
    """A progress display that counts the frames of several sequences.

    The clock starts with the first frame, so that starting processes is not part of the rate. Under ``torchrun`` only
    the first process displays anything.

    Args:
        label: name of what is tracked.
        videos: the sequences that are left.
    """

    def __init__(self, label: str, videos: Sequence[Video]) -> None:
        self.num_sequences, self.num_finished = len(videos), 0
        # frames and not sequences, whose lengths differ by a factor of ten
        self._counter = ProgressBar(label, "frames", sum(len(video.frames) for video in videos))
        self._is_main_process = get_dist_info()[0] == 0
        scope, total = get_calibration(), sum(len(video.frames) for video in videos)
        self._timer = None if scope is None else LoopTimer(scope, "track", "frames", total)

    def __enter__(self) -> TrackingProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._counter.__exit__(kind, error, trace)

    def advance_frames(self, count: int) -> None:
        """Count more frames.

        Args:
            count: number of frames.
        """
        if self._is_main_process:
            # started here and not in __enter__, see the class
            if self._counter.num_done == 0:
                self._counter.__enter__()
            self._counter.advance(f"{self.num_finished}/{self.num_sequences} sequences", count)
        if self._timer is not None and self._timer.advance(count):
            self._timer.finish()
            end_calibration()

    def finish_sequence(self) -> None:
        """Count one more finished sequence."""
        self.num_finished += 1
