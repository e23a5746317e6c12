"""Classification metrics: pure functions on arrays, and the metric that mmengine calls to collect the items."""

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
    """One row of ``items.csv``.

    Attributes:
        item: index of the item in its split.
        label: index of the true class.
        prediction: index of the predicted class.
        confidence: probability of the predicted class, 0 to 1.
        place: rank of the true class by probability; 0 if it is the predicted one.
    """

    item: int
    label: int
    prediction: int
    confidence: float
    place: int


def compute_top1(labels: AnyArray, predictions: AnyArray) -> float:
    """Compute the top-1 accuracy: the percentage of correct predictions.

    Args:
        labels: true classes, (n,).
        predictions: predicted classes, (n,).

    >>> compute_top1(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]))
    75.0
    """
    return 100.0 * float(np.mean(np.asarray(labels) == np.asarray(predictions)))


def compute_mean_per_class(labels: AnyArray, predictions: AnyArray) -> float:
    """Compute the accuracy of each class that occurs in ``labels``, and return the mean over these classes in percent.

    Args:
        labels: true classes, (n,).
        predictions: predicted classes, (n,).

    >>> compute_mean_per_class(np.array([0, 1, 1, 1]), np.array([0, 1, 1, 0])).__round__(3)
    83.333
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    return float(np.mean([compute_top1(labels[labels == c], predictions[labels == c]) for c in np.unique(labels)]))


def rank_true_class(labels: AnyArray, probabilities: AnyArray) -> NDArray[np.int64]:
    """Return the rank of the true class by probability: 0 if it is the most probable one.

    Of classes with equal probability the one with the lower index comes first, as ``argmax`` has it.

    Args:
        labels: true classes, (n,).
        probabilities: probability of each class, (n, classes).

    Returns:
        Ranks, (n,).

    >>> rank_true_class(np.array([0, 2]), np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])).tolist()
    [2, 1]
    """
    own = np.take_along_axis(probabilities, labels[:, None], 1)  # probability of the true class, (n, 1)
    earlier = np.arange(probabilities.shape[1]) < labels[:, None]
    # the rank is the number of classes that come before the true one: more probable, or equal with a lower index
    return np.asarray(((probabilities > own) | ((probabilities == own) & earlier)).sum(1), np.int64)


def compute_accuracies(rows: Sequence[ScoredItem], num_expected: int) -> dict[str, float]:
    """Compute top-1, top-5 and mean per-class accuracy in percent.

    Args:
        rows: one row per item, in any order.
        num_expected: number of items that must be scored.

    Raises:
        IncompleteError: an item is missing or was scored twice.
    """
    require_all_scored(rows, num_expected)
    labels, predictions, order = (np.array([row[column] for row in rows]) for column in (1, 2, 4))  # see ScoredItem
    return {
        "top1": compute_top1(labels, predictions),
        "top5": 100.0 * float(np.mean(order < 5)),  # correct if the true class is among ranks 0 to 4
        "mean_per_class": compute_mean_per_class(labels, predictions),
    }


class PerItemAccuracy(BaseMetric):
    """Collects the outcome of every item and requires that each item was scored exactly once.

    Args:
        num_expected: number of items that must be scored.

    Attributes:
        rows: the outcomes in item order; set on the main process after an evaluation.
    """

    default_prefix = "accuracy"

    def __init__(self, num_expected: int) -> None:
        super().__init__(collect_device="cpu")  # several processes exchange their rows through files, not GPU memory
        self.num_expected = num_expected
        self.rows: list[ScoredItem] = []

    def process(self, data_batch: Any, data_samples: Sequence[ScoredItem]) -> None:
        """Store the rows of a batch; mmengine calls this after each forward pass."""
        self.results.extend(data_samples)

    def compute_metrics(self, results: Sequence[ScoredItem]) -> dict[str, float]:
        """Compute the accuracies in percent and store the rows in ``self.rows``, in item order.

        Raises:
            IncompleteError: an item is missing or was scored twice.
        """
        # mmengine gathers named tuples as plain ones; sorting goes by the first field, the item
        rows = sorted(ScoredItem(*row) for row in results)
        values = compute_accuracies(rows, self.num_expected)
        self.rows = rows
        return values


def require_all_scored(rows: Sequence[ScoredItem], num_expected: int) -> None:
    """Require that the rows are the items 0 .. num_expected - 1, each exactly once.

    Raises:
        IncompleteError: an item is missing or was scored twice; the message names the first one.
    """
    counts = np.bincount([row.item for row in rows], minlength=num_expected)
    wrong = np.flatnonzero(counts != 1)
    if len(counts) > num_expected or wrong.size:  # counts is longer where an item index is too large
        first = int(wrong[0]) if wrong.size else num_expected
        times = int(counts[first])
        raise IncompleteError(
            f"{len(rows)} outcomes for {num_expected} images: image {first} was scored {times} times, "
            "so there is no score; run it again"
        )


def to_record_metrics(
    specs: Sequence[MetricSpec], values: Mapping[str, float], num_images: int
) -> dict[str, MetricValue]:
    """Convert scores to the metrics of a record; top-1 and top-5 get Wilson's confidence interval over the images.

    Args:
        specs: the task's metrics.
        values: score in percent, by metric name.
        num_images: number of images scored.
    """
    # Wilson's interval is for a fraction of independent images; a mean over classes is not such a fraction
    fractions = ("top1", "top5")
    return {
        spec.name: MetricValue(
            value=values[spec.name],
            unit=spec.unit,
            higher_is_better=spec.higher_is_better,
            n=num_images,
            # percent times images is the number of correct images; round() removes the error of the division before
            interval=wilson_interval(round(values[spec.name] * num_images / 100), num_images, resampling_unit="images")
            if spec.name in fractions
            else None,
        )
        for spec in specs
    }
