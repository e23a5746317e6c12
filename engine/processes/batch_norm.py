"""Batch norm over the batches of all processes together, on any device; torch's own needs an accelerator."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from foundation.errors import UserError


class BatchMoments(NamedTuple):
    """Moments of each channel over the batches of all processes.

    Attributes:
        mean: (C,).
        square_sum: sum of the squared deviations from the mean, (C,).
        num_values: number of values per channel, a scalar.
    """

    mean: Tensor
    square_sum: Tensor
    num_values: Tensor


def synchronise_batch_norm(model: nn.Module) -> None:
    """Make every batch norm of a model compute its statistics over all processes; names of weights stay.

    A batch norm with a ``norm_group`` is left alone: a process has whole groups (``training_checks.norm_groups``).

    Args:
        model: changed in place.

    Raises:
        UserError: a layer has statistics of its batches, and how to share them is not known.
    """
    for name, module in model.named_modules():
        shared = _SYNCHRONISED.get(type(module))
        if shared is not None:
            # The class alone is exchanged: weights, buffers, hooks and whoever refers to the module stay.
            module.__class__ = shared
        elif _keeps_own_statistics(module):
            raise UserError(
                f"layer {name} ({type(module).__name__}) normalizes by the statistics of its batch, which bench cannot "
                "compute over several processes; start one process"
            )


def _keeps_own_statistics(module: nn.Module) -> bool:
    if isinstance(module, nn.SyncBatchNorm | _InstanceNorm | _Synchronised | SynchronisedBatchNormAct2d):
        return False
    has_statistics = isinstance(module, _BatchNorm) or getattr(module, "running_var", None) is not None
    return has_statistics and not hasattr(module, "norm_group")


def normalize_across_processes(norm: _BatchNorm, values: Tensor) -> Tensor:
    """Normalize by mean and variance over the batches of all processes, and move the running statistics.

    With a momentum of ``None`` these are plain means over the steps, as in torch.

    Args:
        norm: gives weights, running statistics and momentum; in training mode.
        values: the batch of this process, (N, C) or (N, C, ...); N may differ between processes.

    Raises:
        ValueError: there is a single value per channel, as torch's batch norm says it.
    """
    output, mean, square_sum, count = _Normalization.apply(values, norm.weight, norm.bias, norm.eps)
    if norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None:
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.add_(1)
        part = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        with torch.no_grad():
            # the running variance is that of a sample (divided by n - 1), the batch is normalized by that over n
            for own, new in ((norm.running_mean, mean), (norm.running_var, square_sum / (count - 1))):
                own.mul_(1 - part).add_(part * new.to(own.dtype))
    return output  # type: ignore[no-any-return]


def combine_moments(parts: Tensor) -> BatchMoments:
    """Combine the moments of several processes, each counting by its number of values.

    Sums of squares are never subtracted from each other, so a mean that is far from 0 costs no digits (Chan, Golub and
    LeVeque, Algorithms for computing the sample variance, 1983, equation 2.1).

    Args:
        parts: mean, sum of squared deviations and count of each process, (processes, 2 C + 1).
    """
    channels = (parts.shape[1] - 1) // 2
    means, squares, counts = parts[:, :channels], parts[:, channels:-1], parts[:, -1:]
    total = counts.sum()
    mean = (counts * means).sum(0) / total
    return BatchMoments(mean, (squares + counts * (means - mean) ** 2).sum(0), total)


class _Normalization(torch.autograd.Function):
    """y = (x - mean) / sqrt(var + eps) * weight + bias with mean and var over all processes.

    With xhat = (x - mean) / sqrt(var + eps), g = dL/dy and means over the n values of all processes
    dL/dx = weight / sqrt(var + eps) * (g - mean(g) - xhat mean(g xhat)).
    (Ioffe and Szegedy, Batch Normalization, arXiv 1502.03167, section 3). The gradients of weight and bias are those of
    this process, since DistributedDataParallel adds them up.
    """

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the output, and the moments over all processes."""
        wide = values.to(torch.promote_types(values.dtype, torch.float32))  # bf16 has too few digits for sums
        var, mean = torch.var_mean(wide, _list_axes(values), correction=0)
        count = values.numel() // values.shape[1]
        # in float64, which costs nothing: these are vectors of 2 C + 1 numbers
        own = torch.cat([mean.double(), count * var.double(), mean.new_tensor([count], dtype=torch.float64)])
        parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, own)
        moments = combine_moments(torch.stack(parts))
        if moments.num_values < 2:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {values.shape}")
        scale = (moments.square_sum / moments.num_values + eps).rsqrt().to(wide.dtype)
        mean = moments.mean.to(wide.dtype)
        output = (wide - _align(mean, values)) * _align(scale if weight is None else scale * weight, values)
        if bias is not None:
            output = output + _align(bias, values)
        ctx.save_for_backward(values, weight, mean, scale, moments.num_values)
        ctx.mark_non_differentiable(*moments)
        return output.to(values.dtype), *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        """Return the gradients of values, weight and bias."""
        values, weight, mean, scale, count = ctx.saved_tensors
        axes, wide = _list_axes(values), grad.to(scale.dtype)
        normal = (values.to(scale.dtype) - _align(mean, values)) * _align(scale, values)
        of_bias, of_weight = wide.sum(axes), (wide * normal).sum(axes)
        sums = torch.stack([of_bias, of_weight]).double()
        dist.all_reduce(sums)
        first, second = (sums / count).to(scale.dtype)
        inner = wide - _align(first, values) - normal * _align(second, values)
        result = inner * _align(scale if weight is None else scale * weight, values)
        return (
            result.to(values.dtype),
            of_weight.to(weight.dtype) if ctx.needs_input_grad[1] else None,
            of_bias.to(weight.dtype) if ctx.needs_input_grad[2] else None,
            None,
        )


def _list_axes(values: Tensor) -> list[int]:
    """Return all axes but that of the channels."""
    return [axis for axis in range(values.dim()) if axis != 1]


def _align(vector: Tensor, values: Tensor) -> Tensor:
    """Return a vector (C,) in the shape that is broadcast over the channels of values (N, C, ...)."""
    return vector.view(1, -1, *[1] * (values.dim() - 2))


class _Synchronised(_BatchNorm):
    """A batch norm that uses the batches of all processes in training, and is torch's own otherwise."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (N, C) or (N, C, ...)."""
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)  # type: ignore[no-untyped-call]
        return normalize_across_processes(self, input)


class SynchronisedBatchNorm1d(_Synchronised, nn.BatchNorm1d):
    """``BatchNorm1d`` over all processes."""


class SynchronisedBatchNorm2d(_Synchronised, nn.BatchNorm2d):
    """``BatchNorm2d`` over all processes."""


class SynchronisedBatchNorm3d(_Synchronised, nn.BatchNorm3d):
    """``BatchNorm3d`` over all processes."""


class SynchronisedBatchNormAct2d(BatchNormAct2d):  # type: ignore[misc,unused-ignore]
    """timm's batch norm with an activation, over all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C, H, W) and apply the activation."""
        if not self.training:
            return super().forward(x)  # type: ignore[no-any-return,unused-ignore]
        return self.act(self.drop(normalize_across_processes(self, x)))  # type: ignore[no-any-return,unused-ignore]


_SYNCHRONISED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: SynchronisedBatchNorm1d,
    nn.BatchNorm2d: SynchronisedBatchNorm2d,
    nn.BatchNorm3d: SynchronisedBatchNorm3d,
    BatchNormAct2d: SynchronisedBatchNormAct2d,
}
