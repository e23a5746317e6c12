"""Confidence intervals of a single run's metrics, over its items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from scipy.stats import binomtest, t

from results.records.record import CONFIDENCE_LEVEL, ConfidenceInterval


def wilson_interval(
    successes: int, total: int, *, resampling_unit: str, level: float = CONFIDENCE_LEVEL
) -> ConfidenceInterval:
    """Wilson's score interval of a proportion, in percent.

    Args:
        successes: items that were right.
        total: items in all, at least 1.
        resampling_unit: what the items are, for example "images".
        level: confidence level.

    >>> wilson_interval(97, 100, resampling_unit="images").low.__round__(2)
    91.55
    """
    found = binomtest(successes, total).proportion_ci(confidence_level=level, method="wilson")
    return ConfidenceInterval(
        low=100 * float(found.low),
        high=100 * float(found.high),
        level=level,
        method="wilson",
        resampling_unit=resampling_unit,
    )


def student_t_interval(
    values: Sequence[float], *, resampling_unit: str, level: float = CONFIDENCE_LEVEL
) -> ConfidenceInterval:
    """Student's t interval of the mean of independent values, in their unit.

    Args:
        values: two or more.
        resampling_unit: what they are, for example "draws".
        level: confidence level.

    >>> found = student_t_interval([1.0, 2.0, 3.0], resampling_unit="draws")
    >>> found.low.__round__(4), found.high.__round__(4), found.method
    (-0.4841, 4.4841, "Student's t, n = 3")
    """
    count = len(values)
    reach = float(t.ppf(0.5 + level / 2, count - 1)) * stdev(values) / math.sqrt(count)
    middle = fmean(values)
    return ConfidenceInterval(
        low=middle - reach,
        high=middle + reach,
        level=level,
        method=f"Student's t, n = {count}",
        resampling_unit=resampling_unit,
    )
