from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from results.statistics.estimates import compute_difference, sample_from_areas, sample_from_values
from results.statistics.significance_tests import (
    compute_pairwise_p_values,
    group_tied_rows,
    holm_correction,
    mcnemar_test,
    sign_flip_test,
)
from tests.results.statistics.test_estimates import make_areas

RNG = np.random.default_rng(11)


def scipys(differences: np.ndarray, resamples: float) -> float:
    found = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=resamples, rng=np.random.default_rng(1)
    )
    return float(found.pvalue)


def test_flips_are_scipys_permutation_test() -> None:
    few = RNG.normal(0.5, 1, 10)
    assert sign_flip_test(few) == pytest.approx(scipys(few, np.inf))
    many = RNG.normal(0.15, 1, 100)
    assert sign_flip_test(many) == pytest.approx(scipys(many, 9999), abs=0.015)


def test_right_and_wrong_is_mcnemars_test() -> None:
    first, second = RNG.random(300) < 0.8, RNG.random(300) < 0.7
    only = int((first & ~second).sum()), int((second & ~first).sum())
    exact = stats.binomtest(only[0], sum(only)).pvalue
    assert sign_flip_test(100.0 * first - 100.0 * second) == pytest.approx(exact)
    assert mcnemar_test(np.array(only[0]), np.array(only[1])) == pytest.approx(exact)
    assert mcnemar_test(np.array(5000), np.array(0)) > 0
    assert sign_flip_test(np.zeros(9)) == 1.0


def test_all_pairs_at_once_are_the_pairs_one_by_one() -> None:
    samples = [sample_from_values(RNG.normal(size=(seeds, 60)) + 0.2 * seeds) for seeds in (1, 3, 1, 5, 2)]
    table = compute_pairwise_p_values(samples)
    assert (table == table.T).all()
    assert (np.diag(table) == 1).all()
    for row, one in enumerate(samples):
        for column, other in enumerate(samples[:row]):
            if min(one.num_seeds, other.num_seeds) > 1:
                assert table[row, column] == pytest.approx(compute_difference(one, other).p_value)
            else:
                assert table[row, column] == 1, "nothing is known about other seeds"


def uniform(found: list[float]) -> float:
    return float(stats.kstest(found, "uniform").pvalue)


def test_p_is_uniform_under_the_null_over_items() -> None:
    hard = RNG.normal(size=(500, 40))
    found = [sign_flip_test(RNG.normal(size=40) - RNG.normal(size=40), 999) for _ in hard]
    assert uniform(found) > 0.01


def test_p_is_uniform_under_the_null_over_seeds_and_items() -> None:
    """Three seeds each, that are alike or most of it: the test errs to the safe side, and not by far.

    (Welch's t with 2 and 2 degrees of freedom rejects 3.5 % at 5 %.)
    """
    for spread in (0.0, 5.0):
        found = []
        for _ in range(400):
            hard = RNG.normal(size=50)
            pair = [
                sample_from_values(hard + spread * RNG.normal(size=(3, 1)) + RNG.normal(size=(3, 50))) for _ in range(2)
            ]
            found.append(compute_difference(*pair).p_value)
        assert 0.01 <= np.mean(np.array(found) <= 0.05) <= 0.075, spread
        assert 0.4 <= np.mean(np.array(found) <= 0.5) <= 0.6, spread


def test_p_is_uniform_with_many_seeds() -> None:
    found = []
    for _ in range(400):
        hard = RNG.normal(size=50)
        pair = [sample_from_values(hard + RNG.normal(size=(10, 1)) + RNG.normal(size=(10, 50))) for _ in range(2)]
        found.append(compute_difference(*pair).p_value)
    assert uniform(found) > 0.01


def test_the_null_of_right_and_wrong_is_never_rejected_too_often() -> None:
    found = np.array(
        [sign_flip_test(100.0 * (RNG.random(200) < 0.7) - 100.0 * (RNG.random(200) < 0.7)) for _ in range(1000)]
    )
    for level in (0.01, 0.05, 0.2):
        assert np.mean(found <= level) <= level + 3 * np.sqrt(level * (1 - level) / 1000)
    assert np.mean(found <= 0.2) > 0.1, "an exact test is cautious, not blind"


def test_flips_of_pseudo_values_agree_with_swapping_areas() -> None:
    """mIoU: exchanging areas and scoring anew is the exact test, flipping what images add the quick one."""
    first, second = make_areas(80, seed=1), make_areas(80, seed=1)
    second[:40, 0] = (second[:40, 0] * 0.93).astype(np.int64)
    pair = [sample_from_areas([each], "mIoU") for each in (first, second)]
    quick = sign_flip_test(pair[0].item_values[0] - pair[1].item_values[0])
    seen = abs(pair[0].mean - pair[1].mean)
    beyond = 0
    for _ in range(2000):
        swap = (RNG.random(80) < 0.5)[:, None, None]
        mixed = [np.where(swap, one, other) for one, other in ((first, second), (second, first))]
        beyond += (
            abs(sample_from_areas([mixed[0]], "mIoU").mean - sample_from_areas([mixed[1]], "mIoU").mean) >= seen - 1e-9
        )
    assert quick == pytest.approx((1 + beyond) / 2001, abs=0.03)


def test_holm_by_hand() -> None:
    assert holm_correction(np.array([0.04, 0.01, 0.03, 0.005])) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm_correction(np.array([])).size == 0


def test_groups_reach_to_the_first_row_that_is_resolved() -> None:
    p = np.ones((4, 4))
    p[0, 2] = p[2, 0] = 0.001
    first, second = group_tied_rows(np.array([90.0, 89.0, 85.0, 84.0]), p, True)
    assert first.rows == (0, 1)
    assert second.rows == (2, 3)
    assert first.unresolved == (3,), "worse than a resolved row, and itself not resolved"
    (all_alike,) = group_tied_rows(np.array([1.0, 2.0]), np.ones((2, 2)), False)
    assert all_alike.rows == (0, 1), "lower is better"


def test_many_rows_ask_for_more() -> None:
    """One p of 0.02 resolves a pair; among ten rows it does not."""
    for rows, groups in ((2, 2), (10, 1)):
        p = np.full((rows, rows), 0.6)
        p[0, 1] = p[1, 0] = 0.02
        assert len(group_tied_rows(np.arange(rows, 0, -1.0), p, True)) == groups


def test_ranks_never_run_against_the_scores() -> None:
    for _ in range(50):
        scores, p = RNG.normal(size=12), RNG.random((12, 12)) ** 3
        rows = [row for group in group_tied_rows(scores, p, True) for row in group.rows]
        assert (np.diff(scores[rows]) <= 0).all()
        assert sorted(rows) == list(range(12))
