"""Training loops in which one iteration is one optimizer step, also if its batch is split into micro-batches."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import Tensor

from engine.device import get_dist_info
from engine.processes.random_draws import BatchRows, draw_for_rows
from engine.training_checks.batch_norm import count_norm_groups, count_pieces


def get_batch_size(batch: Any) -> int:
    """Return the number of items in a batch: the length of its first tensor or list.

    >>> get_batch_size({"images": [1, 2, 3], "labels": [4, 5, 6]})
    3
    """
    return get_batch_size(next(iter(batch.values()))) if isinstance(batch, Mapping) else len(batch)


class BatchShare(NamedTuple):
    """Which part of a batch this process has: items rank, rank + processes, rank + 2 processes, ...

    Attributes:
        total: items of the batch, over all processes.
        rank: number of this process, from 0.
        processes: number of processes.
    """

    total: int
    rank: int = 0
    processes: int = 1

    def count_own_before(self, position: int) -> int:
        """Return the number of own items before a position of the batch."""
        # (position - rank) / processes, rounded up
        return -(-(position - self.rank) // self.processes)


def split_batch(
    batch: Any, num_pieces: int, norm_group: int | None = None, share: BatchShare | None = None
) -> list[Any]:
    """Split a batch along its first axis into at most ``num_pieces`` micro-batches of nearly equal size.

    With several processes each has its part of the pieces that one process would make.

    Args:
        batch: a tensor or list, or a (nested) mapping of these.
        num_pieces: number of micro-batches; fewer are made if the batch has fewer items (or groups).
        norm_group: largest number of items that are normalized together; each micro-batch then has whole groups, in the
            order of ``count_norm_groups``.
        share: which part of the batch this is; ``None`` for all of it.

    >>> split_batch({"images": [1, 2, 3], "labels": [5, 6, 7]}, 2)
    [{'images': [1, 2], 'labels': [5, 6]}, {'images': [3], 'labels': [7]}]
    >>> split_batch([1, 2, 3, 4, 5, 6], 2, norm_group=2)
    [[1, 2, 4, 5], [3, 6]]
    """
    size = get_batch_size(batch)
    if norm_group is None:
        share = share or BatchShare(size)
        edges = [map(share.count_own_before, piece) for piece in _cut_evenly(share.total, num_pieces)]
        return [_take_items(batch, range(start, stop)) for start, stop in edges]
    groups = count_norm_groups(size, norm_group)
    return [
        _take_items(batch, [item for item in range(size) if start <= item % groups < stop])
        for start, stop in _cut_evenly(groups, num_pieces)
    ]


def list_piece_rows(num_pieces: int, share: BatchShare) -> list[BatchRows]:
    """Return which rows of each micro-batch this process has, see ``split_batch``.

    Args:
        num_pieces: number of micro-batches.
        share: which part of the batch this process has.
    """
    rows = []
    for start, stop in _cut_evenly(share.total, num_pieces):
        before, until = share.count_own_before(start), share.count_own_before(stop)
        first = share.rank + before * share.processes - start
        rows.append(BatchRows(stop - start, first, share.processes, until - before))
    return rows


def _cut_evenly(total: int, num_pieces: int) -> list[tuple[int, int]]:
    """Return the first index and the end of each of at most ``num_pieces`` nearly equal pieces."""
    num_pieces = min(num_pieces, total)
    # edge i = ceil(i * total / num_pieces): sizes differ by at most one and are never 0
    return list(itertools.pairwise(-(-number * total // num_pieces) for number in range(num_pieces + 1)))


def _take_items(batch: Any, items: Sequence[int]) -> Any:
    if isinstance(batch, Mapping):
        return {key: _take_items(value, items) for key, value in batch.items()}
    if isinstance(items, range) and isinstance(batch, Tensor | Sequence):
        return batch[items.start : items.stop]
    if isinstance(batch, Tensor):
        return batch[torch.tensor(items, device=batch.device)]
    if isinstance(batch, Sequence):
        return [batch[item] for item in items]
    raise TypeError(f"a batch of {type(batch).__name__} cannot be split into micro-batches")


def _train_step(
    runner: Any, batch: Any, num_pieces: int, norm_group: int | None, batch_size: int | None = None
) -> dict[str, Any]:
    """Run forward and backward on each micro-batch and make one optimizer step.

    Args:
        runner: gives model and optimizer.
        batch: the items of this process.
        num_pieces: largest number of micro-batches.
        norm_group: see ``split_batch``.
        batch_size: items over all processes; by default all have equally many.

    Returns:
        The losses by name; their mean over the processes is that of the complete batch.
    """
    (rank, processes), wrapper = get_dist_info(), runner.optim_wrapper
    size = batch_size or get_batch_size(batch) * processes
    num_pieces = count_pieces(size, num_pieces, processes)
    share = BatchShare(size, rank, processes)
    parts = split_batch(batch, num_pieces, norm_group, share) if num_pieces > 1 else [batch]
    # pieces of whole groups have an order of their own; their rows are only counted
    piece_rows = (
        list_piece_rows(num_pieces, share)
        if norm_group is None
        else [BatchRows(len_part * processes, rank, processes, len_part) for len_part in map(get_batch_size, parts)]
    )
    total: dict[str, Any] = {}
    for number, (part, rows) in enumerate(zip(parts, piece_rows, strict=True), 1):
        # The wrapper scales the loss by the weight and steps after the last part (MicroBatchMixin). Gradients are
        # averaged over the processes; times their number every item counts by 1 / size, however many each process has.
        wrapper.loss_weight = get_batch_size(part) * processes / size
        wrapper.is_last_piece = number == len(parts)
        with draw_for_rows(rows):
            outputs = runner.model.train_step(part, optim_wrapper=wrapper)
        total = {name: total.get(name, 0.0) + wrapper.loss_weight * value for name, value in outputs.items()}
    return total


class MicroBatchEpochLoop(EpochBasedTrainLoop):
    """mmengine's loop over epochs, with up to ``accumulate`` micro-batches per step.

    Args:
        args, kwargs: for mmengine's loop.
        accumulate: largest number of micro-batches per step.
        norm_group: largest number of items that are normalized together, see ``split_batch``.
    """

    def __init__(self, *args: Any, accumulate: int = 1, norm_group: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.accumulate, self.norm_group = accumulate, norm_group

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Make one optimizer step; the hooks see the complete batch."""
        self.runner.call_hook("before_train_iter", batch_idx=idx, data_batch=data_batch)
        total = self.dataloader.sampler.count_batch_items(idx)
        outputs = _train_step(self.runner, data_batch, self.accumulate, self.norm_group, total)
        self.runner.call_hook("after_train_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs)
        self._iter += 1


class MicroBatchIterLoop(IterBasedTrainLoop):
    """mmengine's loop over iterations, with up to ``accumulate`` micro-batches per step.

    Args:
        args, kwargs: for mmengine's loop.
        accumulate: largest number of micro-batches per step.
        norm_group: largest number of items that are normalized together, see ``split_batch``.
    """

    def __init__(self, *args: Any, accumulate: int = 1, norm_group: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.accumulate, self.norm_group = accumulate, norm_group

    def run_iter(self, data_batch: Any) -> None:
        """Make one optimizer step; the hooks see the complete batch."""
        self.runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        outputs = _train_step(self.runner, data_batch, self.accumulate, self.norm_group)
        self.runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs=outputs)
        self._iter += 1
