"""Classification metrics: pure functions on arrays, and mmengine's metric that gathers the items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from engine.task import MetricSpec
from foundation.errors import IncompleteError
from results.records.record import Metric
from results.statistics.intervals import wilson_percent

Array = NDArray[Any]


class Scored(NamedTuple):
    """One scored item; ``place`` is that of the right class among all, by confidence: 0 where it is predicted."""

    item: int
    label: int
    prediction: int
    confidence: float
    place: int


def top1(labels: Array, predictions: Array) -> float:
    """Share of right predictions, in percent.

    >>> top1(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]))
    75.0
    """
    return 100.0 * float(np.mean(np.asarray(labels) == np.asarray(predictions)))


def mean_per_class(labels: Array, predictions: Array) -> float:
    """Mean over the classes present of the share of right predictions in each, in percent.

    >>> mean_per_class(np.array([0, 1, 1, 1]), np.array([0, 1, 1, 0])).__round__(3)
    83.333
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    return float(np.mean([top1(labels[labels == c], predictions[labels == c]) for c in np.unique(labels)]))


def places(labels: Array, chances: Array) -> NDArray[np.int64]:
    """How many classes come before the right one, (n,); of equal chances the lower class comes first.

    Args:
        labels: right classes, (n,).
        chances: of each class, (n, classes).

    >>> places(np.array([0, 2]), np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])).tolist()
    [2, 1]
    """
    own = np.take_along_axis(chances, labels[:, None], 1)
    earlier = np.arange(chances.shape[1]) < labels[:, None]
    return np.asarray(((chances > own) | ((chances == own) & earlier)).sum(1), np.int64)


def accuracies(rows: Sequence[Scored], expected: int) -> dict[str, float]:
    """Top-1, top-5 and mean per-class accuracy in percent.

    Raises:
        IncompleteError: unless each of the ``expected`` items was scored once.
    """
    require_all(rows, expected)
    labels, predictions, order = (np.array([row[column] for row in rows]) for column in (1, 2, 4))
    return {
        "top1": top1(labels, predictions),
        "top5": 100.0 * float(np.mean(order < 5)),
        "mean_per_class": mean_per_class(labels, predictions),
    }


class ItemAccuracy(BaseMetric):
    """Gathers every item's outcome and demands that each of ``expected`` items was scored exactly once."""

    default_prefix = "accuracy"

    def __init__(self, expected: int) -> None:
        super().__init__(collect_device="cpu")
        self.expected = expected
        self.rows: list[Scored] = []  # on the main process, after an evaluation

    def process(self, data_batch: Any, data_samples: Sequence[Scored]) -> None:
        """Keep one row an item."""
        self.results.extend(data_samples)

    def compute_metrics(self, results: Sequence[Scored]) -> dict[str, float]:
        """Accuracies in percent; the rows stay in ``self.rows``, in item order.

        Raises:
            IncompleteError: an item is missing or was scored twice.
        """
        rows = sorted(Scored(*row) for row in results)  # mmengine gathers plain tuples
        values = accuracies(rows, self.expected)
        self.rows = rows
        return values


def require_all(rows: Sequence[Scored], expected: int) -> None:
    """Pass only rows that are items 0 .. expected-1, each once.

    Raises:
        IncompleteError: otherwise, with the first missing or double item.
    """
    counts = np.bincount([row.item for row in rows], minlength=expected)
    wrong = np.flatnonzero(counts != 1)
    if len(counts) > expected or wrong.size:
        first = int(wrong[0]) if wrong.size else expected
        times = int(counts[first])
        raise IncompleteError(
            f"{len(rows)} outcomes for {expected} images: image {first} was scored {times} times; there is no number"
        )


def recorded(specs: Sequence[MetricSpec], values: Mapping[str, float], n: int) -> dict[str, Metric]:
    """Metrics as they stand in a record; top-1 and top-5 with Wilson's interval over the images.

    Args:
        specs: the task's metrics.
        values: by name, in percent.
        n: images scored.
    """
    shares = ("top1", "top5")  # of the images; a mean over classes is none
    return {
        spec.name: Metric(
            value=values[spec.name],
            unit=spec.unit,
            higher_is_better=spec.higher_is_better,
            n=n,
            interval=wilson_percent(round(values[spec.name] * n / 100), n, over="images")
            if spec.name in shares
            else None,
        )
        for spec in specs
    }
