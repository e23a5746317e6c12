"""Training loops in which one iteration is one optimiser step, its batch taken in one piece or in several."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import Tensor


def get_batch_size(batch: Any) -> int:
    """Items in a batch: the length of its first tensor or list.

    >>> get_batch_size({"images": [1, 2, 3], "labels": [4, 5, 6]})
    3
    """
    return get_batch_size(next(iter(batch.values()))) if isinstance(batch, Mapping) else len(batch)


def split_batch(batch: Any, num_pieces: int) -> list[Any]:
    """A batch cut along its first axis into at most ``num_pieces`` nearly equal parts; tensors, lists, or mappings.

    >>> split_batch({"images": [1, 2, 3], "labels": [5, 6, 7]}, 2)
    [{'images': [1, 2], 'labels': [5, 6]}, {'images': [3], 'labels': [7]}]
    """
    size = get_batch_size(batch)
    num_pieces = min(num_pieces, size)
    edges = [-(-number * size // num_pieces) for number in range(num_pieces + 1)]
    return [_slice_batch(batch, start, stop) for start, stop in itertools.pairwise(edges)]


def _slice_batch(batch: Any, start: int, stop: int) -> Any:
    if isinstance(batch, Mapping):
        return {key: _slice_batch(value, start, stop) for key, value in batch.items()}
    if not isinstance(batch, Tensor | Sequence):
        raise TypeError(f"a batch of {type(batch).__name__} cannot be cut into pieces")
    return batch[start:stop]


def _train_step(runner: Any, batch: Any, num_pieces: int) -> dict[str, Any]:
    """Forward and backward for each piece, one optimiser step; gives the losses of the whole batch."""
    size, wrapper = get_batch_size(batch), runner.optim_wrapper
    parts = split_batch(batch, num_pieces) if num_pieces > 1 else [batch]
    total: dict[str, Any] = {}
    for number, part in enumerate(parts, 1):
        wrapper.loss_weight, wrapper.is_last_piece = get_batch_size(part) / size, number == len(parts)
        outputs = runner.model.train_step(part, optim_wrapper=wrapper)
        total = {name: total.get(name, 0.0) + wrapper.loss_weight * value for name, value in outputs.items()}
    return total


class MicroBatchEpochLoop(EpochBasedTrainLoop):
    """mmengine's loop over epochs; at most ``accumulate`` pieces a step."""

    def __init__(self, *args: Any, accumulate: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.accumulate = accumulate

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """One optimiser step."""
        self.runner.call_hook("before_train_iter", batch_idx=idx, data_batch=data_batch)
        outputs = _train_step(self.runner, data_batch, self.accumulate)
        self.runner.call_hook("after_train_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs)
        self._iter += 1


class MicroBatchIterLoop(IterBasedTrainLoop):
    """mmengine's loop over iterations; at most ``accumulate`` pieces a step."""

    def __init__(self, *args: Any, accumulate: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.accumulate = accumulate

    def run_iter(self, data_batch: Any) -> None:
        """One optimiser step."""
        self.runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        outputs = _train_step(self.runner, data_batch, self.accumulate)
        self.runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs=outputs)
        self._iter += 1
