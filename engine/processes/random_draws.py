"""Draw for the batch of all processes as one process does: drop path, dropout, and the pairs of mixup."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
import torch.distributed as dist
from timm.layers import DropPath, drop_path
from torch import Tensor, nn
from torch.nn import functional


class BatchRows(NamedTuple):
    """Which rows of a batch (or of a piece of it) this process has: ``first``, ``first + step``, ...

    Attributes:
        total: rows over all processes.
        first: position of the first own row.
        step: number of processes.
        own: number of own rows.
    """

    total: int
    first: int
    step: int
    own: int


_ROWS: ContextVar[BatchRows | None] = ContextVar("bench_batch_rows", default=None)


@contextmanager
def draw_for_rows(rows: BatchRows) -> Iterator[None]:
    """Tell the layers of ``share_random_draws`` which rows the next forward pass has.

    Args:
        rows: those of this process.
    """
    token = _ROWS.set(rows)
    try:
        yield
    finally:
        _ROWS.reset(token)


def append_partners(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Append the images with which mixup pairs those of this process: of n images number i with number n - 1 - i.

    With several processes these are all in one process, as each has every n-th image, and come in the order in which a
    pairing within the result finds them.

    Args:
        images: (N, ...), those of this process, as many as in each of the others.
        labels: (N,).

    Returns:
        (2 N, ...) and (2 N,), of which the first N are to be used; or the same where the partners are among them.
    """
    rows = _ROWS.get()
    if rows is None or rows.step == 1:
        return images, labels
    assert rows.total == rows.own * rows.step, "a plan refuses batches that give a process fewer images than others"
    partner = (rows.total - 1 - rows.first) % rows.step
    if partner == rows.first:
        return images, labels
    found = []
    for values in (images.contiguous(), labels.contiguous()):
        other = torch.empty_like(values)
        sent = [dist.P2POp(dist.isend, values, partner), dist.P2POp(dist.irecv, other, partner)]
        for request in dist.batch_isend_irecv(sent):
            request.wait()
        found.append(torch.cat([values, other]))
    return found[0], found[1]


def share_random_draws(model: nn.Module) -> None:
    """Make drop path and dropout of a model draw for all processes; each must have the same seed.

    Other random numbers (dropout within fused attention, a layer of a plug-in) are then the same in all processes.

    Args:
        model: changed in place; its classes alone are exchanged.
    """
    for module in model.modules():
        shared = _SHARED.get(type(module))
        if shared is not None:
            module.__class__ = shared


class SharedDropPath(DropPath):  # type: ignore[misc,unused-ignore]
    """timm's drop path, drawn for the rows of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop rows of (N, ...), where N is a multiple of the number of items."""
        rows = _ROWS.get()
        if rows is None or not self.training or not self.drop_prob:
            return super().forward(x)  # type: ignore[no-any-return,unused-ignore]
        ones = _make_ones(x, rows, [1] * (x.dim() - 1))
        return x * _take_rows(drop_path(ones, self.drop_prob, True, self.scale_by_keep), rows)


class SharedDropout(nn.Dropout):
    """torch's dropout, drawn for the rows of all processes."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop elements of (N, ...), where N is a multiple of the number of items."""
        rows = _ROWS.get()
        if rows is None or not self.training or not self.p:
            return super().forward(input)
        ones = _make_ones(input, rows, list(input.shape[1:]))
        return input * _take_rows(functional.dropout(ones, self.p, True), rows)


class SharedDropout2d(nn.Dropout2d):
    """torch's dropout of channels, drawn for the rows of all processes."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop channels of (N, C, H, W), where N is a multiple of the number of items."""
        rows = _ROWS.get()
        if rows is None or not self.training or not self.p:
            return super().forward(input)
        ones = _make_ones(input, rows, [input.shape[1], 1, 1])
        return input * _take_rows(functional.dropout2d(ones, self.p, True), rows)


def _make_ones(values: Tensor, rows: BatchRows, shape: list[int]) -> Tensor:
    """Return ones of a shape for each row of all processes; windows of an image are several rows."""
    return values.new_ones([rows.total * (len(values) // rows.own), *shape])


def _take_rows(drawn: Tensor, rows: BatchRows) -> Tensor:
    """Return the rows of this process."""
    by_item = drawn.view(rows.total, -1, *drawn.shape[1:])
    return by_item[rows.first :: rows.step].flatten(0, 1)


_SHARED: dict[type[nn.Module], type[nn.Module]] = {
    DropPath: SharedDropPath,
    nn.Dropout: SharedDropout,
    nn.Dropout2d: SharedDropout2d,
}
