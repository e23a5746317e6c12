"""Confidence intervals and p-values of metrics measured on items (images, sequences) with one or more seeds.

All functions are pure. ``docs/explanation/statistics.md`` has the formulas. The model has two crossed random factors:
the outcome of item i with seed s is mean + seed effect + item effect + residual. A claim about a backbone has to hold
for other seeds and other items, so the variance of a mean over S seeds has two components:

- seeds: the sample variance of the S estimates, divided by S. It has S - 1 degrees of freedom.
- items: the covariance between the estimates of two seeds when the items are resampled, that is, the part of the
  variation between items that all seeds share.

The items' component is computed by leaving each item out in turn (in closed form for a mean) and the seeds' component
is added to it. The p-value is a mixture of the Student tails of the components, each weighted with the component's
fraction of the variance.

Why not a percentile bootstrap over seeds x items? With 3 seeds, it resamples seeds whose variance is 2/3 of the right
one, it does not account for the degrees of freedom, and it does not correct the bias of mIoU.
``docs/explanation/statistics.md`` has the measured coverage of both methods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t

from foundation.array_types import FloatArray, IntArray
from results.records.record import CONFIDENCE_LEVEL
from results.statistics.intervals import wilson_interval
from results.statistics.segmentation_scores import AreaArray, compute_area_metric, jackknife_pseudo_values


class MetricSample(NamedTuple):
    """A metric of one backbone, measured with one or more seeds on the same items.

    Attributes:
        seed_estimates: the metric of each seed, (S,).
        item_values: the contribution of each item to the metric, by seed, (S, n), in the metric's unit. The mean over
            the items is the estimate, or the estimate without its bias.
        scaled_deviations: scaled so that the dot product of the rows of two seeds is the covariance of their estimates
            when the items are resampled and the seeds are fixed, (S, n).
        may_be_proportion: whether item values of 0 and 100 mean wrong and correct, so that their mean is a proportion.
    """

    seed_estimates: FloatArray
    item_values: FloatArray
    scaled_deviations: FloatArray
    may_be_proportion: bool = True

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


class VarianceComponents(NamedTuple):
    """The components of a variance and their degrees of freedom: two arrays (components, ...) of the same shape."""

    variances: FloatArray
    degrees_of_freedom: FloatArray


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
    return MetricSample(means if estimates is None else estimates, values, deviations)


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
    # times n, so that the plain mean of the item values is the weighted mean that the metric is
    return MetricSample(means.mean(1), values * weights * values.shape[1], deviations)


def sample_from_areas(areas: Sequence[AreaArray], metric: str) -> MetricSample:
    """Build the sample of a segmentation score.

    Args:
        areas: for each seed the pixel counts of every image, (n, 3, classes).
        metric: a name in ``segmentation_scores.AREA_METRICS``.
    """
    values = np.stack([jackknife_pseudo_values(each, metric) for each in areas])
    return sample_from_values(values, np.array([compute_area_metric(each, metric) for each in areas]))


def compute_interval(sample: MetricSample, confidence_level: float = CONFIDENCE_LEVEL) -> IntervalEstimate:
    """Return the mean over the seeds with its confidence interval.

    With one seed, the interval is conditional on that seed and covers the items only. The proportion of correct items
    of a single run gets Wilson's interval, which is also valid near 0 and 100 %.

    >>> found = compute_interval(sample_from_values(np.array([[1.0, 2.0, 3.0]])))
    >>> found.low.__round__(4), found.high.__round__(4)
    (-0.4841, 4.4841)
    """
    found = _build_estimate(
        sample.mean, float(sample.item_values.mean()), estimate_variance_components([sample]), confidence_level
    )
    if is_proportion(sample):
        wilson = wilson_interval(*count_right_items(sample), resampling_unit="items", level=confidence_level)
        found = found._replace(low=wilson.low, high=wilson.high)
    return found


def is_proportion(sample: MetricSample) -> bool:
    """Return whether the sample is the proportion of correct items of a single run: every item value is 0 or 100."""
    alone = sample.may_be_proportion and sample.num_seeds == 1
    return alone and bool(np.isin(sample.item_values, (0.0, 100.0)).all())


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
    # the interval is centered on the difference of the item means, which for mIoU are corrected for bias
    centre = float(first.item_values.mean() - second.item_values.mean())
    return _build_estimate(
        first.mean - second.mean, centre, estimate_variance_components([first, second]), confidence_level
    )


def estimate_variance_components(samples: Sequence[MetricSample]) -> VarianceComponents:
    """Return the components of the variance of one sample's mean, or of the difference of two samples' means.

    Args:
        samples: one or two samples.

    Returns:
        The seeds' component (of both samples together) and the items' component, in this order; only the items'
        component if a sample has one seed.
    """
    deviations = samples[0].scaled_deviations.mean(0)
    # subtract before squaring: this pairs the items, so an item that is hard for both backbones cancels out
    if len(samples) == 2:
        deviations = deviations - samples[1].scaled_deviations.mean(0)
    shared, items = float(deviations @ deviations), float(estimate_degrees_of_freedom(deviations))
    if any(sample.num_seeds == 1 for sample in samples):
        return VarianceComponents(np.array([shared]), np.array([items]))
    # |mean_s d_s|^2 = 1 / S^2 * sum_ss' C_ss' also has the diagonal C_ss, which includes the residual. The seeds'
    # component already covers the residual, so it is subtracted here; what remains is the mean of C_ss' over s != s'.
    # The estimate may come out negative where the true value is near 0.
    shared = max(shared - sum(compute_residual_variance(sample) for sample in samples), 0.0)
    variances = np.array([*map(compute_seed_variance, samples)])
    seeds = welch_degrees_of_freedom(variances, np.array([sample.num_seeds - 1.0 for sample in samples]))
    return VarianceComponents(np.array([variances.sum(), shared]), np.array([float(seeds), items]))


def welch_degrees_of_freedom(variances: FloatArray, degrees_of_freedom: FloatArray) -> FloatArray:
    """Return the degrees of freedom of a sum of variances (Satterthwaite 1946, Welch 1947).

    Args:
        variances: the summands, (summands, ...).
        degrees_of_freedom: of each summand, in the same shape.

    >>> float(welch_degrees_of_freedom(np.array([1.0, 1.0]), np.array([2.0, 2.0])))
    4.0
    """
    # nu = (sum v_k)^2 / sum (v_k^2 / nu_k); if all variances are 0, any value serves, here the sum of the nu_k
    total = variances.sum(0)
    below = (variances**2 / degrees_of_freedom).sum(0)
    return np.asarray(np.divide(total**2, below, out=np.array(degrees_of_freedom.sum(0)), where=below > 0))


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


def estimate_degrees_of_freedom(deviations: FloatArray) -> FloatArray:
    """Return the degrees of freedom of a sum of squared deviations: 2 n / (kurtosis - 1), at least 1, at most n - 1.

    If a few items, such as those of rare classes, dominate the variance, it is known less precisely than n suggests.
    For a normal distribution, whose kurtosis is 3, the formula gives n.

    Args:
        deviations: deviations from the mean, (..., n).

    Returns:
        Degrees of freedom, (...).
    """
    count = deviations.shape[-1]
    square = deviations**2
    total = square.sum(-1)
    # kurtosis - 1 = n * sum d^4 / (sum d^2)^2 - 1; it is 0 if all deviations have the same size, then n - 1 is taken
    excess = count * (square**2).sum(-1) / np.where(total > 0, total, 1.0) ** 2 - 1
    free = np.divide(2.0 * count, excess, out=np.full(np.shape(total), count - 1.0), where=excess > 1e-9)
    return np.asarray(np.clip(free, 1.0, count - 1.0))


def compute_tail_probability(standard_errors: FloatArray, components: VarianceComponents) -> FloatArray:
    """Return the two-sided probability of a deviation of at least so many standard errors.

    It is the sum of the Student tails of the components, each weighted with the component's fraction of the variance.
    With one component it is Student's t; with several it lies between their tails. Without any variance it is 0 for a
    positive deviation and 1 for none.

    Args:
        standard_errors: size of the deviation in standard errors, (...).
        components: the variance components, (components, ...).
    """
    total = components.variances.sum(0)
    shares = np.divide(components.variances, total, out=np.zeros_like(components.variances), where=total > 0)
    found = (shares * 2 * t.sf(standard_errors, components.degrees_of_freedom)).sum(0)
    return np.where(total > 0, found, np.where(np.asarray(standard_errors) > 0, 0.0, 1.0))


def compute_half_width(components: VarianceComponents, confidence_level: float = CONFIDENCE_LEVEL) -> float:
    """Return half the width of the interval in standard errors: where the tail probability equals 1 - level."""
    quantiles = t.ppf(0.5 + confidence_level / 2, components.degrees_of_freedom)
    low, high = float(quantiles.min()), float(quantiles.max())
    # Bisection: the tail of the mixture falls monotonically, and its quantile lies between those of the components.
    # 50 halvings reach the precision of a double.
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if float(compute_tail_probability(np.array(middle), components)) > 1 - confidence_level
            else (low, middle)
        )
    return high


def _build_estimate(
    value: float, center: float, components: VarianceComponents, confidence_level: float
) -> IntervalEstimate:
    """Build the estimate of ``value`` from the interval around ``center``, which may be corrected for bias."""
    error = math.sqrt(float(components.variances.sum()))
    half = compute_half_width(components, confidence_level) * error if error > 0 else 0.0
    ratio = abs(center) / error if error > 0 else abs(center)
    return IntervalEstimate(
        value, center - half, center + half, float(compute_tail_probability(np.array(ratio), components))
    )
