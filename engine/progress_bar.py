"""How far a loop has come: a bar with the time that remains on a terminal, plain lines where there is none."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PLAIN_EVERY_SECONDS = 15.0


class Counter:
    """Counts items of a loop; as a context it takes its bar away at the end, also after an error.

    Args:
        label: what is done.
        unit: of the items, in the plural.
        total: how many there will be, if that is known.
    """

    def __init__(self, label: str, unit: str, total: int | None = None) -> None:
        self.label, self.unit, self.total = label, unit, total
        self.done = 0
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._began = self._spoke = time.monotonic()

    def __enter__(self) -> Counter:
        self._began = self._spoke = time.monotonic()
        if sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[count]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.add_task(self.label, total=self.total, count="", note="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def step(self, note: str = "", count: int = 1) -> None:
        """One more item is done (or ``count``); ``note`` stands beside the count."""
        self.done += count
        now = time.monotonic()
        if self._bar is not None:
            task = self._bar.tasks[0].id
            self._bar.update(task, completed=self.done, count=self._count(), note=note)
        elif now - self._spoke > PLAIN_EVERY_SECONDS:
            self._spoke = now
            rate = self.done / (now - self._began)
            left = f", {(self.total - self.done) / rate:.0f} s left" if self.total and self.total > self.done else ""
            self.say(f"{self.label}: {self._count()} {self.unit}, {rate:.0f} a second{left}{note and ', '}{note}")

    def say(self, message: str) -> None:
        """A line above the bar."""
        (self._bar.console if self._bar is not None else self._console).print(message, markup=False)

    def _count(self) -> str:
        return f"{self.done}/{self.total}" if self.total else f"{self.done}"
