"""Uncertainty of what was measured on items (images, sequences) with one or more seeds.

Pure functions; docs/explanation/statistics.md tells the methods with their formulae. The model is that of two
crossed random factors: the outcome of item i with seed s is mean + seed + item + residual. A claim about a backbone has
to cover both, so the variance of a mean over S seeds has two parts:

- of the seeds: the sample variance of their estimates over S, known with S - 1 degrees of freedom;
- of the items: what resampling the items gives that is common to all seeds.

Why no percentile bootstrap over seeds x items: from 3 seeds it draws seeds whose variance is 2/3 of the right one, it
knows nothing of the degrees of freedom, and it does not see the bias of mIoU; docs/explanation/statistics.md has what
it covers. Here the items' part comes from leaving each item out in turn (of a mean: in closed form), the seeds' part
is added, and the tail is the mixture of the parts' Student tails, each weighted with its share of the variance.
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
        seed_estimates: the metric by seed, (S,).
        item_values: what each item adds to it, by seed, (S, n), in the metric's unit; the mean over the items is the
            estimate, or the estimate freed of its bias.
        scaled_deviations: by seed and item, (S, n); products of two seeds' rows are the covariance of their estimates
            when the items are others and the seeds are held.
        may_be_proportion: whether item values of 0 and 100 mean wrong and right, so that their mean is a share.
    """

    seed_estimates: FloatArray
    item_values: FloatArray
    scaled_deviations: FloatArray
    may_be_proportion: bool = True

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(self.seed_estimates.mean())

    @property
    def num_seeds(self) -> int:
        """How many."""
        return len(self.seed_estimates)


class IntervalEstimate(NamedTuple):
    """A value with its confidence interval, and the two-sided p-value of its being 0."""

    value: float
    low: float
    high: float
    p_value: float


class VarianceComponents(NamedTuple):
    """Parts of a variance and their degrees of freedom; arrays of one shape, the parts first."""

    variances: FloatArray
    degrees_of_freedom: FloatArray


def sample_from_values(values: FloatArray, estimates: FloatArray | None = None) -> MetricSample:
    """A metric that is a mean over items.

    Args:
        values: by seed and item, (S, n); n is 2 or more.
        estimates: by seed, (S,), where the mean of the values is not the metric itself.

    >>> found = sample_from_values(np.array([[0.0, 100.0, 100.0, 100.0]]))
    >>> (found.scaled_deviations @ found.scaled_deviations.T).round(2).tolist()  # the variance of the mean: 2500 / 4
    [[625.0]]
    """
    values = np.asarray(values, np.float64)
    count, means = values.shape[1], values.mean(1)
    deviations = (values - means[:, None]) / math.sqrt(count * (count - 1))
    return MetricSample(means if estimates is None else estimates, values, deviations)


def sample_from_classes(values: FloatArray, labels: IntArray) -> MetricSample:
    """A metric that is the mean over classes of the mean over a class's items; how many items a class has is held.

    Args:
        values: by seed and item, (S, n).
        labels: each item's class, (n,).

    >>> found = sample_from_classes(np.array([[100.0, 100.0, 100.0, 0.0]]), np.array([0, 1, 1, 1]))
    >>> found.seed_estimates.round(3).tolist()
    [83.333]
    """
    values = np.asarray(values, np.float64)
    _, member, counts = np.unique(labels, return_inverse=True, return_counts=True)
    size = counts[member].astype(np.float64)
    weights = 1 / (len(counts) * size)
    means = np.stack([np.bincount(member, each, len(counts)) for each in values]) / counts
    centre, alone = means[:, member], size == 1
    centre[:, alone] = values.mean(1, keepdims=True)  # the spread in a class of one is not known: that of all items
    deviations = weights * (values - centre) * np.sqrt(size / np.where(alone, 1.0, size - 1))
    return MetricSample(means.mean(1), values * weights * values.shape[1], deviations)


def sample_from_areas(areas: Sequence[AreaArray], metric: str) -> MetricSample:
    """A segmentation score, from the areas of every image by seed."""
    values = np.stack([jackknife_pseudo_values(each, metric) for each in areas])
    return sample_from_values(values, np.array([compute_area_metric(each, metric) for each in areas]))


def compute_interval(sample: MetricSample, confidence_level: float = CONFIDENCE_LEVEL) -> IntervalEstimate:
    """The mean over the seeds; of one seed the claim is conditional on it: items only.

    One run's share of right items gets Wilson's interval, which holds near 0 and 100 %, too.

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
    """Whether it is one run's share of items that are right (100) and not wrong (0)."""
    alone = sample.may_be_proportion and sample.num_seeds == 1
    return alone and bool(np.isin(sample.item_values, (0.0, 100.0)).all())


def count_right_items(sample: MetricSample) -> tuple[int, int]:
    """Of a sample that is a proportion: items that are right, and items in all."""
    return round(float(sample.item_values.sum()) / 100), sample.item_values.size


