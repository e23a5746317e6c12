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

    The plain line is ``label: 31/100 frames, 2 a second, 34 s left, note``.

    Args:
        label: what is done.
        unit: of the items, in the plural.
        total: how many there will be, if that is known.
        count_prefix: stands before the count, for example ``features of train,``.
        with_rate: whether the line says how many are done in a second.
        num_done: items that were done before, by a run that is resumed here; they are not part of the rate.
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
        self.label, self.unit, self.total = label, unit, total
        self.count_prefix, self.with_rate = count_prefix, with_rate
        self.num_done = self._num_done_before = num_done
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
            description = f"{self.label}: {self.count_prefix.rstrip(',')}" if self.count_prefix else self.label
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.add_task(description, total=self.total, completed=self.num_done, count="", note="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
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
            num_done_here = self.num_done - self._num_done_before
            rate = num_done_here / (now - self._start_time)
            parts = [f"{self.label}: {self.count_prefix}{self.count_prefix and ' '}{self._format_count()} {self.unit}"]
            if self.with_rate:
                parts.append(f"{rate:.0f} a second")
            remaining = (self.total or 0) - self.num_done
            # at the end there is a rate to say; a line without one says the time to its end
            if num_done_here and (remaining > 0 or (remaining == 0 and not self.with_rate)):
                parts.append(f"{remaining / rate:.0f} s left")
            self.log_message(", ".join([*parts, note] if note else parts))

    def show_note(self, note: str) -> None:
        """Put a note on the bar without an item being done; a plain line has it from the next ``advance`` on."""
        if self._bar is not None:
            self._bar.update(self._bar.tasks[0].id, note=note)

    def log_message(self, message: str) -> None:
        """A line above the bar."""
        (self._bar.console if self._bar is not None else self._console).print(message, markup=False)

    def _format_count(self) -> str:
        return f"{self.num_done}/{self.total}" if self.total else f"{self.num_done}"
