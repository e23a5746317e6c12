from __future__ import annotations

import re

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from classification.metrics import ItemAccuracy, Scored, mean_per_class, recorded, top1
from engine.task import MetricSpec
from foundation.errors import IncompleteError


@pytest.mark.parametrize("seed", range(5))
def test_against_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels, predictions = random.integers(0, 7, 200), random.integers(0, 8, 200)
    assert top1(labels, predictions) == pytest.approx(100 * accuracy_score(labels, predictions), abs=1e-12)
    with pytest.warns(UserWarning, match="not in y_true") if set(predictions) - set(labels) else _nothing():
        expected = 100 * balanced_accuracy_score(labels, predictions)
    assert mean_per_class(labels, predictions) == pytest.approx(expected, abs=1e-12)


class _nothing:  # noqa: N801
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def rows(*items: int) -> list[Scored]:
    return [Scored(item, label=item % 2, prediction=0, confidence=0.5) for item in items]


def test_rows_are_put_in_item_order() -> None:
    metric = ItemAccuracy(4)
    assert metric.compute_metrics(rows(3, 0, 2, 1)) == {"top1": 50.0, "mean_per_class": 50.0}
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
        ItemAccuracy(expected).compute_metrics(rows(*items))


def test_recorded_metrics_carry_unit_direction_and_interval() -> None:
    specs = (MetricSpec("top1", "%", True), MetricSpec("mean_per_class", "%", True))
    found = recorded(specs, {"top1": 97.0, "mean_per_class": 96.0}, 100)
    assert found["top1"].interval is not None
    assert found["top1"].interval.low == pytest.approx(91.548, abs=1e-3)
    assert found["mean_per_class"].interval is None
