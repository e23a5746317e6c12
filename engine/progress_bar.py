"""How far a loop has come: a bar with the time that remains on a terminal, plain lines where there is none."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LOG_INTERVAL_SECONDS = 15.0


class ProgressBar:
    """Counts items of a loop; as a context it takes its bar away at the end, also after an error.

    Args:
        label: what is done.
        unit: of the items, in the plural.
        total: how many there will be, if that is known.
    """

    def __init__(self, label: str, unit: str, total: int | None = None) -> None:
        self.label, self.unit, self.total = label, unit, total
        self.num_done = 0
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._start_time = self._last_log_time = time.monotonic()

    def __enter__(self) -> ProgressBar:
        self._start_time = self._last_log_time = time.monotonic()
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

    def advance(self, note: str = "", num_items: int = 1) -> None:
        """One more item is done (or ``num_items``); ``note`` stands beside the count."""
        self.num_done += num_items
        now = time.monotonic()
        if self._bar is not None:
            task = self._bar.tasks[0].id
            self._bar.update(task, completed=self.num_done, count=self._format_count(), note=note)
        elif now - self._last_log_time > LOG_INTERVAL_SECONDS:
            self._last_log_time = now
            rate = self.num_done / (now - self._start_time)
            left = (
                f", {(self.total - self.num_done) / rate:.0f} s left"
                if self.total and self.total > self.num_done
                else ""
            )
            self.log_message(
                f"{self.label}: {self._format_count()} {self.unit}, {rate:.0f} a second{left}{note and ', '}{note}"
            )

    def log_message(self, message: str) -> None:
        """A line above the bar."""
        (self._bar.console if self._bar is not None else self._console).print(message, markup=False)

    def _format_count(self) -> str:
        return f"{self.num_done}/{self.total}" if self.total else f"{self.num_done}"
