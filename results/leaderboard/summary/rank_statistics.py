"""Statistics of ranks over several boards: mid-ranks, the Friedman test, and Kendall's tau with its interval.

All functions are pure.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import chdtrc, ndtri

from foundation.array_types import FloatArray
from results.records.record import CONFIDENCE_LEVEL

_BISECTIONS = 60
"""Halvings of [-1, 1] when the end of an interval is searched; 2 / 2**60 is below the precision of a double."""


class FriedmanTest(NamedTuple):
    """Whether the rows of a complete table have different mean ranks by more than chance.

    Attributes:
        statistic: Friedman's chi-square, corrected for ties.
        degrees_of_freedom: number of rows - 1.
        p_value: upper tail of the chi-square distribution.
        critical_difference: two mean ranks have to be farther apart than this to differ significantly (Nemenyi's test).
        is_approximate: whether the table is too small for the chi-square distribution.
    """

    statistic: float
    degrees_of_freedom: int
    p_value: float
    critical_difference: float
    is_approximate: bool


def compute_mid_ranks(comparisons: FloatArray) -> FloatArray:
    """Return the mid-rank of each row: 1, plus 1 for each better row, plus 1/2 for each equal one.

    Args:
        comparisons: 1 where the row of the first index is better than the one of the second, -1 where it is worse, and
            0 where the two are equal, (rows, rows).

    >>> compute_mid_ranks(np.array([[0, 1, 1], [-1, 0, 0], [-1, 0, 0]])).tolist()
    [1.0, 2.5, 2.5]
    """
    # (rows - 1 - sum) / 2 is the number of better rows plus half of the number of equal ones
    return np.asarray(1 + (len(comparisons) - 1 - comparisons.sum(1)) / 2)


def compute_friedman_test(mid_ranks: FloatArray) -> FriedmanTest:
    """Return the Friedman test over a complete table.

    The statistic is ``(k - 1) sum_j (R_j - n (k + 1) / 2)^2 / sum_ij (r_ij - (k + 1) / 2)^2`` with the n x k ranks
    ``r_ij`` and their sums ``R_j``. It is the usual one with its correction for ties, and it also holds for ranks that
    are means over several boards (Conover, Practical Nonparametric Statistics, 3rd edition, section 5.8). The
    distribution of chi-square is a good approximation for n > 10 and k > 5 (Demsar, JMLR 7, 2006).

    Args:
        mid_ranks: ranks of the k rows on each of the n tasks, (n, k); k is 3 or more and n is 2 or more.
    """
    num_tasks, num_rows = mid_ranks.shape
    apart = mid_ranks - (num_rows + 1) / 2
    spread = float((apart**2).sum())
    # if all rows are equal on all tasks, there is no evidence at all
    statistic = (num_rows - 1) * float((apart.sum(0) ** 2).sum()) / spread if spread else 0.0
    return FriedmanTest(
        statistic,
        num_rows - 1,
        float(chdtrc(num_rows - 1, statistic)),
        compute_critical_difference(num_rows, num_tasks),
        not (num_tasks > 10 and num_rows > 5),
    )


def compute_critical_difference(num_rows: int, num_tasks: int) -> float:
    """Return the critical difference of Nemenyi's test: ``q sqrt(k (k + 1) / (6 n))``.

    ``q`` is the quantile of the studentized range with infinite degrees of freedom, divided by the square root of 2
    (Demsar, JMLR 7, 2006, section 3.2.2). Ties and means over several boards make ranks vary less than the formula
    assumes, so it errs on the side of no difference.

    >>> round(compute_critical_difference(4, 14), 2)  # Demsar's own example: 2.569 sqrt(4 x 5 / (6 x 14)) = 1.25
    1.25
    """
    from scipy.stats import studentized_range  # takes half a second, and only a summary of complete boards needs it

    quantile = float(studentized_range.ppf(CONFIDENCE_LEVEL, num_rows, math.inf)) / math.sqrt(2)
    return quantile * math.sqrt(num_rows * (num_rows + 1) / (6 * num_tasks))


def compute_kendall_taus(scores: FloatArray) -> FloatArray:
    """Return Kendall's tau-b of each pair of boards over the backbones that both have.

    Args:
        scores: oriented so that a higher one is better, (boards, backbones); NaN where a board lacks a backbone.

    Returns:
        The coefficients, (boards, boards). NaN where the shared backbones are all equal on one of the two boards.
    """
    present = (~np.isnan(scores)).astype(float)
    filled = np.nan_to_num(scores)
    both, of_first = (np.zeros((len(scores), len(scores))) for _ in range(2))
    # tau-b = (concordant - discordant pairs) / sqrt(pairs untied on the first x pairs untied on the second board)
    for place in range(scores.shape[1] - 1):
        # pairs of this backbone with all later ones; a pair that a board lacks has the sign 0 and counts nowhere
        there = present[:, place + 1 :] * present[:, place, None]
        signs = np.sign(filled[:, place + 1 :] - filled[:, place, None]) * there
        both += signs @ signs.T
        of_first += signs**2 @ there.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(both / np.sqrt(of_first * of_first.T))


def compute_tau_intervals(taus: FloatArray, counts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the confidence intervals of Kendall's tau: all true values that a sample like this does not contradict.

    An end is the value t with ``|tau - t| - 1 / pairs = z sd(t)``, where ``1 / pairs`` is the correction for continuity
    and ``sd(t)`` the standard deviation of tau over n backbones whose scores on the two boards are a sample from a
    bivariate normal distribution (Esscher 1924; Kendall and Gibbons, Rank Correlation Methods, chapter 10). As in
    Wilson's interval of a proportion, the deviation is that at the end and not at tau, so the interval of a perfect
    agreement has a width too.

    Args:
        taus: coefficients, (...).
        counts: number of backbones of each, 4 or more, (...).
    """
    far = float(ndtri((1 + CONFIDENCE_LEVEL) / 2))
    step = 2 / (counts * (counts - 1))

    def find_end(side: int) -> FloatArray:
        inside, outside = np.array(taus, dtype=float), np.full(np.shape(taus), float(side))
        for _ in range(_BISECTIONS):
            middle = (inside + outside) / 2
            accepted = np.abs(taus - middle) - step <= far * _compute_tau_deviation(middle, counts)
            inside, outside = np.where(accepted, middle, inside), np.where(accepted, outside, middle)
        # if the last value is still accepted, the search has run against the end of the range
        return inside

    return find_end(-1), find_end(1)


def _compute_tau_deviation(taus: FloatArray, counts: FloatArray) -> FloatArray:
    """Return the standard deviation of Kendall's tau of n pairs from a bivariate normal distribution."""
    # tau = 2 / pi arcsin(correlation)
    correlation = np.sin(np.pi * taus / 2)
    of_triples = 1 / 9 - (2 / np.pi * np.arcsin(correlation / 2)) ** 2
    variance = 2 / (counts * (counts - 1)) * (1 - taus**2 + 2 * (counts - 2) * of_triples)
    return np.asarray(np.sqrt(np.maximum(variance, 0)))
