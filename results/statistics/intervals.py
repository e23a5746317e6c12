"""Confidence intervals of the metrics of a single run, over its items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean, stdev

from scipy.special import ndtri, stdtrit

from results.records.record import CONFIDENCE_LEVEL, ConfidenceInterval


def wilson_interval(
    successes: int, total: int, *, resampling_unit: str, level: float = CONFIDENCE_LEVEL
) -> ConfidenceInterval:
    """Return Wilson's score interval of a proportion, in percent.

    Unlike the normal approximation, it stays within 0 to 100 % and has a positive width at 0 and 100 %.

    Args:
        successes: number of items that were correct.
        total: number of all items, at least 1.
        resampling_unit: what the items are, for example "images".
        level: confidence level, 0 to 1.

    >>> wilson_interval(97, 100, resampling_unit="images").low.__round__(2)
    91.55
    """
    low, high = _compute_wilson_ends(successes, total, level)
    return ConfidenceInterval(
        low=100 * low, high=100 * high, level=level, method="wilson", resampling_unit=resampling_unit
    )


@lru_cache(maxsize=4096)  # many records of one test set have few different counts
def _compute_wilson_ends(successes: int, total: int, level: float) -> tuple[float, float]:
    # All p with |k / n - p| <= z sqrt(p (1 - p) / n), the roots of a quadratic in p (Wilson, JASA 22, 1927):
    # (2 k + z^2 -+ z sqrt(4 k (n - k) / n + z^2)) / (2 (n + z^2)). Written as scipy.stats.binomtest computes it, to the
    # last digit; importing scipy.stats takes longer than the rest of a leaderboard.
    share = successes / total
    far = float(ndtri(0.5 + level / 2))
    below = 2 * (total + far**2)
    middle = (2 * total * share + far**2) / below
    reach = far / below * math.sqrt(4 * total * share * (1 - share) + far**2)
    # at 0 and n one end is exact, which rounding would miss
    return (0.0 if successes == 0 else middle - reach, 1.0 if successes == total else middle + reach)


def student_t_interval(
    values: Sequence[float], *, resampling_unit: str, level: float = CONFIDENCE_LEVEL
) -> ConfidenceInterval:
    """Return Student's t interval of the mean of independent values, in the unit of the values.

    Args:
        values: two or more values.
        resampling_unit: what the values are, for example "draws".
        level: confidence level, 0 to 1.

    >>> found = student_t_interval([1.0, 2.0, 3.0], resampling_unit="draws")
    >>> found.low.__round__(4), found.high.__round__(4), found.method
    (-0.4841, 4.4841, "Student's t, n = 3")
    """
    count = len(values)
    # mean +- t_(1 - alpha / 2, n - 1) * s / sqrt(n), with alpha = 1 - level; stdev divides by n - 1
    reach = float(stdtrit(count - 1, 0.5 + level / 2)) * stdev(values) / math.sqrt(count)
    middle = fmean(values)
    return ConfidenceInterval(
        low=middle - reach,
        high=middle + reach,
        level=level,
        method=f"Student's t, n = {count}",  # verification recognizes this text
        resampling_unit=resampling_unit,
    )
