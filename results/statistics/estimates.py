"""Confidence intervals and p-values of metrics measured on items (images, sequences) with one or more seeds.

All functions are pure. ``docs/explanation/statistics.md`` has the formulas. The model has two crossed random factors:
the outcome of item i with seed s is mean + seed effect + item effect + residual. A claim about a backbone has to hold
for other seeds and other items, so the variance of a mean over S seeds has two components:

- seeds: the sample variance of the S estimates, divided by S. It has S - 1 degrees of freedom.
- items: the covariance between the estimates of two seeds when the items are resampled, that is, the part of the
  variation between items that all seeds share.

The items' component is computed by leaving each item out in turn (in closed form for a mean) and the seeds' component
is added to it. The p-value is a mixture of the Student tails of the components, see ``student_mixture``.

Near 100 % of right items, the few wrong ones say little about the spread, and without a wrong one there is none. So
pseudo-items are added to right-or-wrong items, as Agresti does for proportions, and to any items without spread.

Why not a percentile bootstrap over seeds x items? With 3 seeds, it resamples seeds whose variance is 2/3 of the right
one, it does not account for the degrees of freedom, and it does not correct the bias of mIoU.
``docs/explanation/statistics.md`` has the measured coverage of both methods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from foundation.array_types import FloatArray, IntArray
from results.records.record import CONFIDENCE_LEVEL
from results.statistics.intervals import wilson_interval
from results.statistics.rounding import ROUNDING_TOLERANCE
from results.statistics.segmentation_scores import AreaArray, compute_area_metric, jackknife_pseudo_values
from results.statistics.student_mixture import (
    VarianceComponents,
    compute_half_width,
    compute_tail_probability,
    estimate_degrees_of_freedom,
    welch_degrees_of_freedom,
)

PSEUDO_ITEMS = 2.0
"""Number of pseudo-items at each end of the scale for one sample: "add two successes and two failures" (Agresti and
Coull 1998)."""

PAIRED_PSEUDO_ITEMS = 0.5
"""Number of pseudo-items at each end for a paired difference: half an item that only the first has right, and half of
one that only the second has right (Agresti and Min 2005)."""


class MetricSample(NamedTuple):
    """A metric of one backbone, measured with one or more seeds on the same items.

    Attributes:
        seed_estimates: the metric of each seed, (S,).
        item_values: the contribution of each item to the metric, by seed, (S, n), in the metric's unit. The mean over
            the items is the estimate, or the estimate without its bias.
        scaled_deviations: scaled so that the dot product of the rows of two seeds is the covariance of their estimates
            when the items are resampled and the seeds are fixed, (S, n).
        num_items: number of items of equal weight that determine the mean as well as these do.
        is_right_or_wrong: whether every single outcome was 0 for wrong or 100 for right. The item values may be
            averages over draws, or weighted by class.
        in_percent: whether outcomes lie between 0 and 100; otherwise the scale has no known ends.
    """

    seed_estimates: FloatArray
    item_values: FloatArray
    scaled_deviations: FloatArray
    num_items: float
    is_right_or_wrong: bool = False
    in_percent: bool = True

    @property
    def mean(self) -> float:
        """Return the mean of the metric over the seeds."""
        return float(self.seed_estimates.mean())

    @property
    def num_seeds(self) -> int:
        """Return the number of seeds."""
        return len(self.seed_estimates)


class IntervalEstimate(NamedTuple):
    """A value with its confidence interval and the two-sided p-value of the hypothesis that the true value is 0."""

    value: float
    low: float
    high: float
    p_value: float


def sample_from_values(values: FloatArray, estimates: FloatArray | None = None) -> MetricSample:
    """Build the sample of a metric that is a mean over items.

    Args:
        values: value of each item, by seed, (S, n); n is 2 or more.
        estimates: the metric of each seed, (S,), if it is not the mean of the values.

    >>> found = sample_from_values(np.array([[0.0, 100.0, 100.0, 100.0]]))
    >>> (found.scaled_deviations @ found.scaled_deviations.T).round(2).tolist()  # the variance of the mean: 2500 / 4
    [[625.0]]
    """
    values = np.asarray(values, np.float64)
    # C_ss' = 1 / (n (n - 1)) * sum_i (x_si - mean_s) (x_s'i - mean_s'): each factor takes the root of the scale
    count, means = values.shape[1], values.mean(1)
    deviations = (values - means[:, None]) / math.sqrt(count * (count - 1))
    if estimates is not None:
        return MetricSample(estimates, values, deviations, float(count))
    return MetricSample(means, values, deviations, float(count), are_right_or_wrong(values))


def sample_from_classes(values: FloatArray, labels: IntArray) -> MetricSample:
    """Build the sample of a metric that is the mean over the classes of the mean within each class.

    The variance is taken within the classes, so the number of items of each class is regarded as fixed.

    Args:
        values: value of each item, by seed, (S, n).
        labels: class of each item, (n,).

    >>> found = sample_from_classes(np.array([[100.0, 100.0, 100.0, 0.0]]), np.array([0, 1, 1, 1]))
    >>> found.seed_estimates.round(3).tolist()
    [83.333]
    """
    values = np.asarray(values, np.float64)
    _, member, counts = np.unique(labels, return_inverse=True, return_counts=True)
    size = counts[member].astype(np.float64)
    # item i of class c has the weight 1 / (K n_c), with K classes and n_c items in the class
    weights = 1 / (len(counts) * size)
    means = np.stack([np.bincount(member, each, len(counts)) for each in values]) / counts
    centre, alone = means[:, member], size == 1
    # a class with one item has no spread of its own: use the spread of all items around their mean
    centre[:, alone] = values.mean(1, keepdims=True)
    # n_c / (n_c - 1) makes the variance within a class unbiased; summed over its items, the squares of these are
    # the variance of the class mean, sum (x - mean_c)^2 / (n_c (n_c - 1)), divided by K^2
    deviations = weights * (values - centre) * np.sqrt(size / np.where(alone, 1.0, size - 1))
    # a mean with weights w that sum to 1 has the precision of 1 / sum w^2 items (Kish 1965)
    num_items = float(1 / (weights**2).sum())
    # times n, so that the plain mean of the item values is the weighted mean that the metric is
    weighted = values * weights * values.shape[1]
    return MetricSample(means.mean(1), weighted, deviations, num_items, are_right_or_wrong(values))


def sample_from_areas(areas: Sequence[AreaArray], metric: str) -> MetricSample:
    """Build the sample of a segmentation score.

    Args:
        areas: for each seed the pixel counts of every image, (n, 3, classes).
        metric: a name in ``segmentation_scores.AREA_METRICS``.
    """
    values = np.stack([jackknife_pseudo_values(each, metric) for each in areas])
    return sample_from_values(values, np.array([compute_area_metric(each, metric) for each in areas]))


def are_right_or_wrong(values: FloatArray) -> bool:
    """Return whether all values are 0 for wrong or 100 for right."""
    return bool(((values == 0) | (values == 100)).all())


def compute_interval(sample: MetricSample, confidence_level: float = CONFIDENCE_LEVEL) -> IntervalEstimate:
    """Return the mean over the seeds with its confidence interval.

    With one seed, the interval is conditional on that seed and covers the items only. The proportion of correct items
    of a single run gets Wilson's interval, which is also valid near 0 and 100 %.

    >>> found = compute_interval(sample_from_values(np.array([[1.0, 2.0, 3.0]])))
    >>> found.low.__round__(4), found.high.__round__(4)
    (-0.4841, 4.4841)
    """
    center, scale = float(sample.item_values.mean()), _find_scale([sample])
    # without known ends of the scale, the pseudo-items lie as far from the value as the value from 0
    ends = (0.0, scale) if sample.in_percent else (center - scale, center + scale)
    found = _add_pseudo_items(
        DifferenceEstimates(np.array(sample.mean), np.array(center), estimate_variance_components([sample])),
        *(sample.num_items, sample.is_right_or_wrong, ends, PSEUDO_ITEMS),
    )
    estimate = _build_estimate(found, confidence_level)
    if is_proportion(sample):
        wilson = wilson_interval(*count_right_items(sample), resampling_unit="items", level=confidence_level)
        estimate = estimate._replace(low=wilson.low, high=wilson.high)
    return estimate


def is_proportion(sample: MetricSample) -> bool:
    """Return whether the sample is the proportion of correct items of a single run: every item value is 0 or 100."""
    return sample.is_right_or_wrong and sample.num_seeds == 1 and are_right_or_wrong(sample.item_values)


def count_right_items(sample: MetricSample) -> tuple[int, int]:
    """Return the number of correct items and of all items, for a sample for which ``is_proportion`` is true."""
    # item values are 0 or 100, so their sum divided by 100 is the number of correct items
    return round(float(sample.item_values.sum()) / 100), sample.item_values.size


def compute_difference(
    first: MetricSample, second: MetricSample, confidence_level: float = CONFIDENCE_LEVEL
) -> IntervalEstimate:
    """Return the first mean minus the second one, with its confidence interval and p-value.

    Items are paired, seeds are not. If either sample has one seed, the result is conditional on the seeds and covers
    the items only. The p-value agrees with the interval: it is below 0.05 exactly if the 95 % interval excludes 0.
    """
    found = estimate_differences(stack_samples([first, second]), 0, slice(1, None))
    # a single pair
    components = VarianceComponents(*(each[:, 0] for each in found.components))
    return _build_estimate(DifferenceEstimates(found.values[0], found.centers[0], components), confidence_level)


class StackedSamples(NamedTuple):
    """What the differences between R samples on the same items are computed from.

    Attributes:
        values: mean of the metric over the seeds, (R,).
        centers: mean of the item values, which for mIoU is corrected for bias, (R,).
        deviations: scaled deviations averaged over the seeds, (R, n).
        seed_variances: the seeds' component of the variance of each value, which includes the residual, (R,).
        residual_variances: the residual's component, (R,). Both are 0 if any sample has one seed.
        seed_degrees: degrees of freedom of the seeds' component, (R,).
        num_items: number of items of equal weight that determine a mean as well as these do.
        are_right_or_wrong: whether the outcomes of all samples are right or wrong.
        scale: distance between the worst and the best outcome of an item.
    """

    values: FloatArray
    centers: FloatArray
    deviations: FloatArray
    seed_variances: FloatArray
    residual_variances: FloatArray
    seed_degrees: FloatArray
    num_items: float
    are_right_or_wrong: bool
    scale: float


class DifferenceEstimates(NamedTuple):
    """Estimates of P quantities: what is reported, the middle of the interval, and the components of the variance."""

    values: FloatArray
    centers: FloatArray
    components: VarianceComponents


def stack_samples(samples: Sequence[MetricSample]) -> StackedSamples:
    """Stack two or more samples on the same items, so that many differences are computed at once."""
    covers_seeds = all(sample.num_seeds > 1 for sample in samples)
    return StackedSamples(
        np.array([sample.mean for sample in samples]),
        np.array([sample.item_values.mean() for sample in samples]),
        np.stack([sample.scaled_deviations.mean(0) for sample in samples]),
        np.array([compute_seed_variance(sample) if covers_seeds else 0.0 for sample in samples]),
        np.array([compute_residual_variance(sample) if covers_seeds else 0.0 for sample in samples]),
        np.array([max(sample.num_seeds - 1.0, 1.0) for sample in samples]),
        min(sample.num_items for sample in samples),
        all(sample.is_right_or_wrong for sample in samples),
        _find_scale(samples),
    )


def estimate_differences(stacked: StackedSamples, row: int, others: slice) -> DifferenceEstimates:
    """Estimate the sample ``row`` minus each of the ``others``, (P,)."""
    variances = np.stack(np.broadcast_arrays(stacked.seed_variances[row], stacked.seed_variances[others]))
    degrees = np.stack(np.broadcast_arrays(stacked.seed_degrees[row], stacked.seed_degrees[others]))
    # subtract before squaring: this pairs the items, so an item that is hard for both backbones cancels out
    deviations = stacked.deviations[row] - stacked.deviations[others]
    residual = stacked.residual_variances[row] + stacked.residual_variances[others]
    found = DifferenceEstimates(
        stacked.values[row] - stacked.values[others],
        stacked.centers[row] - stacked.centers[others],
        _combine_components(deviations, residual, variances, degrees),
    )
    ends = (-stacked.scale, stacked.scale)
    return _add_pseudo_items(found, stacked.num_items, stacked.are_right_or_wrong, ends, PAIRED_PSEUDO_ITEMS)


def compute_p_values(estimates: DifferenceEstimates) -> FloatArray:
    """Return the two-sided p-values of the hypotheses that the true values are 0, (P,).

    Where the value and its bias-corrected center lie on two sides of 0, or the value is 0, not even the sign is known,
    and the p-value is 1.
    """
    error = np.sqrt(estimates.components.variances.sum(0))
    ratio = np.divide(np.abs(estimates.centers), error, out=np.zeros_like(error), where=error > 0)
    found = compute_tail_probability(ratio, estimates.components)
    return np.where(estimates.values * estimates.centers > 0, found, 1.0)


def estimate_variance_components(samples: Sequence[MetricSample]) -> VarianceComponents:
    """Return the components of the variance of one sample's mean, without pseudo-items: seeds, then items.

    The seeds' component is 0 with one seed.
    """
    (sample,) = samples
    several = sample.num_seeds > 1
    return _combine_components(
        sample.scaled_deviations.mean(0),
        np.array(compute_residual_variance(sample) if several else 0.0),
        np.array([compute_seed_variance(sample) if several else 0.0]),
        np.array([max(sample.num_seeds - 1.0, 1.0)]),
    )


def _combine_components(
    deviations: FloatArray, residual_variances: FloatArray, seed_variances: FloatArray, seed_degrees: FloatArray
) -> VarianceComponents:
    """Return the seeds' and the items' component of P variances, (2, P).

    Args:
        deviations: scaled deviations averaged over the seeds, (P, n).
        residual_variances: what these contain of the residual, (P,).
        seed_variances: the seeds' components of the samples, (samples, P).
        seed_degrees: their degrees of freedom, (samples, P).
    """
    # |mean_s d_s|^2 = 1 / S^2 * sum_ss' C_ss' also has the diagonal C_ss, which includes the residual. The seeds'
    # component already covers the residual, so it is subtracted here; what remains is the mean of C_ss' over s != s'.
    # The estimate may come out negative where the true value is near 0.
    shared = np.maximum((deviations**2).sum(-1) - residual_variances, 0.0)
    free = welch_degrees_of_freedom(seed_variances, seed_degrees)
    # Of a pair with 2 and 10 seeds, Welch's formula takes nearly the degrees of freedom of the ten whenever the two
    # seeds lie close together by chance, and then rejects 9 % at a level of 5 %. With equal numbers the limit does
    # nothing.
    free = np.minimum(free, len(seed_degrees) * seed_degrees.min(0))
    return VarianceComponents(
        np.stack([seed_variances.sum(0), shared]), np.stack([free, estimate_degrees_of_freedom(deviations)])
    )


def compute_seed_variance(sample: MetricSample) -> float:
    """Return the seeds' component of the variance of the mean over two or more seeds; it includes the residual."""
    return float(np.var(sample.seed_estimates, ddof=1)) / sample.num_seeds


