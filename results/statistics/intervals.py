"""Confidence intervals of a single run's metrics, over its items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from scipy.stats import binomtest, t

from results.records.record import Interval


def wilson_percent(successes: int, n: int, *, over: str, level: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion, in percent.

    Args:
        successes: items that were right.
        n: items in all, at least 1.
        over: what the items are, for example "images".
        level: confidence level.

    >>> wilson_percent(97, 100, over="images").low.__round__(2)
    91.55
    """
    found = binomtest(successes, n).proportion_ci(confidence_level=level, method="wilson")
    return Interval(low=100 * float(found.low), high=100 * float(found.high), level=level, method="wilson", over=over)


def student_t(values: Sequence[float], *, over: str, level: float = 0.95) -> Interval:
    """Student's t interval of the mean of independent values, in their unit.

    Args:
        values: two or more.
        over: what they are, for example "draws".
        level: confidence level.

    >>> found = student_t([1.0, 2.0, 3.0], over="draws")
    >>> found.low.__round__(4), found.high.__round__(4), found.method
    (-0.4841, 4.4841, "Student's t, n = 3")
    """
    count = len(values)
    reach = float(t.ppf(0.5 + level / 2, count - 1)) * stdev(values) / math.sqrt(count)
    middle = fmean(values)
    return Interval(low=middle - reach, high=middle + reach, level=level, method=f"Student's t, n = {count}", over=over)
