"""Classification metrics: pure functions on arrays, and mmengine's metric that gathers the items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from engine.task import MetricSpec
from foundation.errors import IncompleteError
from results.records.record import MetricValue
from results.statistics.intervals import wilson_interval

AnyArray = NDArray[Any]


class ScoredItem(NamedTuple):
    """One scored item; ``place`` is that of the right class among all, by confidence: 0 where it is predicted."""

    item: int
    label: int
    prediction: int
    confidence: float
    place: int


def compute_top1(labels: AnyArray, predictions: AnyArray) -> float:
    """Share of right predictions, in percent.

    >>> compute_top1(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]))
    75.0
    """
    return 100.0 * float(np.mean(np.asarray(labels) == np.asarray(predictions)))


def compute_mean_per_class(labels: AnyArray, predictions: AnyArray) -> float:
    """Mean over the classes present of the share of right predictions in each, in percent.

    >>> compute_mean_per_class(np.array([0, 1, 1, 1]), np.array([0, 1, 1, 0])).__round__(3)
    83.333
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    return float(np.mean([compute_top1(labels[labels == c], predictions[labels == c]) for c in np.unique(labels)]))


def rank_true_class(labels: AnyArray, probabilities: AnyArray) -> NDArray[np.int64]:
    """How many classes come before the right one, (n,); of equal chances the lower class comes first.

    Args:
        labels: right classes, (n,).
        probabilities: of each class, (n, classes).

    >>> rank_true_class(np.array([0, 2]), np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])).tolist()
    [2, 1]
    """
    own = np.take_along_axis(probabilities, labels[:, None], 1)
    earlier = np.arange(probabilities.shape[1]) < labels[:, None]
    return np.asarray(((probabilities > own) | ((probabilities == own) & earlier)).sum(1), np.int64)


def compute_accuracies(rows: Sequence[ScoredItem], num_expected: int) -> dict[str, float]:
    """Top-1, top-5 and mean per-class accuracy in percent.

    Raises:
        IncompleteError: unless each of the ``num_expected`` items was scored once.
    """
    require_all_scored(rows, num_expected)
    labels, predictions, order = (np.array([row[column] for row in rows]) for column in (1, 2, 4))
    return {
        "top1": compute_top1(labels, predictions),
        "top5": 100.0 * float(np.mean(order < 5)),
        "mean_per_class": compute_mean_per_class(labels, predictions),
    }


class PerItemAccuracy(BaseMetric):
    """Gathers every item's outcome and demands that each of ``num_expected`` items was scored exactly once."""

    default_prefix = "accuracy"

    def __init__(self, num_expected: int) -> None:
        super().__init__(collect_device="cpu")
        self.num_expected = num_expected
        self.rows: list[ScoredItem] = []  # on the main process, after an evaluation

    def process(self, data_batch: Any, data_samples: Sequence[ScoredItem]) -> None:
        """Keep one row an item."""
        self.results.extend(data_samples)

    def compute_metrics(self, results: Sequence[ScoredItem]) -> dict[str, float]:
        """Accuracies in percent; the rows stay in ``self.rows``, in item order.

        Raises:
            IncompleteError: an item is missing or was scored twice.
        """
        rows = sorted(ScoredItem(*row) for row in results)  # mmengine gathers plain tuples
        values = compute_accuracies(rows, self.num_expected)
        self.rows = rows
        return values


def require_all_scored(rows: Sequence[ScoredItem], num_expected: int) -> None:
    """Pass only rows that are items 0 .. expected-1, each once.

    Raises:
        IncompleteError: otherwise, with the first missing or double item.
    """
    counts = np.bincount([row.item for row in rows], minlength=num_expected)
    wrong = np.flatnonzero(counts != 1)
    if len(counts) > num_expected or wrong.size:
        first = int(wrong[0]) if wrong.size else num_expected
        times = int(counts[first])
        raise IncompleteError(
            f"{len(rows)} outcomes for {num_expected} images: image {first} was scored {times} times; "
            "there is no number"
        )


def to_record_metrics(
    specs: Sequence[MetricSpec], values: Mapping[str, float], num_images: int
) -> dict[str, MetricValue]:
    """Metrics as they stand in a record; top-1 and top-5 with Wilson's interval over the images.

    Args:
        specs: the task's metrics.
        values: by name, in percent.
        num_images: images scored.
    """
    shares = ("top1", "top5")  # of the images; a mean over classes is none
    return {
        spec.name: MetricValue(
            value=values[spec.name],
            unit=spec.unit,
            higher_is_better=spec.higher_is_better,
            n=num_images,
            interval=wilson_interval(round(values[spec.name] * num_images / 100), num_images, resampling_unit="images")
            if spec.name in shares
            else None,
        )
        for spec in specs
    }
