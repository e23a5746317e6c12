"""Paired tests between backbones on the same items, Holm's correction, and groups of rows that share a rank.

All functions are pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from foundation.array_types import FloatArray, IntArray
from results.records.record import CONFIDENCE_LEVEL
from results.statistics.estimates import (
    MetricSample,
    StackedSamples,
    compute_p_values,
    estimate_differences,
    stack_samples,
)
from results.statistics.rounding import ROUNDING_TOLERANCE
from results.statistics.student_mixture import SMALLEST_P_VALUE

NUM_SIGN_FLIPS = 9_999
SIGN_FLIP_SEED = 20_261
"""A fixed seed: the same files must give the same p-value each time two runs are compared."""

BORROWED_WEIGHT = 2.0
"""Weight of the seeds' spread on the whole board, in units of a row's own degrees of freedom. The simulation in
docs/explanation/statistics.md chose it: with more weight, boards whose rows differ in their spread are ranked apart too
often."""

_CHUNK_SIZE = 1_024
"""Number of flip patterns that are drawn at once. It limits the memory to 8 KiB per item (1,024 doubles)."""


def sign_flip_test(differences: FloatArray, num_flips: int = NUM_SIGN_FLIPS, seed: int = SIGN_FLIP_SEED) -> float:
    """Return the two-sided p-value of a mean difference under the exchange of the two backbones on each item.

    Under the null hypothesis, the sign of each item's difference is positive or negative with equal probability:

    - If all differences that are not 0 have the same size (one run each, items are wrong or correct), the p-value is
      exact and equal to McNemar's test.
    - With up to 13 items, all patterns of signs are enumerated.
    - Otherwise ``num_flips`` random patterns are drawn, and the observed pattern is counted as one more.

    Args:
        differences: differences of the paired items, (n,).
        num_flips: number of random patterns.
        seed: seed of the random patterns.

    >>> sign_flip_test(np.array([1.0] * 6 + [-1.0] + [0.0] * 9))  # McNemar: 2 P(X <= 1 of 7)
    0.125
    """
    # Averages over seeds are compared with a tolerance, because sums in another order differ in the last digits.
    size = float(np.abs(differences).max())
    tolerance = 1e-12 * max(size, 1.0)
    zero = np.abs(differences) <= tolerance
    if (zero | (np.abs(np.abs(differences) - size) <= tolerance)).all():
        counts = np.array((~zero & (differences > 0)).sum()), np.array((~zero & (differences < 0)).sum())
        return float(mcnemar_test(*counts))
    return _permutation_p_value(differences, num_flips, seed)


def mcnemar_test(only_first: IntArray, only_second: IntArray) -> FloatArray:
    """Return McNemar's exact two-sided p-values.

    Args:
        only_first: number of items that only the first backbone classifies correctly, for each pair (...).
        only_second: number of items that only the second one classifies correctly, (...).

    >>> mcnemar_test(np.array([6, 4]), np.array([1, 4])).tolist()
    [0.125, 1.0]
    """
    # of the items on which the two differ, half are expected on each side: 2 P(X <= min), X ~ Binomial(n, 1 / 2)
    # = 2 I_(1/2)(n - min, min + 1), the incomplete beta function; within 4e-15 of scipy.stats.binom, which takes half a
    # second to import
    fewer, more = np.minimum(only_first, only_second), np.maximum(only_first, only_second)
    found = 2 * betainc(more, fewer + 1, 0.5)
    # the probability of more than a thousand items on one side is below the range of a double
    return np.asarray(np.clip(found, SMALLEST_P_VALUE, 1.0))


def compute_pairwise_p_values(samples: Sequence[MetricSample]) -> FloatArray:
    """Return the two-sided p-values of all pairs of R backbones on the same items, (R, R), with 1 on the diagonal.

    They cover seeds and items. Of two backbones they equal that of ``estimates.compute_difference``; of more, each
    backbone borrows a part of its seeds' spread from the others. A pair with a backbone of one seed has the p-value 1:
    nothing is known about its other seeds.
    """
    found = np.ones((len(samples), len(samples)))
    members = np.flatnonzero([sample.num_seeds > 1 for sample in samples])
    if len(members) > 1:
        stacked = _borrow_seed_spread(stack_samples([samples[member] for member in members.tolist()]))
        for place, row in enumerate(members[:-1].tolist()):
            # all partners of a row at once: a board of R rows has R (R - 1) / 2 pairs
            rest = members[place + 1 :]
            found[row, rest] = found[rest, row] = compute_p_values(
                estimate_differences(stacked, place, slice(place + 1, None))
            )
    return found


def compute_item_p_values(samples: Sequence[MetricSample]) -> FloatArray:
    """Return the two-sided p-values of all pairs of R finished models on the same items, (R, R), 1 on the diagonal.

    They cover the items only, because a finished model is not one of several trainings. Each is that of
    ``sign_flip_test``, which also compares two single runs.
    """
    found = np.ones((len(samples), len(samples)))
    values = [sample.item_values.mean(0) for sample in samples]
    # pair by pair: boards of finished models are small, and McNemar's test of right-or-wrong items is in closed form
    for first, second in zip(*np.triu_indices(len(samples), 1), strict=True):
        found[first, second] = found[second, first] = sign_flip_test(values[first] - values[second])
    return found


def _borrow_seed_spread(stacked: StackedSamples) -> StackedSamples:
    """Return the samples with the seeds' variances of three or more samples drawn towards their common mean.

    Two or three seeds tell so little about their spread that Student's tail, corrected for all pairs of a board, would
    tell hardly any two rows apart. So the mean over the rows counts as ``BORROWED_WEIGHT`` times the row's own degrees
    of freedom, as in the moderated t of Smyth (2004). A row with a larger spread of its own keeps that. A row of two
    seeds borrows as little beside rows of ten as beside rows of two: it may be the only one whose seeds differ much.
    """
    degrees = stacked.seed_degrees
    if len(degrees) < 3:
        return stacked
    seeds = degrees + 1
    own = stacked.seed_variances * seeds  # the variance of a single seed, (R,)
    # each row counts once: weighted by their seeds, a few rows of many seeds would speak for all others
    common, borrowed = float(own.mean()), BORROWED_WEIGHT * degrees
    drawn = (borrowed * common + degrees * own) / (borrowed + degrees)
    # a pair can have at most the degrees of freedom of the whole board, each of its rows half of them
    return stacked._replace(
        seed_variances=np.maximum(own, drawn) / seeds,
        seed_degrees=np.minimum(borrowed + degrees, degrees.sum() / 2),
    )


def _permutation_p_value(differences: FloatArray, num_flips: int, seed: int) -> float:
    """Return the fraction of sign patterns whose mean difference is at least as far from 0 as the observed one."""
    items = len(differences)
    seen = abs(float(differences.sum()))
    limit = seen - 1e-9 * max(seen, 1.0)  # equal sums added in another order differ in the last digits
    if 2**items <= num_flips:
        # bit i of the number of the pattern is the sign of item i; the observed pattern is one of the 2^n
        signs = 1.0 - 2.0 * ((np.arange(2**items)[:, None] >> np.arange(items)) & 1)
        return float((np.abs(signs @ differences) >= limit).mean())
    beyond = 0
    generator = np.random.default_rng(seed)
    for start in range(0, num_flips, _CHUNK_SIZE):
        count = min(_CHUNK_SIZE, num_flips - start)
        # one random bit per item: draw bytes, then unpack 8 signs from each
        drawn = generator.integers(256, size=(count, -(-items // 8)), dtype=np.uint8)
        signs = 1.0 - 2.0 * np.unpackbits(drawn, axis=1)[:, :items]
        beyond += int((np.abs(signs @ differences) >= limit).sum())
    # the observed pattern counts as one: a p-value of 0 would be wrong
    return (1 + beyond) / (1 + num_flips)


def holm_correction(p_values: FloatArray) -> FloatArray:
    """Return Holm's adjusted p-values of a family of tests (Holm 1979).

    Args:
        p_values: p-values of the tests, (m,).

    >>> holm_correction(np.array([0.01, 0.04, 0.03])).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    # the k-th smallest of m p-values is multiplied by m - k + 1; the running maximum keeps them in order
    adjusted[order] = np.minimum(np.maximum.accumulate(np.arange(len(p_values), 0, -1) * p_values[order]), 1.0)
    return adjusted


