"""The data set of training pairs and its validation metric, in the form that the engine's training expects."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from mmengine.evaluator import BaseMetric

from tracking.data.crops import ImageArray
from tracking.data.pair import TrainingPair
from tracking.models.tracker_model import PairOutcome


class PairSampler(Protocol):
    """A sampler of pairs from one training set."""

    def sample_pair(self, rng: np.random.Generator) -> TrainingPair:
        """Draw one pair; the same pair for the same state of ``rng``.

        Args:
            rng: random generator.
        """


class WeightedPairSampler(NamedTuple):
    """A sampler and the weight with which it is chosen."""

    sampler: PairSampler
    weight: float


class PairDataset:
    """A fixed number of pairs, each drawn from a sampler that is chosen at random by weight.

    Items are dictionaries: ``template`` and ``search`` as bytes of shape (3, side, side), ``box`` as float32 of shape
    (4,), ``item``, the index, and ``skipped``, the number of unreadable frames that were skipped.

    Args:
        samplers: the samplers and their weights.
        num_pairs: number of pairs.
        seed: with a seed, each item is the same every time (for validation); without one, the item depends on the seed
            that the engine sets for it.
    """

    def __init__(self, samplers: Sequence[WeightedPairSampler], num_pairs: int, seed: int | None = None) -> None:
        self.samplers = samplers
        self.num_pairs, self.seed = num_pairs, seed
        total = sum(source.weight for source in samplers)
        self.cumulative_weights = np.cumsum([source.weight / total for source in samplers])

    def __len__(self) -> int:
        return self.num_pairs

    def __getitem__(self, index: int) -> dict[str, Any]:
        # the engine has seeded Python's generator for this item, so the pair depends neither on the loader process nor
        # on order
        rng = np.random.default_rng(random.getrandbits(63) if self.seed is None else (self.seed, index))
        # rounding can leave the last cumulative weight just below 1
        place = min(int(np.searchsorted(self.cumulative_weights, rng.random(), side="right")), len(self.samplers) - 1)
        maker = self.samplers[place].sampler
        pair = maker.sample_pair(rng)
        return {
            "template": _to_channels_first(pair.template),
            "search": _to_channels_first(pair.search),
            "box": pair.box.astype(np.float32),
            "item": index,
            # only samplers of videos count skipped frames; photographs are always readable
            "skipped": int(getattr(maker, "skipped", 0)),
        }


def _to_channels_first(image: ImageArray) -> ImageArray:
    """Convert (height, width, 3) to (3, height, width), contiguous, as the collation to tensors requires."""
    return np.ascontiguousarray(image.transpose(2, 0, 1))


class PairIouMetric(BaseMetric):
    """Mean IoU of predicted boxes over validation pairs, in percent.

    Args:
        expected: number of pairs; not used, but the engine passes it to every metric.
    """

    default_prefix = "pairs"

    def __init__(self, expected: int) -> None:
        super().__init__(collect_device="cpu")
        self.expected = expected

    def process(self, data_batch: Any, data_samples: Sequence[PairOutcome]) -> None:
        """Store the outcomes of a batch.

        Args:
            data_batch: the batch; not used.
            data_samples: one outcome per pair.
        """
        self.results.extend(data_samples)

    def compute_metrics(self, results: Sequence[PairOutcome]) -> dict[str, float]:
        """Return the mean IoU in percent, as ``iou``.

        Args:
            results: the outcomes of all pairs.
        """
        return {"iou": 100 * float(np.mean([outcome[1] for outcome in results]))}
