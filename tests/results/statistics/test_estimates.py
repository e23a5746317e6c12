from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from classification.metrics import compute_mean_per_class
from results.statistics import segmentation_scores as area_scores
from results.statistics.estimates import (
    MetricSample,
    compute_difference,
    compute_interval,
    estimate_variance_components,
    sample_from_areas,
    sample_from_classes,
    sample_from_values,
)
from results.statistics.student_mixture import (
    VarianceComponents,
    compute_half_width,
    compute_tail_probability,
    estimate_degrees_of_freedom,
)
from segmentation.metrics import compute_segmentation_scores
from tests.results.statistics.coverage import (
    iter_near_perfect,
    measure_coverage,
    simulate_auc,
    simulate_bad_miou,
    simulate_miou,
    simulate_top1,
)

RNG = np.random.default_rng(5)


def error(sample: MetricSample) -> float:
    """Standard error of the mean over seeds."""
    return float(np.sqrt(estimate_variance_components([sample]).variances.sum()))


def make_areas(images: int = 60, classes: int = 5, seed: int = 0) -> area_scores.AreaArray:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 200, (images, classes)) * (rng.random((images, classes)) < 0.7)
    hit = rng.binomial(truth, 0.6)
    return np.stack([hit, hit + rng.integers(0, 60, truth.shape), truth], 1).astype(np.int64)


def test_one_seeds_interval_is_students() -> None:
    values = RNG.uniform(0, 100, 40)
    found = compute_interval(sample_from_values(values[None]))
    low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


def test_one_runs_share_has_wilsons_interval() -> None:
    right = np.array([[100.0] * 97 + [0.0] * 3])
    found, wilson = compute_interval(sample_from_values(right)), stats.binomtest(97, 100).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((100 * wilson.low, 100 * wilson.high))


def test_the_error_of_a_mean_is_that_of_scipys_bootstrap() -> None:
    values = RNG.gamma(2.0, 10.0, 300)
    drawn = stats.bootstrap((values,), np.mean, n_resamples=4000, rng=np.random.default_rng(0))
    assert error(sample_from_values(values[None])) == pytest.approx(drawn.standard_error, rel=0.04)  # 1.1 % by chance
    found, width = (
        compute_interval(sample_from_values(values[None])),
        drawn.confidence_interval.high - drawn.confidence_interval.low,
    )
    assert found.low == pytest.approx(drawn.confidence_interval.low, abs=0.06 * width)
    assert found.high == pytest.approx(drawn.confidence_interval.high, abs=0.06 * width)


@pytest.mark.parametrize("name", ["mIoU", "mIoU_all", "aAcc", "mAcc"])
def test_the_error_of_a_ratio_is_that_of_scipys_bootstrap_over_images(name: str) -> None:
    areas = make_areas(200)

    def of_images(places: np.ndarray) -> float:
        return area_scores.compute_area_metric(areas[places.astype(int)], name)

    places = np.arange(len(areas))
    drawn = stats.bootstrap(
        (places,), of_images, vectorized=False, n_resamples=1500, method="basic", rng=np.random.default_rng(0)
    )
    assert error(sample_from_areas([areas], name)) == pytest.approx(drawn.standard_error, rel=0.08)  # 1.8 % by chance


@pytest.mark.parametrize("name", ["mIoU", "mIoU_all", "aAcc", "mAcc"])
def test_scores_are_those_of_segmentation(name: str) -> None:
    areas = make_areas()
    areas[:, :, 3] = 0  # a class that is absent
    areas[:, 2, 4] = areas[:, 0, 4] = 0  # and one that is only predicted
    assert area_scores.compute_area_metric(areas, name) == pytest.approx(
        getattr(compute_segmentation_scores(areas.sum(0)), name), abs=1e-12
    )
    assert sample_from_areas([areas], name).seed_estimates[0] == area_scores.compute_area_metric(areas, name)


def test_pseudo_values_leave_each_image_out() -> None:
    areas = make_areas(7)
    full = area_scores.compute_area_metric(areas, "mIoU")
    by_hand = [7 * full - 6 * area_scores.compute_area_metric(np.delete(areas, place, 0), "mIoU") for place in range(7)]
    assert area_scores.jackknife_pseudo_values(areas, "mIoU") == pytest.approx(by_hand, abs=1e-9)