class TieGroup(NamedTuple):
    """A group of rows that share a rank.

    Attributes:
        rows: indices of the rows, by score, the best first. Rows with the best score of the group are its leaders.
        unresolved: rows below the group whose difference from every leader is not significant either.
    """

    rows: tuple[int, ...]
    unresolved: tuple[int, ...]


def group_tied_rows(
    scores: FloatArray, p_values: FloatArray, higher_is_better: bool, confidence_level: float = CONFIDENCE_LEVEL
) -> list[TieGroup]:
    """Divide rows into groups that share a rank, the best group first.

    All pairs of rows are tested with Holm's correction over all of them, because nobody knows before which row will
    lead. All rows with the best score that are not in a group yet become the leaders of the next group. The group ends
    before the first score at which a row differs significantly from a leader. Therefore the ranks never contradict the
    scores, rows with equal scores share a rank, no row of a group differs significantly from its leaders, and the
    groups do not depend on the order in which the rows are given.

    Args:
        scores: score of each row, (R,).
        p_values: two-sided p-values of all pairs, (R, R).
        higher_is_better: the metric's direction.
        confidence_level: 0.95 means that with probability 95 % no pair of equal rows is significant on a board.
    """
    first, second = np.triu_indices(len(scores), 1)
    resolved = np.zeros(p_values.shape, np.bool_)
    resolved[first, second] = holm_correction(p_values[first, second]) <= 1 - confidence_level
    resolved[second, first] = resolved[first, second]
    levels = _split_by_score(scores, higher_is_better)
    groups: list[TieGroup] = []
    while levels:
        leaders = levels[0]
        # whether a row is resolved from any of the leaders
        apart: NDArray[np.bool_] = np.any(resolved[leaders], axis=0)
        # from 1: leaders share their score, so they share a rank whatever their p-value is
        size = next((place for place in range(1, len(levels)) if apart[levels[place]].any()), len(levels))
        members, below = levels[:size], levels[size:]
        groups.append(
            TieGroup(
                tuple(row for level in members for row in level.tolist()),
                tuple(row for level in below for row in level.tolist() if not apart[row]),
            )
        )
        levels = below
    return groups


def _split_by_score(scores: FloatArray, higher_is_better: bool) -> list[NDArray[np.intp]]:
    """Return the rows of each score, the best score first. Scores that differ only by rounding are equal."""
    order = np.argsort(-scores if higher_is_better else scores, kind="stable")
    levels: list[NDArray[np.intp]] = []
    while len(order):
        best = scores[order[0]]
        same = np.abs(scores[order] - best) <= ROUNDING_TOLERANCE * max(1.0, abs(float(best)))
        levels.append(np.sort(order[same]))
        order = order[~same]
    return levels
