"""The loss curve of a pre-training: kept in checkpoints, so that a resumed run's is the undisturbed one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from engine.checkpoints import unwrapped
from engine.device import world
from engine.progress import say
from foundation.errors import BenchError
from pretraining.methods.method import Method


class CurveHook(Hook):
    """One row an epoch (or an interval of iterations): mean losses, learning rate, and the health check where due.

    It also tells the method when a step begins and ends, and counts images that were left out.

    Args:
        by_epoch: whether the run is counted in epochs.
        interval: iterations a row, where it is not.
        check: gives the health check's number for an encoder; ``None``: there is none.
        every: epochs or iterations between health checks; 0: at the end only.
    """

    priority = "LOW"  # before the checkpoint is written

    def __init__(self, by_epoch: bool, interval: int, check: Callable[[nn.Module], float] | None, every: int) -> None:
        self.by_epoch, self.interval = by_epoch, interval
        self.check, self.every = check, every
        self.rows: list[dict[str, float | None]] = []
        self.bad: set[int] = set()
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Tell the method."""
        _method(runner).before_step(runner.iter / runner.max_iters)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Tensor] | None = None
    ) -> None:
        """Tell the method, add up, and write a row where iterations are counted."""
        _method(runner).after_step()
        for name, value in (outputs or {}).items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach()
        self._count += 1
        if isinstance(data_batch, dict) and "bad" in data_batch:
            self.bad.update(item for item in data_batch["bad"].tolist() if item >= 0)
        done = runner.iter + 1
        if not self.by_epoch and (done % self.interval == 0 or done == runner.max_iters):
            self._row(runner, done, done == runner.max_iters)

    def after_train_epoch(self, runner: Any) -> None:
        """Write a row where epochs are counted."""
        if self.by_epoch:
            self._row(runner, runner.epoch + 1, runner.epoch + 1 == runner.max_epochs)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Keep the curve."""
        checkpoint["curve"] = {"rows": self.rows, "bad": sorted(self.bad)}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Go on with it."""
        self.rows, self.bad = list(checkpoint["curve"]["rows"]), set(checkpoint["curve"]["bad"])

    def _row(self, runner: Any, step: int, last: bool) -> None:
        names = list(self._sums)
        values = torch.stack([self._sums[name] / self._count for name in names]).double()
        if world()[1] > 1:
            torch.distributed.all_reduce(values)
            values /= world()[1]
            seen: list[Any] = [None] * world()[1]
            torch.distributed.all_gather_object(seen, self.bad)
            self.bad = set().union(*seen)
        self._sums, self._count = {}, 0
        losses = dict(zip(names, values.tolist(), strict=True))
        if not all(math.isfinite(value) for value in losses.values()):
            unit = "epoch" if self.by_epoch else "iteration"
            raise BenchError(f"the loss is no finite number at {unit} {step}; lower optimizer.lr, or set clip_grad")
        rate = max(group["lr"] for group in runner.optim_wrapper.param_groups)
        self.rows.append({"step": step, "lr": rate, **losses, "knn": self._health(runner, step, last)})

    def _health(self, runner: Any, step: int, last: bool) -> float | None:
        due = last or (self.every > 0 and step % self.every == 0)
        if self.check is None or not due or world()[0] > 0:
            return None
        value = self.check(_method(runner).encoder)
        say(f"k-NN on training images: {value:.1f} % at {'epoch' if self.by_epoch else 'iteration'} {step}")
        return value


def _method(runner: Any) -> Method:
    model = unwrapped(runner.model)
    assert isinstance(model, Method)
    return model
