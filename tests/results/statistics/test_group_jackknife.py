"""Intervals of metrics that are functions of a set of rows, against formulae, simulation and the usual jackknife."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from results.statistics.estimates import MetricSample, compute_difference, compute_interval
from results.statistics.group_jackknife import (
    NUM_GROUPS,
    assign_groups,
    evaluate_without_groups,
    sample_from_groups,
)
from results.statistics.significance_tests import sign_flip_test
from results.statistics.statistic_functions import ColumnArrays

Floats = NDArray[np.float64]


def compute_ratio(columns: ColumnArrays) -> float:
    return float(columns["y"].sum() / columns["x"].sum())


def compute_correlation(columns: ColumnArrays) -> float:
    return float(np.corrcoef(columns["x"], columns["y"])[0, 1])


def sample(function: Callable[[ColumnArrays], float], columns: ColumnArrays, names: list[str]) -> MetricSample:
    groups = assign_groups(names)
    without = evaluate_without_groups(function, columns, groups)
    return sample_from_groups(np.array([function(columns)]), without[None], np.bincount(groups))


def error(made: MetricSample) -> float:
    return float(np.sqrt((made.scaled_deviations**2).sum()))


def name_items(count: int) -> list[str]:
    return [f"image {number}" for number in range(count)]


def draw_ratio(rng: np.random.Generator, count: int) -> dict[str, Floats]:
    x = rng.gamma(4.0, 1.0, count)
    return {"x": x, "y": 0.6 * x + 0.5 * np.sqrt(x) * rng.normal(size=count)}


def draw_correlated(rng: np.random.Generator, count: int, rho: float) -> dict[str, Floats]:
    x = rng.normal(size=count)
    return {"x": x, "y": rho * x + np.sqrt(1 - rho**2) * rng.normal(size=count)}


@pytest.mark.parametrize("count", [100, 101, 149, 359, 5000])
def test_groups_are_of_one_size_and_follow_from_the_names_alone(count: int) -> None:
    names = name_items(count)
    groups = assign_groups(names)
    assert sorted(set(groups.tolist())) == list(range(NUM_GROUPS))
    assert np.ptp(np.bincount(groups)) <= 1
    turned = assign_groups(names[::-1])
    assert turned[::-1].tolist() == groups.tolist(), "another order of the file"
    spread = [np.ptp(np.flatnonzero(groups == group)) for group in range(NUM_GROUPS)]
    assert np.mean(spread) > count / 4, "a group is no run of neighbours: two random items are count / 3 apart"


def test_few_items_are_left_out_one_by_one() -> None:
    assert assign_groups(name_items(99)).tolist() == list(range(99))


@pytest.mark.parametrize("count", [60, 100, 137, 1000])
def test_of_a_mean_it_is_the_mean(count: int) -> None:
    """Whatever the groups' sizes: a mean has no bias, and 50 groups of it are 50 independent means."""
    values = np.random.default_rng(count).gamma(2.0, 3.0, count)
    made = sample(lambda columns: float(columns["x"].mean()), {"x": values}, name_items(count))
    assert made.item_values.mean() == pytest.approx(values.mean(), rel=1e-12)
    if count == 60:
        assert made.item_values[0] == pytest.approx(values)
        assert error(made) == pytest.approx(stats.sem(values))
    else:
        assert error(made) == pytest.approx(stats.sem(values), rel=0.3)  # 1 / sqrt(2 x 49) = 10 % by chance


@pytest.mark.parametrize("count", [137, 400])
def test_the_variance_of_a_mean_is_unbiased(count: int) -> None:
    """Also where groups have 2 or 3 items; 2,000 repetitions, so that chance gives 0.5 %."""
    rng = np.random.default_rng(0)
    found = [
        error(sample(lambda columns: float(columns["x"].mean()), {"x": rng.normal(size=count)}, name_items(count))) ** 2
        for _ in range(2000)
    ]
    assert np.mean(found) == pytest.approx(1 / count, rel=0.02)


