"""Progress of tracking: frames and sequences done, and the time that remains by frames."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from engine.device import world

from tracking.readers.sequence import Video


class Meter:
    """A bar over frames; a line every 15 s where stderr is no terminal. Of several processes the first one speaks.

    Args:
        label: what is being tracked.
        videos: the sequences that are left.
    """

    def __init__(self, label: str, videos: Sequence[Video]) -> None:
        self.label = label
        self.frames, self.sequences = sum(len(video.frames) for video in videos), len(videos)
        self.done = self.finished = 0
        self._speaks = world()[0] == 0 and bool(videos)
        self._bar: Progress | None = None

    def __enter__(self) -> Meter:
        self._began = self._spoke = time.monotonic()
        if self._speaks and sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self.label, total=self.frames, note="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, frames: int) -> None:
        """So many frames more."""
        self.done += frames
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)
        elif self._speaks and time.monotonic() - self._spoke > PLAIN_EVERY_SECONDS:
            self._spoke = time.monotonic()
            say(f"{self.label}: {self.state()}")

    def finish(self) -> None:
        """One sequence more."""
        self.finished += 1
        if self._bar is not None:
            self._bar.update(self._task, note=f"{self.finished}/{self.sequences} sequences")

    def state(self) -> str:
        """What is done and what remains, in words."""
        rate = self.done / max(time.monotonic() - self._began, 1e-9)
        left = (self.frames - self.done) / rate if rate else float("inf")
        return (
            f"{self.finished}/{self.sequences} sequences, {self.done}/{self.frames} frames tracked, "
            f"{rate:.0f} frames/s, {left:.0f} s left"
        )
