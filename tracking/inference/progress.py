"""Progress of tracking: frames and sequences done, and the time that remains by frames."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from engine.device import world
from engine.progress_bar import Counter
from tracking.data.readers.sequence import Video


class Meter:
    """Counts the frames of several sequences, from the first one on: starting is no part of their rate.

    Of several processes under ``torchrun`` the first one speaks.

    Args:
        label: what is being tracked.
        videos: the sequences that are left.
    """

    def __init__(self, label: str, videos: Sequence[Video]) -> None:
        self.sequences, self.finished = len(videos), 0
        self._counter = Counter(label, "frames", sum(len(video.frames) for video in videos))
        self._speaks = world()[0] == 0

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._counter.__exit__(kind, error, trace)

    def advance(self, frames: int) -> None:
        """So many frames more."""
        if self._speaks:
            if self._counter.done == 0:
                self._counter.__enter__()
            self._counter.step(f"{self.finished}/{self.sequences} sequences", frames)

    def finish(self) -> None:
        """One sequence more."""
        self.finished += 1
