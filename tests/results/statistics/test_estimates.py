from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from classification.metrics import compute_mean_per_class
from results.statistics import segmentation_scores as area_scores
from results.statistics.estimates import (
    MetricSample,
    VarianceComponents,
    compute_difference,
    compute_interval,
    compute_tail_probability,
    estimate_degrees_of_freedom,
    estimate_variance_components,
    sample_from_areas,
    sample_from_classes,
    sample_from_values,
)
from segmentation.metrics import compute_segmentation_scores
from tests.results.statistics.coverage import measure_coverage, simulate_auc, simulate_miou, simulate_top1

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


def test_no_variance_at_all() -> None:
    same = sample_from_values(np.full((2, 5), 40.0))
    assert compute_interval(same)[:3] == (40.0, 40.0, 40.0)
    assert compute_difference(same, same).p_value == 1.0
    assert compute_difference(same, sample_from_values(np.full((2, 5), 41.0))).p_value == 0.0


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_cover(seeds: int) -> None:
    """A fast look, 400 repetitions a case: 95 % is seen as 91.8 to 98.2 % in 997 of 1,000 (3 standard errors).

    The thorough run is ``python -m tests.results.statistics.coverage``.
    """
    rng = np.random.default_rng(seeds)
    for world in (simulate_top1(rng, num_seeds=40), simulate_auc(rng, num_seeds=40), simulate_miou(rng, images=2_000)):
        found = measure_coverage(world, seeds, 400, rng, resamples=0)
        assert 91.8 <= found.ours <= 98.2, world.name
