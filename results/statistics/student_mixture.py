"""Student's distribution for a variance that has several components, each with its own degrees of freedom.

The p-value is a mixture of the Student tails of the components, each weighted with the component's fraction of the
variance. ``docs/explanation/statistics.md`` says why the usual single number of degrees of freedom is not used.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from foundation.array_types import FloatArray
from results.records.record import CONFIDENCE_LEVEL

SMALLEST_P_VALUE = 1e-300
"""A p-value below the range of a double would be 0, which claims certainty; it is given as this number."""


class VarianceComponents(NamedTuple):
    """The components of a variance and their degrees of freedom: two arrays (components, ...) of the same shape."""

    variances: FloatArray
    degrees_of_freedom: FloatArray


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
    With one component it is Student's t; with several it lies between their tails. Without any variance nothing is
    known about the size of chance, so it is 1.

    Args:
        standard_errors: size of the deviation in standard errors, (...).
        components: the variance components, (components, ...).
    """
    total = components.variances.sum(0)
    shares = np.divide(components.variances, total, out=np.zeros_like(components.variances), where=total > 0)
    # P(t > T) = P(t < -T)
    found = (shares * 2 * stdtr(components.degrees_of_freedom, -np.asarray(standard_errors))).sum(0)
    return np.where(total > 0, np.maximum(found, SMALLEST_P_VALUE), 1.0)


def compute_half_width(components: VarianceComponents, confidence_level: float = CONFIDENCE_LEVEL) -> float:
    """Return half the width of the interval in standard errors: where the tail probability equals 1 - level.

    Args:
        components: the variance components, (components,); at least one is positive.
        confidence_level: 0 to 1.
    """
    quantiles = stdtrit(components.degrees_of_freedom, 0.5 + confidence_level / 2)[components.variances > 0]
    low, high = float(quantiles.min()), float(quantiles.max())
    # Bisection: the tail of the mixture falls monotonically, and its quantile lies between those of the components.
    # 50 halvings reach the precision of a double.
    for _ in range(50 if low < high else 0):
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if float(compute_tail_probability(np.array(middle), components)) > 1 - confidence_level
            else (low, middle)
        )
    return high
