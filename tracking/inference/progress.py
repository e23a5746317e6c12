"""Progress of tracking: frames and sequences done, and the time that remains by frames."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from engine.device import get_dist_info
from engine.progress_bar import ProgressBar
from tracking.data.readers.sequence import Video


class TrackingProgress:
    """Counts the frames of several sequences, from the first one on: starting is no part of their rate.

    Of several processes under ``torchrun`` the first one speaks.

    Args:
        label: what is being tracked.
        videos: the sequences that are left.
    """

    def __init__(self, label: str, videos: Sequence[Video]) -> None:
        self.num_sequences, self.num_finished = len(videos), 0
        self._counter = ProgressBar(label, "frames", sum(len(video.frames) for video in videos))
        self._is_main_process = get_dist_info()[0] == 0

    def __enter__(self) -> TrackingProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._counter.__exit__(kind, error, trace)

    def advance_frames(self, count: int) -> None:
        """So many frames more."""
        if self._is_main_process:
            if self._counter.num_done == 0:
                self._counter.__enter__()
            self._counter.advance(f"{self.num_finished}/{self.num_sequences} sequences", count)

    def finish_sequence(self) -> None:
        """One sequence more."""
        self.num_finished += 1