def test_classes_weigh_alike_and_vary_by_class() -> None:
    labels = np.repeat([0, 1, 2], [4, 10, 30])
    right = RNG.random(44) < 0.5
    sample = sample_from_classes(100.0 * right[None], labels)
    assert sample.seed_estimates[0] == pytest.approx(compute_mean_per_class(labels, np.where(right, labels, 9)))
    assert sample.item_values.mean() == pytest.approx(sample.seed_estimates[0])
    by_class = [np.var(100.0 * right[labels == c], ddof=1) / np.sum(labels == c) for c in range(3)]
    assert error(sample) ** 2 == pytest.approx(sum(by_class) / 9)


def test_parts_are_those_of_the_crossed_analysis_of_variance() -> None:
    seeds, items = 4, 50
    table = 70 + 3 * RNG.normal(size=(seeds, 1)) + 8 * RNG.normal(size=items) + 2 * RNG.normal(size=(seeds, items))
    rows, columns = table.mean(1, keepdims=True), table.mean(0, keepdims=True)
    of_rows = items * np.var(rows, ddof=1)
    of_columns = seeds * np.var(columns, ddof=1)
    rest = ((table - rows - columns + table.mean()) ** 2).sum() / ((seeds - 1) * (items - 1))
    parts = estimate_variance_components([sample_from_values(table)])
    assert parts.variances == pytest.approx([of_rows / (seeds * items), (of_columns - rest) / (seeds * items)])
    assert parts.degrees_of_freedom[0] == seeds - 1


def test_a_difference_pairs_the_items_and_not_the_seeds() -> None:
    hard = 30 * RNG.normal(size=200)
    first = sample_from_values(60 + hard + RNG.normal(size=(3, 200)))
    second = sample_from_values(59 + hard + RNG.normal(size=(3, 200)))
    found = compute_difference(first, second)
    assert found.high - found.low < 0.2 * (compute_interval(first).high - compute_interval(first).low), (
        "hard items are hard for both"
    )
    shifted = sample_from_values(second.item_values + np.array([[-8.0], [0.0], [8.0]]))
    assert compute_difference(first, shifted).high - compute_difference(first, shifted).low > 30, (
        "three seeds that differ are not one"
    )
    held = compute_difference(sample_from_values(first.item_values[:1]), shifted)
    assert held.high - held.low < 2, "with one seed on a side the claim is conditional on the seeds"


def test_p_and_interval_agree() -> None:
    first, second = (sample_from_values(RNG.normal(size=(3, 80)) + RNG.normal(size=(3, 1))) for _ in range(2))
    found = compute_difference(first, second)
    edge = sample_from_values(first.item_values - found.low)
    assert compute_difference(edge, second).p_value == pytest.approx(0.05, abs=1e-9)


def test_a_mixed_tail_lies_between_the_parts() -> None:
    ratio, free = np.array(3.0), np.array([2.0, 99.0])
    ends = [
        float(compute_tail_probability(ratio, VarianceComponents(np.array(share), free)))
        for share in ([1.0, 0.0], [0.0, 1.0])
    ]
    assert ends == pytest.approx([2 * stats.t.sf(3, 2), 2 * stats.t.sf(3, 99)])
    assert float(compute_tail_probability(ratio, VarianceComponents(np.array([0.25, 0.75]), free))) == pytest.approx(
        0.25 * ends[0] + 0.75 * ends[1]
    )


def test_degrees_of_freedom_fall_where_few_items_matter() -> None:
    even = RNG.uniform(-1, 1, 100)
    assert estimate_degrees_of_freedom(even - even.mean()) == 99
    lonely = np.zeros(100)
    lonely[0] = 1.0
    assert estimate_degrees_of_freedom(lonely - lonely.mean()) < 3
    assert estimate_degrees_of_freedom(np.zeros(5)) == 4


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(("value", "in_percent"), [(0.0, True), (40.0, True), (100.0, True), (40.0, False)])
def test_without_any_spread_nothing_is_certain(seeds: int, value: float, in_percent: bool) -> None:
    """A tracker with identical boxes, a deterministic protocol, a perfect score; rounding is no spread either."""
    same = sample_from_values(np.full((seeds, 30), value) + 1e-13 * RNG.normal(size=(seeds, 30)))
    same = same._replace(in_percent=in_percent, is_right_or_wrong=False)
    other = same._replace(seed_estimates=same.seed_estimates + 1, item_values=same.item_values + 1)
    found, apart = compute_interval(same), compute_difference(same, other)
    assert found.high - found.low > 0.1
    assert found.low <= found.value <= found.high
    assert compute_difference(same, same).p_value == 1.0
    assert 0.05 < apart.p_value <= 1, "a distance of 1 on 30 items, and not a word on what is chance"
    assert apart.low < 0 < apart.high


