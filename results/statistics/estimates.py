"""Uncertainty of what was measured on items (images, sequences) with one or more seeds.

Pure functions; docs/statistics.md tells the methods with their formulae. The model is that of two crossed random
factors: the outcome of item i with seed s is mean + seed + item + residual. A claim about a backbone has to cover
both, so the variance of a mean over S seeds has two parts:

- of the seeds: the sample variance of their estimates over S, known with S - 1 degrees of freedom;
- of the items: what resampling the items gives that is common to all seeds.

Why no percentile bootstrap over seeds x items: from 3 seeds it draws seeds whose variance is 2/3 of the right one, it
knows nothing of the degrees of freedom, and it does not see the bias of mIoU; docs/statistics.md has what it covers.
Here the items' part comes from leaving each item out in turn (of a mean: in closed form), the seeds' part is added, and
the tail is the mixture of the parts' Student tails, each weighted with its share of the variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, t

from results.statistics.segmentation_scores import Areas, pseudo_values, score

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

LEVEL = 0.95


class Sample(NamedTuple):
    """A metric of one backbone, measured with one or more seeds on the same items.

    Attributes:
        estimates: the metric by seed, (S,).
        values: what each item adds to it, by seed, (S, n), in the metric's unit; the mean over the items is the
            estimate, or the estimate freed of its bias.
        deviations: by seed and item, (S, n); products of two seeds' rows are the covariance of their estimates when
            the items are others and the seeds are held.
    """

    estimates: Floats
    values: Floats
    deviations: Floats

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(self.estimates.mean())

    @property
    def seeds(self) -> int:
        """How many."""
        return len(self.estimates)


class Estimate(NamedTuple):
    """A value with its confidence interval, and the two-sided p-value of its being 0."""

    value: float
    low: float
    high: float
    p: float


class Parts(NamedTuple):
    """Parts of a variance and their degrees of freedom; arrays of one shape, the parts first."""

    variance: Floats
    freedom: Floats


def of_values(values: Floats, estimates: Floats | None = None) -> Sample:
    """A metric that is a mean over items.

    Args:
        values: by seed and item, (S, n); n is 2 or more.
        estimates: by seed, (S,), where the mean of the values is not the metric itself.

    >>> found = of_values(np.array([[0.0, 100.0, 100.0, 100.0]]))
    >>> (found.deviations @ found.deviations.T).round(2).tolist()  # the variance of the mean: 2500 / 4
    [[625.0]]
    """
    values = np.asarray(values, np.float64)
    count, means = values.shape[1], values.mean(1)
    deviations = (values - means[:, None]) / math.sqrt(count * (count - 1))
    return Sample(means if estimates is None else estimates, values, deviations)


def of_classes(values: Floats, labels: Whole) -> Sample:
    """A metric that is the mean over classes of the mean over a class's items; how many items a class has is held.

    Args:
        values: by seed and item, (S, n).
        labels: each item's class, (n,).

    >>> of_classes(np.array([[100.0, 100.0, 100.0, 0.0]]), np.array([0, 1, 1, 1])).estimates.round(3).tolist()
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
    return Sample(means.mean(1), values * weights * values.shape[1], deviations)


def of_areas(areas: Sequence[Areas], name: str) -> Sample:
    """A segmentation score, from the areas of every image by seed."""
    values = np.stack([pseudo_values(each, name) for each in areas])
    return of_values(values, np.array([score(each, name) for each in areas]))


def interval(sample: Sample, level: float = LEVEL) -> Estimate:
    """The mean over the seeds; of one seed the claim is conditional on it: items only.

    One run's share of right items gets Wilson's interval, which holds near 0 and 100 %, too.

    >>> found = interval(of_values(np.array([[1.0, 2.0, 3.0]])))
    >>> found.low.__round__(4), found.high.__round__(4)
    (-0.4841, 4.4841)
    """
    found = _estimate(sample.mean, float(sample.values.mean()), parts_of([sample]), level)
    if is_share(sample):
        right = round(float(sample.values.sum()) / 100)
        wilson = binomtest(right, sample.values.size).proportion_ci(level, method="wilson")
        found = found._replace(low=100 * float(wilson.low), high=100 * float(wilson.high))
    return found


