"""Pairs as the engine's training takes them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from mmengine.evaluator import BaseMetric

from tracking.data.crops import Image
from tracking.models.tracker_model import PairOutcome
from tracking.data.pair import Pair


class PairMaker(Protocol):
    """Draws pairs of one training set."""

    def make(self, rng: np.random.Generator) -> Pair:
        """One pair; the same for the same state of ``rng``."""


class WeightedSource(NamedTuple):
    """A training set and how often it is drawn from."""

    maker: PairMaker
    weight: float


class PairItems:
    """A fixed number of pairs, drawn from several sources by weight.

    Args:
        sources: where pairs come from.
        count: how many there are.
        seed: makes every item the same each time (for validation); without it the item's seed in the engine decides.
    """

    def __init__(self, sources: Sequence[WeightedSource], count: int, seed: int | None = None) -> None:
        self.sources = sources
        self.count, self.seed = count, seed
        total = sum(source.weight for source in sources)
        self.shares = np.cumsum([source.weight / total for source in sources])

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng(random.getrandbits(63) if self.seed is None else (self.seed, index))
        place = min(int(np.searchsorted(self.shares, rng.random(), side="right")), len(self.sources) - 1)
        maker = self.sources[place].maker
        pair = maker.make(rng)
        return {
            "template": _channels_first(pair.template),
            "search": _channels_first(pair.search),
            "box": pair.box.astype(np.float32),
            "item": index,
            "skipped": int(getattr(maker, "skipped", 0)),
        }


def _channels_first(image: Image) -> Image:
    return np.ascontiguousarray(image.transpose(2, 0, 1))


class PairIou(BaseMetric):
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
