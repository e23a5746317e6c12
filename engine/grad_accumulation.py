"""Training loops in which one iteration is one optimiser step, its batch taken in one piece or in several."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import Tensor


def size_of(batch: Any) -> int:
    """Items in a batch: the length of its first tensor or list.

    >>> size_of({"images": [1, 2, 3], "labels": [4, 5, 6]})
    3
    """
    return size_of(next(iter(batch.values()))) if isinstance(batch, Mapping) else len(batch)


def pieces(batch: Any, count: int) -> list[Any]:
    """A batch cut along its first axis into at most ``count`` nearly equal parts; tensors, lists, mappings of them.

    >>> pieces({"images": [1, 2, 3], "labels": [5, 6, 7]}, 2)
    [{'images': [1, 2], 'labels': [5, 6]}, {'images': [3], 'labels': [7]}]
    """
    size = size_of(batch)
    count = min(count, size)
    edges = [-(-number * size // count) for number in range(count + 1)]
    return [_between(batch, start, stop) for start, stop in itertools.pairwise(edges)]


def _between(batch: Any, start: int, stop: int) -> Any:
    if isinstance(batch, Mapping):
        return {key: _between(value, start, stop) for key, value in batch.items()}
    if not isinstance(batch, Tensor | Sequence):
        raise TypeError(f"a batch of {type(batch).__name__} cannot be cut into pieces")
    return batch[start:stop]


def _step(runner: Any, batch: Any, count: int) -> dict[str, Any]:
    """Forward and backward for each piece, one optimiser step; gives the losses of the whole batch."""
    size, wrapper = size_of(batch), runner.optim_wrapper
    parts = pieces(batch, count) if count > 1 else [batch]
    total: dict[str, Any] = {}
    for number, part in enumerate(parts, 1):
        wrapper.share, wrapper.last = size_of(part) / size, number == len(parts)
        outputs = runner.model.train_step(part, optim_wrapper=wrapper)
        total = {name: total.get(name, 0.0) + wrapper.share * value for name, value in outputs.items()}
    return total


class EpochLoop(EpochBasedTrainLoop):
    """mmengine's loop over epochs; at most ``accumulate`` pieces a step."""

    def __init__(self, *args: Any, accumulate: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.accumulate = accumulate

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """One optimiser step."""
        self.runner.call_hook("before_train_iter", batch_idx=idx, data_batch=data_batch)
        outputs = _step(self.runner, data_batch, self.accumulate)
        self.runner.call_hook("after_train_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs)
        self._iter += 1


class IterLoop(IterBasedTrainLoop):
    """mmengine's loop over iterations; at most ``accumulate`` pieces a step."""

    def __init__(self, *args: Any, accumulate: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.accumulate = accumulate

    def run_iter(self, data_batch: Any) -> None:
        """One optimiser step."""
        self.runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        outputs = _step(self.runner, data_batch, self.accumulate)
        self.runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs=outputs)
        self._iter += 1
