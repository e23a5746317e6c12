"""Progress of a training on the terminal, with the time that remains; plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from engine.progress_bar import LOG_INTERVAL_SECONDS


def log_message(message: str) -> None:
    """A line for the person at the terminal (stderr: stdout is for results)."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(message, markup=False)


class ProgressHook(Hook):
    """A bar over iterations, with the newest validation; a line every 15 s where stderr is no terminal."""

    priority = "LOWEST"

    def __init__(self, label: str, metric: str, metric_unit: str) -> None:
        self.label = label
        self.metric = metric
        self.metric_unit = metric_unit
        self._bar: Progress | None = None
        self._task: Any = None
        self._note = ""
        self._start_time = self._last_log_time = 0.0
        self._first_iter = 0

    def before_train(self, runner: Any) -> None:
        """Show the bar."""
        self._start_time = self._last_log_time = time.monotonic()
        self._first_iter = runner.iter
        if runner.rank == 0 and sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self.label, total=runner.max_iters, completed=runner.iter, note="")
            self._bar.start()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Advance."""
        if self._bar is not None:
            self._bar.update(self._task, completed=runner.iter + 1)
        elif runner.rank == 0 and time.monotonic() - self._last_log_time > LOG_INTERVAL_SECONDS:
            self._last_log_time = time.monotonic()
            done = runner.iter + 1
            rate = (self._last_log_time - self._start_time) / (done - self._first_iter)
            left = rate * (runner.max_iters - done)
            log_message(f"{self.label}: {done}/{runner.max_iters} iterations, {left:.0f} s left{self._note}")

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Note the newest validation."""
        value = (metrics or {}).get(self.metric)
        if value is not None:
            name = self.metric.rpartition("/")[2]
            self._note = f", val {name} {value:.2f} {self.metric_unit}"
        if self._bar is not None:
            self._bar.update(self._task, note=self._note.removeprefix(", "))

    def after_train(self, runner: Any) -> None:
        """Take the bar away."""
        self.close()

    def close(self) -> None:
        """Take the bar away, also after an error."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
