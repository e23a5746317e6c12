"""Progress of a training on the terminal, with the time that remains; plain lines where there is no terminal."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from rich.console import Console

from engine.progress_bar import ProgressBar


def log_message(message: str) -> None:
    """A line for the person at the terminal (stderr: stdout is for results)."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(message, markup=False)


class ProgressHook(Hook):
    """A bar over iterations, with the newest validation; of several processes the first one shows it."""

    priority = "LOWEST"

    def __init__(self, label: str, metric: str, metric_unit: str) -> None:
        self.label = label
        self.metric = metric
        self.metric_unit = metric_unit
        self._bar: ProgressBar | None = None
        self._note = ""

    def before_train(self, runner: Any) -> None:
        """Show the bar."""
        if runner.rank == 0:
            self._bar = ProgressBar(
                self.label, "iterations", runner.max_iters, with_rate=False, num_done=runner.iter
            ).__enter__()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Advance."""
        if self._bar is not None:
            self._bar.advance(self._note, runner.iter + 1 - self._bar.num_done)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Note the newest validation."""
        value = (metrics or {}).get(self.metric)
        if value is not None:
            name = self.metric.rpartition("/")[2]
            self._note = f"val {name} {value:.2f} {self.metric_unit}"
        if self._bar is not None:
            self._bar.show_note(self._note)

    def after_train(self, runner: Any) -> None:
        """Take the bar away."""
        self.close()

    def close(self) -> None:
        """Take the bar away, also after an error."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
