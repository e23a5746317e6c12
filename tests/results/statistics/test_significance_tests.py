from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from results.statistics import significance_tests
from results.statistics.estimates import (
    compute_difference,
    estimate_differences,
    sample_from_areas,
    sample_from_values,
)
from results.statistics.significance_tests import (
    compute_pairwise_p_values,
    group_tied_rows,
    holm_correction,
    mcnemar_test,
    sign_flip_test,
)
from tests.results.statistics.board_errors import (
    BOARD_WORLDS,
    BoardWorld,
    draw_board,
    group_board,
    measure_board_errors,
    measure_board_power,
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


def test_two_rows_are_compared_as_a_pair_is() -> None:
    samples = [sample_from_values(RNG.normal(size=(seeds, 60)) + 0.2 * seeds) for seeds in (1, 3, 1, 5, 2)]
    table = compute_pairwise_p_values(samples)
    assert (table == table.T).all()
    assert (np.diag(table) == 1).all()
    for row, one in enumerate(samples):
        for column, other in enumerate(samples[:row]):
            alone = compute_pairwise_p_values([one, other])[0, 1]
            if min(one.num_seeds, other.num_seeds) > 1:
                assert alone == pytest.approx(compute_difference(one, other).p_value)
                assert 0 < table[row, column] < 1
            else:
                assert table[row, column] == alone == 1, "nothing is known about other seeds"


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


def adjust_by_hand(p_values: np.ndarray) -> np.ndarray:
    """Holm's correction as a loop over the sorted p-values, as in statsmodels' ``multipletests``."""
    adjusted, largest = np.empty(len(p_values)), 0.0
    for place, index in enumerate(np.argsort(p_values)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def test_holm_is_the_loop() -> None:
    for _ in range(20):
        p_values = RNG.random(int(RNG.integers(1, 40))) ** 3
        assert holm_correction(p_values) == pytest.approx(adjust_by_hand(p_values))


def test_three_rows_borrow_their_spread_by_hand() -> None:
    """Moderated variances (Smyth 2004), of which a row keeps its own where that is larger."""
    seeds, items = 3, 40
    spread = np.array([0.5, 1.0, 6.0])
    table = 20 * RNG.normal(size=items) + spread[:, None, None] * RNG.normal(size=(3, seeds, 1))
    table = 60 + table + RNG.normal(size=(3, seeds, items)) + 3 * RNG.normal(size=(3, 1, items))
    samples = [sample_from_values(each) for each in table]
    own = table.mean(2).var(1, ddof=1)
    pooled = (4 * own.mean() + 2 * own) / 6  # 4 borrowed and 2 own degrees of freedom
    used = np.maximum(own, pooled)
    assert (used > own).any() and (used == own).any(), "the case is not the one that it should be"
    found = compute_pairwise_p_values(samples)
    for row, other in ((0, 1), (0, 2), (1, 2)):
        of_seeds = (used[row] + used[other]) / seeds
        # 3 degrees of freedom each: half of the 6 of the board
        welch = of_seeds**2 / ((used[row] / seeds) ** 2 / 3 + (used[other] / seeds) ** 2 / 3)
        differences = table[row].mean(0) - table[other].mean(0)
        rest = [each - each.mean(0) - each.mean(1, keepdims=True) + each.mean() for each in (table[row], table[other])]
        residual = sum((each**2).sum() / ((seeds - 1) * (items - 1)) for each in rest) / (seeds * items)
        of_items = max(differences.var(ddof=1) / items - residual, 0)
        centered = differences - differences.mean()
        free = min(2 * items / (items * (centered**4).sum() / (centered**2).sum() ** 2 - 1), items - 1)
        ratio = abs(differences.mean()) / np.sqrt(of_seeds + of_items)
        tail = (of_seeds * stats.t.sf(ratio, welch) + of_items * stats.t.sf(ratio, free)) / (of_seeds + of_items)
        assert found[row, other] == pytest.approx(2 * tail)


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
    """One p of 0.02 resolves a pair; of three rows it is one of three tests, and does not."""
    for rows, groups in ((2, 2), (3, 1), (10, 1)):
        p = np.full((rows, rows), 0.6)
        p[0, 1] = p[1, 0] = 0.02
        assert len(group_tied_rows(np.arange(rows, 0, -1.0), p, True)) == groups


def rank(scores: np.ndarray, p_values: np.ndarray, higher_is_better: bool) -> np.ndarray:
    found, first = np.zeros(len(scores), int), 1
    for group in group_tied_rows(scores, p_values, higher_is_better):
        found[list(group.rows)] = first
        first += len(group.rows)
    return found


def test_ranks_follow_from_scores_and_tests_alone() -> None:
    """Whatever the order of the rows: ranks never contradict scores, equal scores share a rank, and so do all rows that
    no test tells apart. Scores are rounded to make leaders with one score, and differ in the last digits."""
    grouped = 0
    for _ in range(300):
        count = int(RNG.integers(1, 12))
        higher = bool(RNG.random() < 0.5)
        scores = np.round(RNG.normal(size=count), int(RNG.integers(0, 2))) * 10
        noisy = scores * (1 + 1e-13 * RNG.normal(size=count))
        p = np.triu(RNG.random((count, count)) ** int(RNG.integers(1, 30)), 1)
        p = p + p.T + np.eye(count)
        found = rank(noisy, p, higher)
        order = RNG.permutation(count)
        assert (rank(noisy[order], p[np.ix_(order, order)], higher) == found[order]).all()
        worse = scores[:, None] < scores[None] if higher else scores[:, None] > scores[None]
        assert not (worse & (found[:, None] < found[None])).any()
        assert not ((scores[:, None] == scores[None]) & (found[:, None] != found[None])).any()
        assert ((found > 1).any() and count > 1) or (found == 1).all()
        grouped += len(set(found.tolist())) > 1
    assert 50 < grouped < 290, "some boards are told apart, and some are not"


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_two_leaders_with_one_score_lead_together(order: tuple[int, ...]) -> None:
    """The third row is resolved from the second leader only; the order of names decided whether it shared rank 1."""
    scores, p = np.array([90.0, 90.0, 80.0]), np.ones((3, 3))
    p[1, 2] = p[2, 1] = 0.001
    places = list(order)
    assert rank(scores[places], p[np.ix_(places, places)], True).tolist() == [(1, 1, 3)[place] for place in places]


def test_thirty_equal_rows_share_a_rank() -> None:
    """60 boards: with 5 % wrong, more than 8 are seen in less than one of 200; ours are below 1 %."""
    rng = np.random.default_rng(0)
    for world, seeds in ((BoardWorld(359, 0.97, 0.3), 2), (BoardWorld(280, None), 3)):
        assert measure_board_errors(world, 30, seeds, 30, rng) <= 10, world.name


@pytest.mark.parametrize(("rows", "boards"), [(2, 150), (10, 60)])
def test_equal_rows_are_seldom_ranked_apart(rows: int, boards: int) -> None:
    """Twice the stated 5 % is further than chance goes: 3 standard errors of 150 boards are 5.3 %."""
    rng = np.random.default_rng(rows)
    for world in BOARD_WORLDS:
        assert measure_board_errors(world, rows, 3, boards, rng) <= 10, world.name


@pytest.mark.parametrize(
    ("counts", "spreads"), [([2, 10], [1.0, 1.0]), ([2] + [10] * 9, [4.0] + [0.3] * 9), ([2, 10] * 5, [3.0, 0.3] * 5)]
)
def test_two_seeds_beside_ten_are_not_trusted_more(counts: list[int], spreads: list[float]) -> None:
    """Equal truth, hardly any noise of items. With the spread and the degrees of freedom of the rows of ten seeds, the
    row of two was ranked apart on 9, 16 and 32 % of these boards."""
    rng = np.random.default_rng(0)
    apart = 0
    for _ in range(500):
        items = rng.normal(0, 0.1, (len(counts), 20))
        board = [
            50 + spread * rng.normal(size=(count, 1)) + own
            for count, spread, own in zip(counts, spreads, items, strict=True)
        ]
        apart += len(set(group_board(board))) > 1
    assert apart / 500 <= 0.075


def test_rows_that_differ_are_found() -> None:
    """A board that never tells anything apart is no use: 10 points, 10 rows, 3 seeds."""
    assert measure_board_power(BoardWorld(1000, 0.75), 10, 3, 10, np.random.default_rng(0), 10.0) > 90


def test_the_seeds_of_equal_rows_are_never_ranked_from_one_training() -> None:
    """Equal truth, seeds +-0.6, 10,000 items, one seed: a test over items tells a third of the pairs apart, because two
    trainings do differ. On a board no such pair is resolved."""
    rng, told = np.random.default_rng(0), []
    for _ in range(60):
        outcomes = draw_board(rng, BoardWorld(10_000, 0.75), np.zeros(2), 1)
        told.append(sign_flip_test(outcomes[0][0] - outcomes[1][0]) <= 0.05)
        assert group_board(outcomes) == [1, 1]
        assert compute_pairwise_p_values([sample_from_values(row) for row in outcomes]).min() == 1
    assert 0.15 < np.mean(told) < 0.55


def test_five_hundred_rows_cost_one_matrix_a_row() -> None:
    """All partners of a row are computed at once: 500 rows have 124,750 pairs, and took 53 s."""
    calls = 0

    def count(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        return estimate_differences(*arguments, **named)  # type: ignore[arg-type]

    samples = [sample_from_values(100.0 * (RNG.random((2, 50)) < 0.8)) for _ in range(60)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(significance_tests, "estimate_differences", count)
        compute_pairwise_p_values(samples)
    assert calls == 59
