"""Show the progress of a loop: a bar with the remaining time on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from foundation.display_text import escape_controls, format_one_line

LOG_INTERVAL_SECONDS = 15.0  # between two plain lines, so that the log of a batch job stays short


def log_message(message: str) -> None:
    """Print a line for the user to stderr (stdout is reserved for results)."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(escape_controls(message), markup=False)


class ProgressBar:
    """Counts the items of a loop. As a context manager it removes its bar at the end, also after an error.

    A plain line reads ``label: 31/100 frames, 2 a second, 34 s left, note``.

    Args:
        label: what the loop does.
        unit: name of the items, in the plural.
        total: number of items, if known.
        count_prefix: text before the count, for example ``features of train,``.
        with_rate: whether a plain line contains the items per second.
        num_done: items that an interrupted run had already done; they do not count in the rate.
    """

    def __init__(
        self,
        label: str,
        unit: str,
        total: int | None = None,
        *,
        count_prefix: str = "",
        with_rate: bool = True,
        num_done: int = 0,
    ) -> None:
        self.label, self.unit, self.total = format_one_line(label), unit, total
        self.count_prefix, self.with_rate = count_prefix, with_rate
        self.num_done = self._num_done_before = num_done
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None  # stays ``None`` if stderr is not a terminal
        self._start_time = self._last_log_time = time.monotonic()

    def __enter__(self) -> ProgressBar:
        self._start_time = self._last_log_time = time.monotonic()
        if sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}", markup=False),  # labels and notes may hold names with [brackets]
                BarColumn(),
                TextColumn("{task.fields[count]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
            )
            description = f"{self.label}: {self.count_prefix.rstrip(',')}" if self.count_prefix else self.label
            self._bar = Progress(*columns, console=self._console, transient=True)  # transient: erased when it stops
            self._bar.add_task(description, total=self.total, completed=self.num_done, count="", note="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def advance(self, note: str = "", num_items: int = 1) -> None:
        """Count finished items.

        Args:
            note: text next to the count.
            num_items: number of items finished since the last call.
        """
        self.num_done += num_items
        now = time.monotonic()
        if self._bar is not None:
            task = self._bar.tasks[0].id
            self._bar.update(task, completed=self.num_done, count=self._format_count(), note=format_one_line(note))
        elif now - self._last_log_time > LOG_INTERVAL_SECONDS:
            self._last_log_time = now
            num_done_here = self.num_done - self._num_done_before
            rate = num_done_here / (now - self._start_time)  # items per second
            parts = [f"{self.label}: {self.count_prefix}{self.count_prefix and ' '}{self._format_count()} {self.unit}"]
            if self.with_rate:
                parts.append(f"{rate:.0f} a second")
            remaining = (self.total or 0) - self.num_done
            # The last line says "0 s left" only if it has no rate to show.
            if num_done_here and (remaining > 0 or (remaining == 0 and not self.with_rate)):
                parts.append(f"{remaining / rate:.0f} s left")
            self.log_message(", ".join([*parts, note] if note else parts))

    def show_note(self, note: str) -> None:
        """Show a note next to the bar without counting an item; plain lines show only the note of ``advance``."""
        if self._bar is not None:
            self._bar.update(self._bar.tasks[0].id, note=format_one_line(note))

    def log_message(self, message: str) -> None:
        """Print a line above the bar."""
        (self._bar.console if self._bar is not None else self._console).print(escape_controls(message), markup=False)

    def _format_count(self) -> str:
        return f"{self.num_done}/{self.total}" if self.total else f"{self.num_done}"
