"""The loss curve of a pre-training; checkpoints store it, so that a resumed run has the complete curve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from engine.checkpoints import unwrap_model
from engine.device import get_dist_info
from engine.progress_bar import log_message
from pretraining.methods.method import PretrainMethod


class LossCurveHook(Hook):
    """Adds one row per epoch (or per interval of iterations): mean losses, learning rate, and the k-NN check if due.

    It also tells the method when a step begins and ends, and collects the images that were skipped.

    Args:
        by_epoch: whether the run is counted in epochs.
        log_interval: iterations per row, if the run is counted in iterations.
        knn_monitor: computes the k-NN accuracy (percent) of an encoder; ``None`` without a health check.
        knn_interval: epochs or iterations between two health checks; 0 for one at the end only.
    """

    priority = "LOW"  # before the hook that saves the checkpoint, which contains the rows

    def __init__(
        self, by_epoch: bool, log_interval: int, knn_monitor: Callable[[nn.Module], float] | None, knn_interval: int
    ) -> None:
        self.by_epoch, self.log_interval = by_epoch, log_interval
        self.knn_monitor, self.knn_interval = knn_monitor, knn_interval
        self.rows: list[dict[str, float | None]] = []
        self.skipped_items: set[int] = set()
        self._loss_sums: dict[str, Tensor] = {}
        self._iteration_count = 0

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Tell the method that a step begins."""
        _unwrap_method(runner).before_step(runner.iter / runner.max_iters)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Tensor] | None = None
    ) -> None:
        """Tell the method that a step ended, add up the losses, and add a row if iterations are counted."""
        _unwrap_method(runner).after_step()
        for name, value in (outputs or {}).items():
            # stays a tensor on the device: a conversion to float would wait for the GPU in every step
            self._loss_sums[name] = self._loss_sums.get(name, 0.0) + value.detach()
        self._iteration_count += 1
        if isinstance(data_batch, dict) and "bad" in data_batch:
            self.skipped_items.update(item for item in data_batch["bad"].tolist() if item >= 0)  # -1: none
        done = runner.iter + 1  # mmengine increases its counter after this hook
        if not self.by_epoch and (done % self.log_interval == 0 or done == runner.max_iters):
            self._append_row(runner, done, done == runner.max_iters)

    def after_train_epoch(self, runner: Any) -> None:
        """Add a row if epochs are counted."""
        if self.by_epoch:
            self._append_row(runner, runner.epoch + 1, runner.epoch + 1 == runner.max_epochs)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Store the curve in the checkpoint."""
        checkpoint["curve"] = {"rows": self.rows, "bad": sorted(self.skipped_items)}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Continue the curve of the checkpoint."""
        self.rows, self.skipped_items = list(checkpoint["curve"]["rows"]), set(checkpoint["curve"]["bad"])

    def _append_row(self, runner: Any, step: int, last: bool) -> None:
        names = list(self._loss_sums)
        values = torch.stack([self._loss_sums[name] / self._iteration_count for name in names]).double()
        if get_dist_info()[1] > 1:
            # the mean over processes, which all have equally many items
            torch.distributed.all_reduce(values)
            values /= get_dist_info()[1]
            seen: list[Any] = [None] * get_dist_info()[1]
            torch.distributed.all_gather_object(seen, self.skipped_items)
            self.skipped_items = set().union(*seen)
        self._loss_sums, self._iteration_count = {}, 0  # the next row has its own means
        losses = dict(zip(names, values.tolist(), strict=True))
        # layer decay gives most groups a smaller rate; the largest one is the recipe's
        rate = max(group["lr"] for group in runner.optim_wrapper.param_groups)
        self.rows.append({"step": step, "lr": rate, **losses, "knn": self._run_knn_monitor(runner, step, last)})

    def _run_knn_monitor(self, runner: Any, step: int, last: bool) -> float | None:
        due = last or (self.knn_interval > 0 and step % self.knn_interval == 0)
        if self.knn_monitor is None or not due or get_dist_info()[0] > 0:
            return None
        value = self.knn_monitor(_unwrap_method(runner).exported_encoder)
        log_message(f"k-NN on training images: {value:.1f} % at {'epoch' if self.by_epoch else 'iteration'} {step}")
        return value


def _unwrap_method(runner: Any) -> PretrainMethod:
    model = unwrap_model(runner.model)
    assert isinstance(model, PretrainMethod)
    return model