@pytest.mark.parametrize("metric", ["mIoU", "mIoU_all", "aAcc", "mAcc"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_perfect_segmentation_has_an_interval(metric: str, seeds: int) -> None:
    areas = make_areas(40)
    areas[:, 0] = areas[:, 1] = areas[:, 2]
    found = compute_interval(sample_from_areas([areas] * seeds, metric))
    assert found.value == 100
    assert 80 < found.low < 97
    assert found.high >= 100


def agresti_coull(right: int, n: int) -> tuple[float, float]:
    """Center and standard error of Agresti and Coull (1998) in percent, with two successes and two failures."""
    p = (right + 2) / (n + 4)
    return 100 * p, 100 * float(np.sqrt(p * (1 - p) / (n + 4)))


@pytest.mark.parametrize(("right", "n"), [(24, 24), (23, 24), (0, 24), (358, 359), (270, 359)])
def test_seeds_that_agree_have_agresti_and_coulls_interval(right: int, n: int) -> None:
    """With Student's quantile of n - 1 degrees of freedom; nearly Wilson's, and never without a width."""
    one = np.array([100.0] * right + [0.0] * (n - right))
    found = compute_interval(sample_from_values(np.stack([one] * 3)))
    center, standard_error = agresti_coull(right, n)
    reach = stats.t.ppf(0.975, n - 1) * standard_error
    assert (found.low, found.high) == pytest.approx((center - reach, center + reach), rel=1e-9)
    wilson = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert found.low < 100 * wilson.low < 100 * wilson.high < found.high
    shown = min(found.high, 100.0) - max(found.low, 0.0)
    assert shown < 1.25 * 100 * (wilson.high - wilson.low)


def agresti_min(only_first: int, only_second: int, n: int) -> tuple[float, float]:
    """Difference and standard error of Agresti and Min (2005) in percent, half an item added to each of four cells."""
    b, c, total = only_first + 0.5, only_second + 0.5, n + 2
    return 100 * (b - c) / total, 100 * float(np.sqrt(b + c - (b - c) ** 2 / total)) / total


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (0, 1), (2, 1), (12, 3), (60, 0)])
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_difference_of_right_items_is_agresti_and_mins(only_first: int, only_second: int, seeds: int) -> None:
    """The pseudo-items of ours stand at either end only: in a mean they are worth n + 1 items, and theirs n + 2."""
    n = 100
    first, second = np.full(n, 100.0), np.full(n, 100.0)
    second[:only_first] = 0
    first[only_first : only_first + only_second] = 0
    found = compute_difference(*(sample_from_values(np.stack([each] * seeds)) for each in (first, second)))
    center, standard_error = agresti_min(only_first, only_second, n - 1)
    reach = stats.t.ppf(0.975, n - 1) * standard_error
    assert (found.low, found.high) == pytest.approx(
        (min(center - reach, found.value), max(center + reach, found.value)), rel=1e-9, abs=1e-9
    )
    if only_first != only_second:
        assert found.p_value == pytest.approx(2 * stats.t.sf(abs(center) / standard_error, n - 1))


def test_two_wrong_against_one_is_not_resolved() -> None:
    """3 seeds x 359 images, 357 and 358 right in each seed: p was 0, and both intervals had no width."""
    first, second = np.full((3, 359), 100.0), np.full((3, 359), 100.0)
    first[:, [3, 4]] = second[:, 200] = 0
    ours, theirs = sample_from_values(first), sample_from_values(second)
    found = compute_difference(ours, theirs)
    assert found.p_value > 0.4
    assert found.low < -1 < 0.5 < found.high
    for each in map(compute_interval, (ours, theirs)):
        assert each.low < 98.5
        assert each.high > 99.8


