"""Training loops in which one iteration is one optimiser step, its batch taken in one piece or in several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import Tensor


def pieces(batch: Any, count: int) -> list[Any]:
    """A batch cut along its first axis into ``count`` equal parts; tensors, lists, and mappings of them.

    >>> pieces({"images": [1, 2, 3, 4], "labels": [5, 6, 7, 8]}, 2)
    [{'images': [1, 2], 'labels': [5, 6]}, {'images': [3, 4], 'labels': [7, 8]}]
    """
    if count == 1:
        return [batch]
    if isinstance(batch, Mapping):
        parts = {key: pieces(value, count) for key, value in batch.items()}
        return [{key: part[number] for key, part in parts.items()} for number in range(count)]
    if not isinstance(batch, Tensor | Sequence) or len(batch) % count:
        raise ValueError(f"a {type(batch).__name__} of a batch cannot be cut into {count} parts")
    size = len(batch) // count
    return [batch[number * size : (number + 1) * size] for number in range(count)]


def _step(runner: Any, batch: Any, count: int) -> Any:
    outputs = [runner.model.train_step(piece, optim_wrapper=runner.optim_wrapper) for piece in pieces(batch, count)]
    return {name: sum(output[name] for output in outputs) / count for name in outputs[0]}


class EpochLoop(EpochBasedTrainLoop):
    """mmengine's loop over epochs; ``accumulate`` pieces a step."""

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
    """mmengine's loop over iterations; ``accumulate`` pieces a step."""

    def __init__(self, *args: Any, accumulate: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.accumulate = accumulate

    def run_iter(self, data_batch: Any) -> None:
        """One optimiser step."""
        self.runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        outputs = _step(self.runner, data_batch, self.accumulate)
        self.runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs=outputs)
        self._iter += 1
