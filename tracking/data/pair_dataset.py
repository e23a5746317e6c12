"""Pairs as the engine's training takes them."""

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
    """Draws pairs of one training set."""

    def sample_pair(self, rng: np.random.Generator) -> TrainingPair:
        """One pair; the same for the same state of ``rng``."""


class WeightedPairSampler(NamedTuple):
    """A training set and how often it is drawn from."""

    sampler: PairSampler
    weight: float


class PairDataset:
    """A fixed number of pairs, drawn from several sources by weight.

    Args:
        samplers: where pairs come from.
        num_pairs: how many there are.
        seed: makes every item the same each time (for validation); without it the item's seed in the engine decides.
    """

    def __init__(self, samplers: Sequence[WeightedPairSampler], num_pairs: int, seed: int | None = None) -> None:
        self.samplers = samplers
        self.num_pairs, self.seed = num_pairs, seed
        total = sum(source.weight for source in samplers)
        self.cumulative_weights = np.cumsum([source.weight / total for source in samplers])

    def __len__(self) -> int:
        return self.num_pairs

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng(random.getrandbits(63) if self.seed is None else (self.seed, index))
        place = min(int(np.searchsorted(self.cumulative_weights, rng.random(), side="right")), len(self.samplers) - 1)
        maker = self.samplers[place].sampler
        pair = maker.sample_pair(rng)
        return {
            "template": _to_channels_first(pair.template),
            "search": _to_channels_first(pair.search),
            "box": pair.box.astype(np.float32),
            "item": index,
            "skipped": int(getattr(maker, "skipped", 0)),
        }


def _to_channels_first(image: ImageArray) -> ImageArray:
    return np.ascontiguousarray(image.transpose(2, 0, 1))


class PairIouMetric(BaseMetric):
    """Mean IoU of predicted boxes over validation pairs, in percent."""

    default_prefix = "pairs"

    def __init__(self, expected: int) -> None:
        super().__init__(collect_device="cpu")
        self.expected = expected

    def process(self, data_batch: Any, data_samples: Sequence[PairOutcome]) -> None:
        """Keep one number a pair."""
        self.results.extend(data_samples)

    def compute_metrics(self, results: Sequence[PairOutcome]) -> dict[str, float]:
        """The mean."""
        return {"iou": 100 * float(np.mean([outcome[1] for outcome in results]))}