def test_a_perfect_mean_over_classes_has_an_interval() -> None:
    """In small classes an item weighs more: 3 classes of 4, 10 and 30 items are worth 23.5 items of one weight."""
    labels = np.repeat([0, 1, 2], [4, 10, 30])
    sample = sample_from_classes(np.full((2, 44), 100.0), labels)
    assert sample.num_items == pytest.approx(9 / (1 / 4 + 1 / 10 + 1 / 30))
    found, plain = compute_interval(sample), compute_interval(sample_from_values(np.full((2, 44), 100.0)))
    assert found.low < plain.low < 95
    assert found.value == 100


def test_a_p_value_is_never_zero() -> None:
    first, second = (sample_from_values(np.full((3, 5000), value)) for value in (100.0, 0.0))
    for pair in ((first, second), (second, first)):
        assert 0 < compute_difference(*pair).p_value < 1e-100


def test_an_interval_holds_its_own_value_and_a_p_value_knows_the_sign() -> None:
    """The correction of a bias may go beyond 0, or further than the interval is wide; then nothing is resolved."""
    made = sample_from_values(RNG.normal(size=(2, 80)), np.array([3.0, 3.1]))
    found = compute_interval(made)
    assert found.low < 1
    assert found.high == pytest.approx(3.05)
    turned = sample_from_values(RNG.normal(size=(2, 80)) - 5, np.array([0.5, 0.6]))
    apart = compute_difference(turned, sample_from_values(RNG.normal(size=(2, 80)), np.zeros(2)))
    assert (apart.p_value, apart.high) == (1, pytest.approx(0.55))


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_cover(seeds: int) -> None:
    """A fast look, 400 repetitions a case: 95 % is seen as 91.8 to 98.2 % in 997 of 1,000 (3 standard errors).

    The thorough run is ``python -m tests.results.statistics.coverage``.
    """
    rng = np.random.default_rng(seeds)
    for world in (simulate_top1(rng, num_seeds=40), simulate_auc(rng, num_seeds=40), simulate_miou(rng, images=2_000)):
        found = measure_coverage(world, seeds, 400, rng, resamples=0)
        assert 91.8 <= found.ours <= 98.2, world.name


def test_intervals_cover_where_hardly_an_item_is_wrong() -> None:
    """300 repetitions a case. Without pseudo-items it is 18 to 93 %, with them 97 to 100 %."""
    rng = np.random.default_rng(7)
    for world, numbers in iter_near_perfect(rng, num_seeds=30):
        for seeds in numbers:
            found = measure_coverage(world, seeds, 300, rng, resamples=0)
            assert found.ours >= 92, (world.name, seeds)


@pytest.mark.parametrize("seeds", [1, 2, 10])
def test_a_mean_over_classes_covers_where_hardly_an_item_is_wrong(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    labels = np.repeat(np.arange(10), [2, 2, 4, 4, 8, 8, 12, 12, 20, 28])
    world = simulate_top1(rng, 0.97, 100, 0.3, 30)._replace(
        make_sample=lambda drawn: sample_from_classes(drawn, labels)
    )
    assert measure_coverage(world, seeds, 200, rng, resamples=0).ours >= 92


def test_many_items_are_not_made_uncertain() -> None:
    """The pseudo-items widen the interval by less than 2 % at 1,000 items and 75 %."""
    right = 100.0 * (RNG.random((3, 1000)) + RNG.normal(size=1000) > 0.1)
    sample = sample_from_values(right)
    plain, floored = (compute_interval(sample._replace(is_right_or_wrong=each)) for each in (False, True))
    assert floored.high - floored.low == pytest.approx(plain.high - plain.low, rel=0.02)


def test_the_interval_of_a_useless_segmentation_holds_its_value_and_the_truth() -> None:
    """The score is far too high on few images, so it lies outside of the interval around the corrected value."""
    rng = np.random.default_rng(3)
    world = simulate_bad_miou(rng, images=1_000)
    found = measure_coverage(world, 3, 100, rng, resamples=0)
    assert found.ours >= 92
    sample = world.make_sample(world.outcomes[:3, :100])
    estimate = compute_interval(sample)
    reach = compute_half_width(estimate_variance_components([sample])) * error(sample)
    assert sample.mean > sample.item_values.mean() + reach, "the case is not the one that it should be"
    assert (estimate.low, estimate.high) == pytest.approx((sample.item_values.mean() - reach, sample.mean))
