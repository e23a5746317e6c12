"""Training loops in which one iteration is one optimizer step, also if its batch is split into micro-batches."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import Tensor


def get_batch_size(batch: Any) -> int:
    """Return the number of items in a batch: the length of its first tensor or list.

    >>> get_batch_size({"images": [1, 2, 3], "labels": [4, 5, 6]})
    3
    """
    return get_batch_size(next(iter(batch.values()))) if isinstance(batch, Mapping) else len(batch)


def split_batch(batch: Any, num_pieces: int) -> list[Any]:
    """Split a batch along its first axis into at most ``num_pieces`` micro-batches of nearly equal size.

    Args:
        batch: a tensor or list, or a (nested) mapping of these.
        num_pieces: number of micro-batches; fewer are made if the batch has fewer items.

    >>> split_batch({"images": [1, 2, 3], "labels": [5, 6, 7]}, 2)
    [{'images': [1, 2], 'labels': [5, 6]}, {'images': [3], 'labels': [7]}]
    """
    size = get_batch_size(batch)
    num_pieces = min(num_pieces, size)
    # edge i = ceil(i * size / num_pieces): sizes differ by at most one and are never 0
    edges = [-(-number * size // num_pieces) for number in range(num_pieces + 1)]
    return [_slice_batch(batch, start, stop) for start, stop in itertools.pairwise(edges)]


def _slice_batch(batch: Any, start: int, stop: int) -> Any:
    if isinstance(batch, Mapping):
        return {key: _slice_batch(value, start, stop) for key, value in batch.items()}
    if not isinstance(batch, Tensor | Sequence):
        raise TypeError(f"a batch of {type(batch).__name__} cannot be split into micro-batches")
    return batch[start:stop]


def _train_step(runner: Any, batch: Any, num_pieces: int) -> dict[str, Any]:
    """Run forward and backward on each micro-batch and make one optimizer step.

    Returns:
        The losses of the complete batch by name.
    """
    size, wrapper = get_batch_size(batch), runner.optim_wrapper
    parts = split_batch(batch, num_pieces) if num_pieces > 1 else [batch]
    total: dict[str, Any] = {}
    for number, part in enumerate(parts, 1):
        # the wrapper scales the loss by the weight and steps after the last part (MicroBatchMixin)
        wrapper.loss_weight, wrapper.is_last_piece = get_batch_size(part) / size, number == len(parts)
        outputs = runner.model.train_step(part, optim_wrapper=wrapper)
        total = {name: total.get(name, 0.0) + wrapper.loss_weight * value for name, value in outputs.items()}
    return total


class MicroBatchEpochLoop(EpochBasedTrainLoop):
    """mmengine's loop over epochs, with up to ``accumulate`` micro-batches per step.

    Args:
        args, kwargs: for mmengine's loop.
        accumulate: largest number of micro-batches per step.
    """

    def __init__(self, *args: Any, accumulate: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.accumulate = accumulate

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Make one optimizer step; the hooks see the complete batch."""
        self.runner.call_hook("before_train_iter", batch_idx=idx, data_batch=data_batch)
        outputs = _train_step(self.runner, data_batch, self.accumulate)
        self.runner.call_hook("after_train_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs)
        self._iter += 1


class MicroBatchIterLoop(IterBasedTrainLoop):
    """mmengine's loop over iterations, with up to ``accumulate`` micro-batches per step.

    Args:
        args, kwargs: for mmengine's loop.
        accumulate: largest number of micro-batches per step.
    """

    def __init__(self, *args: Any, accumulate: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.accumulate = accumulate

    def run_iter(self, data_batch: Any) -> None:
        """Make one optimizer step; the hooks see the complete batch."""
        self.runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        outputs = _train_step(self.runner, data_batch, self.accumulate)
        self.runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs=outputs)
        self._iter += 1