def compute_difference(
    first: MetricSample, second: MetricSample, confidence_level: float = CONFIDENCE_LEVEL
) -> IntervalEstimate:
    """First less second, items paired and seeds not; where either has one seed, conditional on the seeds: items only.

    The p-value is the one that fits the interval.
    """
    centre = float(first.item_values.mean() - second.item_values.mean())
    return _build_estimate(
        first.mean - second.mean, centre, estimate_variance_components([first, second]), confidence_level
    )


def estimate_variance_components(samples: Sequence[MetricSample]) -> VarianceComponents:
    """Parts of the variance of one sample's mean, or of the difference of two: the seeds' (of both), and the items'."""
    deviations = samples[0].scaled_deviations.mean(0)
    if len(samples) == 2:
        deviations = deviations - samples[1].scaled_deviations.mean(0)
    shared, items = float(deviations @ deviations), float(estimate_degrees_of_freedom(deviations))
    if any(sample.num_seeds == 1 for sample in samples):
        return VarianceComponents(np.array([shared]), np.array([items]))
    shared = max(shared - sum(compute_residual_variance(sample) for sample in samples), 0.0)
    variances = np.array([*map(compute_seed_variance, samples)])
    seeds = welch_degrees_of_freedom(variances, np.array([sample.num_seeds - 1.0 for sample in samples]))
    return VarianceComponents(np.array([variances.sum(), shared]), np.array([float(seeds), items]))


def welch_degrees_of_freedom(variances: FloatArray, degrees_of_freedom: FloatArray) -> FloatArray:
    """Degrees of freedom of a sum of variances, the summands first (Welch 1947, Satterthwaite 1946).

    >>> float(welch_degrees_of_freedom(np.array([1.0, 1.0]), np.array([2.0, 2.0])))
    4.0
    """
    total = variances.sum(0)
    below = (variances**2 / degrees_of_freedom).sum(0)
    return np.asarray(np.divide(total**2, below, out=np.array(degrees_of_freedom.sum(0)), where=below > 0))


def compute_seed_variance(sample: MetricSample) -> float:
    """The seeds' part of the variance of the mean over two or more seeds; it holds that of the residual."""
    return float(np.var(sample.seed_estimates, ddof=1)) / sample.num_seeds


def compute_residual_variance(sample: MetricSample) -> float:
    """The part of that variance that is of single items with single seeds, which no two of the seeds share."""
    own = float((sample.scaled_deviations**2).sum()) / sample.num_seeds
    middle = sample.scaled_deviations.mean(0)
    shared = (float(middle @ middle) * sample.num_seeds - own) / (sample.num_seeds - 1)
    return (own - shared) / sample.num_seeds


def estimate_degrees_of_freedom(deviations: FloatArray) -> FloatArray:
    """Degrees of freedom of the sum of squares of deviations (..., n): 2 n / (kurtosis - 1), at most n - 1.

    A variance that stands on few items (of rare classes) is not known as well as n says. For values of a normal
    distribution, kurtosis 3, this is n.
    """
    count = deviations.shape[-1]
    square = deviations**2
    total = square.sum(-1)
    excess = count * (square**2).sum(-1) / np.where(total > 0, total, 1.0) ** 2 - 1
    free = np.divide(2.0 * count, excess, out=np.full(np.shape(total), count - 1.0), where=excess > 1e-9)
    return np.asarray(np.clip(free, 1.0, count - 1.0))


def compute_tail_probability(standard_errors: FloatArray, components: VarianceComponents) -> FloatArray:
    """Two-sided tail beyond so many standard errors: Student's by part, weighted with the part's share.

    Of one part it is Student's t; of several it lies between theirs. Where there is no variance: 0 beyond 0, else 1.
    """
    total = components.variances.sum(0)
    shares = np.divide(components.variances, total, out=np.zeros_like(components.variances), where=total > 0)
    found = (shares * 2 * t.sf(standard_errors, components.degrees_of_freedom)).sum(0)
    return np.where(total > 0, found, np.where(np.asarray(standard_errors) > 0, 0.0, 1.0))


def compute_half_width(components: VarianceComponents, confidence_level: float = CONFIDENCE_LEVEL) -> float:
    """Half the width of the interval in standard errors: where ``compute_tail_probability`` is 1 - level."""
    quantiles = t.ppf(0.5 + confidence_level / 2, components.degrees_of_freedom)
    low, high = float(quantiles.min()), float(quantiles.max())
    for _ in range(50):  # bisection: the answer lies between the quantiles of the parts
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
    error = math.sqrt(float(components.variances.sum()))
    half = compute_half_width(components, confidence_level) * error if error > 0 else 0.0
    ratio = abs(center) / error if error > 0 else abs(center)
    return IntervalEstimate(
        value, center - half, center + half, float(compute_tail_probability(np.array(ratio), components))
    )