def test_the_error_of_a_ratio_is_the_analytic_one_and_that_of_leaving_one_out() -> None:
    """Taylor's formula (Cochran 1977, 6.4) and the usual jackknife, written out; 200 samples of 600 items."""
    rng = np.random.default_rng(1)
    by_groups, by_items, analytic = [], [], []
    for _ in range(200):
        columns = draw_ratio(rng, 600)
        x, y = columns["x"], columns["y"]
        by_groups.append(error(sample(compute_ratio, columns, name_items(600))) ** 2)
        without = (y.sum() - y) / (x.sum() - x)
        by_items.append(599 / 600 * ((without - without.mean()) ** 2).sum())
        analytic.append(np.var(y - y.sum() / x.sum() * x, ddof=1) / (600 * x.mean() ** 2))
    assert np.mean(by_items) == pytest.approx(np.mean(analytic), rel=0.01)
    assert np.mean(by_groups) == pytest.approx(np.mean(by_items), rel=0.05)  # 20 % / sqrt(200) = 1.4 % by chance
    assert np.std(np.array(by_groups) / by_items) == pytest.approx(np.sqrt(2 / 49), rel=0.25), "the price of 50 groups"


def test_the_bias_of_a_ratio_is_taken_out() -> None:
    """x and y of small samples: the ratio is biased by about R (var x / x^2 - cov / x y) / n (Cochran 1977, 6.3)."""
    rng = np.random.default_rng(2)
    plain, freed = [], []
    for _ in range(8000):
        x = rng.gamma(0.5, 1.0, 20)
        columns = {"x": x, "y": np.ones(20)}
        made = sample(compute_ratio, columns, name_items(20))
        plain.append(made.mean)
        freed.append(made.item_values.mean())
    truth = 1 / 0.5
    standard_error = np.std(plain) / np.sqrt(8000)
    assert np.mean(plain) - truth > 10 * standard_error
    assert abs(np.mean(freed) - truth) < 0.35 * (np.mean(plain) - truth)


@pytest.mark.parametrize(("count", "groups"), [(60, 60), (400, 50)])
def test_intervals_of_a_correlation_cover(count: int, groups: int) -> None:
    """400 repetitions: 95 % is seen as 91.8 to 98.2 % in 997 of 1,000 (3 standard errors).

    The width is within a tenth of that of Fisher's interval, which knows that the values are normal.
    """
    rng, names, rho = np.random.default_rng(count), name_items(count), 0.6
    covered, widths, fisher = [], [], []
    for _ in range(400):
        columns = draw_correlated(rng, count, rho)
        made = sample(compute_correlation, columns, names)
        assert made.item_values.shape == (1, groups)
        found = compute_interval(made)
        covered.append(found.low <= rho <= found.high)
        widths.append(found.high - found.low)
        half = 1.96 / np.sqrt(count - 3)
        fisher.append(float(np.tanh(np.arctanh(made.mean) + half) - np.tanh(np.arctanh(made.mean) - half)))
    assert 91.8 <= 100 * np.mean(covered) <= 98.2
    assert np.mean(widths) == pytest.approx(np.mean(fisher), rel=0.1)


def test_two_backbones_on_the_same_items_are_paired_by_group() -> None:
    """Both predict one truth; of equal backbones 5 % are told apart, and pairing makes the interval narrow."""
    rng, names = np.random.default_rng(4), name_items(300)
    p_values, ratios = [], []
    for _ in range(300):
        truth = rng.normal(size=300)
        shared = truth + 0.8 * rng.normal(size=300)
        first, second = (
            sample(compute_correlation, {"x": truth, "y": shared + 0.3 * rng.normal(size=300)}, names) for _ in range(2)
        )
        p_values.append(sign_flip_test(first.item_values[0] - second.item_values[0], 999))
        paired, alone = compute_difference(first, second), compute_interval(first)
        ratios.append((paired.high - paired.low) / (alone.high - alone.low))
    share = 100 * float(np.mean(np.array(p_values) <= 0.05))
    assert 1.3 <= share <= 8.8, "5 % +- 3 standard errors"
    assert float(np.mean(ratios)) < 0.8
    worse = sample(compute_correlation, {"x": truth, "y": shared + 1.5 * rng.normal(size=300)}, names)
    assert sign_flip_test(first.item_values[0] - worse.item_values[0]) < 0.01


def test_a_perfect_score_has_the_width_of_its_items_not_of_its_groups() -> None:
    """All pseudo-values are 100; 50 of 50 groups right would be Wilson's 92.9 to 100, 200 of 200 items 98.1 to 100."""
    made = sample(lambda columns: 100.0, {"x": np.zeros(200)}, name_items(200))
    found = compute_interval(made)
    assert found.value == 100
    assert 97.5 < found.low < stats.binomtest(200, 200).proportion_ci(method="wilson").low * 100 + 0.05
    assert found.high >= 100
