"""Show the progress of a training with the remaining time; prints plain lines if stderr is not a terminal."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from engine.progress_bar import ProgressBar


class ProgressHook(Hook):
    """Shows a bar over the iterations with the latest validation value; only the first process shows it.

    Args:
        label: text at the start of the line.
        metric: key of the validation metric to display.
        metric_unit: its unit.
    """

    priority = "LOWEST"

    def __init__(self, label: str, metric: str, metric_unit: str) -> None:
        self.label = label
        self.metric = metric
        self.metric_unit = metric_unit
        self._bar: ProgressBar | None = None
        self._note = ""

    def before_train(self, runner: Any) -> None:
        """Show the bar, starting at the iterations done before a resume."""
        if runner.rank == 0:
            self._bar = ProgressBar(
                self.label, "iterations", runner.max_iters, with_rate=False, num_done=runner.iter
            ).__enter__()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Advance the bar by one iteration."""
        if self._bar is not None:
            # mmengine increases ``runner.iter`` after this hook
            self._bar.advance(self._note, runner.iter + 1 - self._bar.num_done)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Show the latest validation value next to the bar."""
        value = (metrics or {}).get(self.metric)
        if value is not None:
            name = self.metric.rpartition("/")[2]  # without mmengine's prefix
            self._note = f"val {name} {value:.2f} {self.metric_unit}"
        if self._bar is not None:
            self._bar.show_note(self._note)

    def after_train(self, runner: Any) -> None:
        """Remove the bar."""
        self.close()

    def close(self) -> None:
        """Remove the bar; also called after an error."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