def compute_residual_variance(sample: MetricSample) -> float:
    """Return the residual's component of the variance of the mean over two or more seeds.

    The residual is the variation of single items with single seeds, which no two seeds share.
    """
    # own = mean_s C_ss and shared = mean_(s != s') C_ss'. With |middle|^2 = 1 / S^2 * (S own + S (S - 1) shared),
    # shared = (S |middle|^2 - own) / (S - 1).
    own = float((sample.scaled_deviations**2).sum()) / sample.num_seeds
    middle = sample.scaled_deviations.mean(0)
    shared = (float(middle @ middle) * sample.num_seeds - own) / (sample.num_seeds - 1)
    return (own - shared) / sample.num_seeds


def _find_scale(samples: Sequence[MetricSample]) -> float:
    """Return the distance between the worst and the best outcome: 100 for percent, otherwise the largest item value."""
    if all(sample.in_percent for sample in samples):
        return 100.0
    return max(float(np.abs(sample.item_values).max()) for sample in samples)


def _add_pseudo_items(
    estimates: DifferenceEstimates, num_items: float, right_or_wrong: bool, ends: tuple[float, float], count: float
) -> DifferenceEstimates:
    """Add pseudo-items to right-or-wrong items, and to items without any spread; other estimates stay as they are.

    The pseudo-items have the same outcome with every seed. For one sample whose seeds agree this is the interval of
    Agresti and Coull (1998), and for a difference that of Agresti and Min (2005), with Student's t.

    Args:
        estimates: P estimates.
        num_items: number of items, n.
        right_or_wrong: whether the items are right or wrong.
        ends: outcome of the pseudo-items at either end of the scale.
        count: number of pseudo-items at each end, k.
    """
    low, high = ends
    seeds, items = estimates.components.variances
    # rounding leaves a spread of 1e-15 among pseudo-values that are equal
    none = np.sqrt(seeds + items) <= ROUNDING_TOLERANCE * max(1.0, abs(low), abs(high))
    use = np.full_like(none, right_or_wrong) | none
    total = num_items + 2 * count
    ratio = num_items / total
    centers = (num_items * estimates.centers + count * (low + high)) / total
    # The variance of the mean over N = n + 2 k items is their sum of squares divided by N^2. The n items have the sum
    # n (n - 1) Var around their own mean, and n (center - new center)^2 for its distance from the new one.
    squares = num_items * (num_items - 1) * items + num_items * (estimates.centers - centers) ** 2
    squares = squares + count * ((low - centers) ** 2 + (high - centers) ** 2)
    added = np.stack([seeds * ratio**2, squares / total**2])
    free = estimates.components.degrees_of_freedom
    # the pseudo-items make up for the skewness, so the degrees of freedom need no correction by the kurtosis
    of_count = np.stack([free[0], np.full_like(free[1], max(num_items - 1, 1.0))])
    components = VarianceComponents(np.where(use, added, estimates.components.variances), np.where(use, of_count, free))
    return DifferenceEstimates(estimates.values, np.where(use, centers, estimates.centers), components)


def _build_estimate(estimates: DifferenceEstimates, confidence_level: float) -> IntervalEstimate:
    """Build one estimate. Its interval lies around the center and reaches at least to the value that is reported."""
    value, center = float(estimates.values), float(estimates.centers)
    error = math.sqrt(float(estimates.components.variances.sum()))
    half = compute_half_width(estimates.components, confidence_level) * error if error > 0 else 0.0
    # The center may be corrected for a bias that is larger than the interval, as for mIoU of a very bad run. Nobody can
    # read an interval beside its own value, and both are estimates of the same number.
    low, high = min(center - half, value), max(center + half, value)
    return IntervalEstimate(value, low, high, float(compute_p_values(estimates)))
