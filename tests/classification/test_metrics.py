from __future__ import annotations

import re

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, top_k_accuracy_score

from classification.metrics import (
    PerItemAccuracy,
    ScoredItem,
    compute_mean_per_class,
    compute_top1,
    rank_true_class,
    to_record_metrics,
)
from engine.task import MetricSpec
from foundation.errors import IncompleteError


@pytest.mark.parametrize("seed", range(5))
def test_against_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels, predictions = random.integers(0, 7, 200), random.integers(0, 8, 200)
    assert compute_top1(labels, predictions) == pytest.approx(100 * accuracy_score(labels, predictions), abs=1e-12)
    with pytest.warns(UserWarning, match="not in y_true") if set(predictions) - set(labels) else _nothing():
        expected = 100 * balanced_accuracy_score(labels, predictions)
    assert compute_mean_per_class(labels, predictions) == pytest.approx(expected, abs=1e-12)


class _nothing:  # noqa: N801
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def rows(*items: int) -> list[ScoredItem]:
    return [ScoredItem(item, label=item % 2, prediction=0, confidence=0.5, place=item % 2 * 7) for item in items]


def test_rows_are_put_in_item_order() -> None:
    metric = PerItemAccuracy(4)
    assert metric.compute_metrics(rows(3, 0, 2, 1)) == {"top1": 50.0, "top5": 50.0, "mean_per_class": 50.0}
    assert [row.item for row in metric.rows] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ((0, 1, 3), "image 2 was scored 0 times"),
        ((0, 1, 2, 2), "image 2 was scored 2 times"),
        ((0, 1, 2, 3, 4), "image 4 was scored 1 times"),
    ],
)
def test_no_number_unless_each_item_was_scored_once(items: tuple[int, ...], message: str) -> None:
    expected = 4 if 4 in items or 3 in items else 3
    with pytest.raises(IncompleteError, match=re.escape(message)):
        PerItemAccuracy(expected).compute_metrics(rows(*items))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_places_give_scikit_learns_top_k(k: int) -> None:
    random = np.random.default_rng(k)
    labels, chances = random.integers(0, 10, 300), random.random((300, 10))
    expected = top_k_accuracy_score(labels, chances, k=k, labels=range(10))
    assert np.mean(rank_true_class(labels, chances) < k) == pytest.approx(expected, abs=1e-12)
    assert (rank_true_class(labels, chances) == 0).tolist() == (chances.argmax(1) == labels).tolist()


def test_of_equal_chances_the_lower_class_comes_first_as_in_argmax() -> None:
    chances = np.array([[0.5, 0.5, 0.0]] * 3)
    assert rank_true_class(np.array([0, 1, 2]), chances).tolist() == [0, 1, 2]


def test_recorded_metrics_carry_unit_direction_and_interval() -> None:
    specs = (MetricSpec("top1", "%", True), MetricSpec("mean_per_class", "%", True))
    found = to_record_metrics(specs, {"top1": 97.0, "mean_per_class": 96.0}, 100)
    assert found["top1"].interval is not None
    assert found["top1"].interval.low == pytest.approx(91.548, abs=1e-3)
    assert found["mean_per_class"].interval is None
