"""Confidence intervals of a single run's metrics, over its items."""

from __future__ import annotations

from scipy.stats import binomtest

from results.record import Interval


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
