"""Batch norm over groups of pairs, so that neither pieces nor processes change what it computes."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from torch import Tensor, nn
from torch.nn import functional

from engine.training_checks.batch_norm import count_norm_groups


class RunningStatistics(NamedTuple):
    """Running mean and variance of a batch norm, (C,) each."""

    mean: Tensor
    var: Tensor


class GroupBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that normalizes each group of pairs by its own mean and variance while training.

    The groups are those of ``engine.training_checks.batch_norm.count_norm_groups``. After an optimizer step the running
    statistics are the mean of what each group alone would have made of them: r becomes the mean of (1 - m) r + m s over
    the statistics s of the groups, with momentum m. As in the papers, where each GPU has one group, they move by m per
    step, however many groups a step has. A step with one group is exactly torch's.

    Args:
        num_features: number of channels.
        norm_group: largest number of images in a group.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, norm_group: int) -> None:
        super().__init__(num_features)
        self.norm_group = norm_group
        self._start: RunningStatistics | None = None  # before the step; not None within a step
        self._groups: list[RunningStatistics] = []

    def begin_step(self) -> None:
        """Collect the running statistics of all groups until ``end_step``, from any number of forward passes."""
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self._start, self._groups = RunningStatistics(self.running_mean.clone(), self.running_var.clone()), []

    def end_step(self) -> None:
        """Set the running statistics from the groups of this step in all processes."""
        if self._groups:
            for own, each in zip((self.running_mean, self.running_var), zip(*self._groups, strict=True), strict=True):
                # sum and count, as processes need not have equally many groups
                total = torch.cat([torch.stack(each).sum(0), own.new_tensor([len(each)])])
                all_reduce(total)
                own.copy_(total[:-1] / total[-1])
        self._start, self._groups = None, []

    def forward(self, input: Tensor) -> Tensor:
        """Normalize images (batch, C, height, width); outside of a step, each call is a step of its own."""
        if not self.training:
            return super().forward(input)
        alone = self._start is None
        if alone:
            self.begin_step()
        count = count_norm_groups(len(input), self.norm_group)
        parts = [self._normalize_group(input[group::count]) for group in range(count)]
        if alone:
            self.end_step()
        if count == 1:
            return parts[0]
        output = parts[0].new_empty(input.shape)
        for group, part in enumerate(parts):
            output[group::count] = part
        return output

    def _normalize_group(self, images: Tensor) -> Tensor:
        assert self._start is not None and self.momentum is not None, "begin_step was called"
        statistics = RunningStatistics(self._start.mean.clone(), self._start.var.clone())
        normalized = functional.batch_norm(
            images, statistics.mean, statistics.var, self.weight, self.bias, True, self.momentum, self.eps
        )
        self._groups.append(statistics)
        return normalized


class GroupStatisticsHook(Hook):
    """Tells each ``GroupBatchNorm2d`` of a model when an optimizer step begins and ends.

    Args:
        model: the model.
    """

    def __init__(self, model: nn.Module) -> None:
        self.norms = [module for module in model.modules() if isinstance(module, GroupBatchNorm2d)]

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Begin a step."""
        for norm in self.norms:
            norm.begin_step()

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """End a step."""
        for norm in self.norms:
            norm.end_step()
