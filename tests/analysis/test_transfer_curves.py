"""Runs as points of a curve."""

from __future__ import annotations

from statistics import fmean, stdev

import pytest

from analysis.transfer_curves import POINT_COLUMNS, average_runs, group_into_curves
from foundation.errors import BenchError
from tests.results.make import make_record

T_OF_THREE = 4.302653  # Student's t, 0.975, two degrees of freedom


def test_a_point_is_the_mean_over_seeds_with_students_t() -> None:
    values = (90.0, 92.0, 95.0)
    found = average_runs(
        "a", 10, [make_record(value, seed=seed, run_id=f"{seed:016x}") for seed, value in enumerate(values)]
    )
    reach = T_OF_THREE * stdev(values) / 3**0.5
    assert found.value == pytest.approx(fmean(values))
    assert found.interval is not None
    assert found.interval.low == pytest.approx(fmean(values) - reach, rel=1e-6)
    assert found.interval.high == pytest.approx(fmean(values) + reach, rel=1e-6)
    assert dict(zip(POINT_COLUMNS, found.to_row(), strict=True))["seeds"] == 3
    assert len(found.run_ids) == 3


def test_a_lone_run_has_its_own_interval() -> None:
    one = make_record(90.0)
    assert one.result is not None
    assert average_runs("a", 10, [one]).interval == one.result.metrics["top1"].interval


def test_seeds_that_change_nothing_are_one_measurement() -> None:
    """Student's t of equal values would be an interval of no width: certainty out of nothing."""
    equal = [make_record(90.0, seed=seed) for seed in range(3)]
    assert equal[0].result is not None
    assert average_runs("a", 10, equal).interval == equal[0].result.metrics["top1"].interval


def test_other_runs_are_not_averaged() -> None:
    with pytest.raises(BenchError, match="differ in more than their seed"):
        average_runs("a", 10, [make_record(90.0), make_record(91.0, seed=1, comparability="0" * 16)])
    with pytest.raises(BenchError, match="differ in more than their seed"):
        average_runs("a", 10, [make_record(90.0), make_record(91.0)])
    with pytest.raises(BenchError, match="a point needs complete runs"):
        average_runs("a", 10, [make_record(status="failed")])


def test_curves_are_in_the_order_of_their_places() -> None:
    points = [
        average_runs(name, x, [make_record(value)])
        for name, x, value in (("a", 100, 9.0), ("b", 1, 5.0), ("a", 10, 7.0))
    ]
    found = group_into_curves(points)
    assert found["a"].x == [10, 100]
    assert found["a"].y == [7, 9]
    assert found["b"].y == [5]