def is_share(sample: Sample) -> bool:
    """Whether it is one run's share of items that are right (100) and not wrong (0)."""
    return sample.seeds == 1 and bool(np.isin(sample.values, (0.0, 100.0)).all())


def difference(first: Sample, second: Sample, level: float = LEVEL) -> Estimate:
    """First less second, items paired and seeds not; where either has one seed, conditional on the seeds: items only.

    The p-value is the one that fits the interval.
    """
    centre = float(first.values.mean() - second.values.mean())
    return _estimate(first.mean - second.mean, centre, parts_of([first, second]), level)


def parts_of(samples: Sequence[Sample]) -> Parts:
    """Parts of the variance of one sample's mean, or of the difference of two: the seeds' (of both), and the items'."""
    deviations = samples[0].deviations.mean(0)
    if len(samples) == 2:
        deviations = deviations - samples[1].deviations.mean(0)
    shared, items = float(deviations @ deviations), float(freedom(deviations))
    if any(sample.seeds == 1 for sample in samples):
        return Parts(np.array([shared]), np.array([items]))
    shared = max(shared - sum(residual(sample) for sample in samples), 0.0)
    variances = np.array([*map(of_seeds, samples)])
    seeds = welch(variances, np.array([sample.seeds - 1.0 for sample in samples]))
    return Parts(np.array([variances.sum(), shared]), np.array([float(seeds), items]))


def welch(variances: Floats, free: Floats) -> Floats:
    """Degrees of freedom of a sum of variances, the summands first (Welch 1947, Satterthwaite 1946).

    >>> float(welch(np.array([1.0, 1.0]), np.array([2.0, 2.0])))
    4.0
    """
    total = variances.sum(0)
    below = (variances**2 / free).sum(0)
    return np.asarray(np.divide(total**2, below, out=np.array(free.sum(0)), where=below > 0))


def of_seeds(sample: Sample) -> float:
    """The seeds' part of the variance of the mean over two or more seeds; it holds that of the residual."""
    return float(np.var(sample.estimates, ddof=1)) / sample.seeds


def residual(sample: Sample) -> float:
    """The part of that variance that is of single items with single seeds, which no two of the seeds share."""
    own = float((sample.deviations**2).sum()) / sample.seeds
    middle = sample.deviations.mean(0)
    shared = (float(middle @ middle) * sample.seeds - own) / (sample.seeds - 1)
    return (own - shared) / sample.seeds


def freedom(deviations: Floats) -> Floats:
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


def tail(ratio: Floats, parts: Parts) -> Floats:
    """Two-sided tail beyond ``ratio`` standard errors: Student's by part, weighted with the part's share.

    Of one part it is Student's t; of several it lies between theirs. Where there is no variance: 0 beyond 0, else 1.
    """
    total = parts.variance.sum(0)
    shares = np.divide(parts.variance, total, out=np.zeros_like(parts.variance), where=total > 0)
    found = (shares * 2 * t.sf(ratio, parts.freedom)).sum(0)
    return np.where(total > 0, found, np.where(np.asarray(ratio) > 0, 0.0, 1.0))


def reach(parts: Parts, level: float = LEVEL) -> float:
    """Half the width of the interval in standard errors: where ``tail`` is 1 - level."""
    quantiles = t.ppf(0.5 + level / 2, parts.freedom)
    low, high = float(quantiles.min()), float(quantiles.max())
    for _ in range(50):  # bisection: the answer lies between the quantiles of the parts
        middle = (low + high) / 2
        low, high = (middle, high) if float(tail(np.array(middle), parts)) > 1 - level else (low, middle)
    return high


def _estimate(value: float, centre: float, parts: Parts, level: float) -> Estimate:
    error = math.sqrt(float(parts.variance.sum()))
    half = reach(parts, level) * error if error > 0 else 0.0
    ratio = abs(centre) / error if error > 0 else abs(centre)
    return Estimate(value, centre - half, centre + half, float(tail(np.array(ratio), parts)))
