"""Paired tests between backbones on the same items, Holm's correction, and groups of rows that share a rank.

All functions are pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from foundation.array_types import FloatArray, IntArray
from results.records.record import CONFIDENCE_LEVEL
from results.statistics.estimates import (
    MetricSample,
    VarianceComponents,
    compute_residual_variance,
    compute_seed_variance,
    compute_tail_probability,
    estimate_degrees_of_freedom,
    welch_degrees_of_freedom,
)

NUM_SIGN_FLIPS = 9_999
SIGN_FLIP_SEED = 20_261
"""A fixed seed: the same files must give the same p-value each time a board is built."""

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
    # a difference is the pair (differences, 0)
    return float(_sign_flip_p_values(np.stack([differences, np.zeros_like(differences)]), None, num_flips, seed)[0, 1])


def mcnemar_test(only_first: IntArray, only_second: IntArray) -> FloatArray:
    """Return McNemar's exact two-sided p-values.

    Args:
        only_first: number of items that only the first backbone classifies correctly, for each pair (...).
        only_second: number of items that only the second one classifies correctly, (...).

    >>> mcnemar_test(np.array([6, 4]), np.array([1, 4])).tolist()
    [0.125, 1.0]
    """
    # of the items on which the two differ, half are expected on each side: 2 P(X <= min), X ~ Binomial(n, 1 / 2)
    both = only_first + only_second
    return np.asarray(np.minimum(1.0, 2 * binom.cdf(np.minimum(only_first, only_second), both, 0.5)))


def compute_pairwise_p_values(samples: Sequence[MetricSample]) -> FloatArray:
    """Return the two-sided p-values of all pairs of R backbones on the same items, (R, R), with 1 on the diagonal.

    If both backbones of a pair have two or more seeds, the p-value covers seeds and items and equals that of
    ``estimates.compute_difference``. Otherwise it covers the items with the seeds fixed and equals that of
    ``sign_flip_test`` on the item values averaged over the seeds.
    """
    several = np.array([sample.num_seeds > 1 for sample in samples])
    wanted = ~(several[:, None] & several)
    found = np.ones((len(samples), len(samples)))
    # sign flips are the slow part, so the pairs that the other test decides are left out
    if wanted.any():
        found = _sign_flip_p_values(np.stack([sample.item_values.mean(0) for sample in samples]), wanted)
    members = np.flatnonzero(several).tolist()
    if len(members) > 1:
        found[np.ix_(members, members)] = _seed_item_p_values([samples[member] for member in members])
    return found


def _seed_item_p_values(samples: Sequence[MetricSample]) -> FloatArray:
    """Return the p-values of ``estimates.compute_difference`` for all pairs.

    The same computation as there, but vectorized over the partners of a row: a board of R rows has R (R - 1) / 2 pairs.
    """
    centres = np.array([sample.item_values.mean() for sample in samples])
    seeds, left = (
        np.array([compute_seed_variance(sample) for sample in samples]),
        np.array([compute_residual_variance(each) for each in samples]),
    )
    free = np.array([sample.num_seeds - 1.0 for sample in samples])
    deviations = np.stack([sample.scaled_deviations.mean(0) for sample in samples])
    found = np.ones((len(samples), len(samples)))
    for row in range(len(samples) - 1):
        rest = slice(row + 1, None)
        apart = deviations[row] - deviations[rest]  # paired by item, (partners, n)
        # the items' component without the residuals, which the seeds' component covers; see estimates
        shared = np.maximum((apart**2).sum(1) - left[row] - left[rest], 0)
        variances = np.stack([np.full_like(shared, seeds[row]), seeds[rest]])
        of_both = welch_degrees_of_freedom(variances, np.stack([np.full_like(shared, free[row]), free[rest]]))
        parts = VarianceComponents(
            np.stack([variances.sum(0), shared]), np.stack([of_both, estimate_degrees_of_freedom(apart)])
        )
        error, far = np.sqrt(parts.variances.sum(0)), np.abs(centres[row] - centres[rest])
        # without any variance the distance itself is passed on: the tail is then 0 for a distance above 0, else 1
        ratio = np.divide(far, error, out=far.copy(), where=error > 0)
        found[row, rest] = found[rest, row] = compute_tail_probability(ratio, parts)
    return found


def _sign_flip_p_values(
    values: FloatArray,
    pair_mask: NDArray[np.bool_] | None = None,
    num_flips: int = NUM_SIGN_FLIPS,
    seed: int = SIGN_FLIP_SEED,
) -> FloatArray:
    """Return the p-values of ``sign_flip_test`` for all pairs of rows of ``values`` (R, n).

    All pairs use the same random patterns.

    Args:
        values: item values of each row, (R, n).
        pair_mask: pairs that need random patterns, (R, R); by default all. Other pairs get the cheap exact test only.
        num_flips: number of random patterns.
        seed: seed of the random patterns.
    """
    found = np.ones((len(values), len(values)))
    uneven: list[tuple[int, int]] = []
    for row in range(len(values) - 1):
        rest = slice(row + 1, None)
        apart = values[row] - values[rest]
        # Exact test: all differences are 0 or have the same size. Averages over seeds are compared with a tolerance,
        # because sums in another order differ in the last digits.
        size = np.abs(apart).max(1, keepdims=True)
        tolerance = 1e-12 * np.maximum(size, 1)
        zero = np.abs(apart) <= tolerance
        even = (zero | (np.abs(np.abs(apart) - size) <= tolerance)).all(1)
        exact = mcnemar_test((~zero & (apart > 0)).sum(1), (~zero & (apart < 0)).sum(1))
        found[row, rest] = found[rest, row] = exact
        # pairs with differences of several sizes, as indices of rows; McNemar's value is replaced below
        others = row + 1 + np.flatnonzero(~even)
        uneven += [(row, int(other)) for other in others if pair_mask is None or pair_mask[row, other]]
    if uneven:
        first, second = (np.array(side) for side in zip(*uneven, strict=True))
        found[first, second] = found[second, first] = _permutation_p_values(values, first, second, num_flips, seed)
    return found


def _permutation_p_values(
    values: FloatArray, first: IntArray, second: IntArray, num_flips: int, seed: int
) -> FloatArray:
    """Return for each pair the fraction of sign patterns whose mean difference is at least as far from 0 as observed.

    Args:
        values: item values of each row, (R, n).
        first, second: rows of each pair, (pairs,).
        num_flips: number of random patterns.
        seed: seed of the random patterns.
    """
    items = values.shape[1]
    seen = np.abs((values[first] - values[second]).sum(1))
    limit = seen - 1e-9 * np.maximum(seen, 1)  # equal sums added in another order differ in the last digits
    # sum_i sign_i (a_i - b_i) = sum_i sign_i a_i - sum_i sign_i b_i: one matrix product with all rows serves all pairs
    if 2**items <= num_flips:
        # bit i of the number of the pattern is the sign of item i; the observed pattern is one of the 2^n
        signs = 1.0 - 2.0 * ((np.arange(2**items)[:, None] >> np.arange(items)) & 1)
        sums = signs @ values.T
        return np.asarray((np.abs(sums[:, first] - sums[:, second]) >= limit).mean(0))
    beyond = np.zeros(len(first))
    generator = np.random.default_rng(seed)
    for start in range(0, num_flips, _CHUNK_SIZE):
        count = min(_CHUNK_SIZE, num_flips - start)
        # one random bit per item: draw bytes, then unpack 8 signs from each
        drawn = generator.integers(256, size=(count, -(-items // 8)), dtype=np.uint8)
        sums = (1.0 - 2.0 * np.unpackbits(drawn, axis=1)[:, :items]) @ values.T
        # pairs in chunks, too: (patterns, pairs) would not fit into memory for a board of hundreds of rows
        for place in range(0, len(first), _CHUNK_SIZE):
            some = slice(place, place + _CHUNK_SIZE)
            beyond[some] += (np.abs(sums[:, first[some]] - sums[:, second[some]]) >= limit[some]).sum(0)
    # the observed pattern counts as one: a p-value of 0 would be wrong
    return np.asarray((1 + beyond) / (1 + num_flips))


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
        rows: indices of the rows, the best one (the leader) first.
        unresolved: rows below the group whose difference from the leader is not significant either.
    """

    rows: tuple[int, ...]
    unresolved: tuple[int, ...]


def group_tied_rows(
    scores: FloatArray, p_values: FloatArray, higher_is_better: bool, confidence_level: float = CONFIDENCE_LEVEL
) -> list[TieGroup]:
    """Divide rows into groups that share a rank, the best group first.

    The best row that is not in a group yet becomes the leader of the next group. The leader is tested against every
    row below it, with Holm's correction over these tests. The group ends before the first row that differs
    significantly from the leader. Therefore the ranks never contradict the order of the scores, no row of a group
    differs significantly from its leader, and the leader of the next group does.

    Args:
        scores: score of each row, (R,).
        p_values: two-sided p-values of all pairs, (R, R).
        higher_is_better: the metric's direction.
        confidence_level: 0.95 means that a difference is significant at a corrected level of 5 %.
    """
    order = np.argsort(-scores if higher_is_better else scores, kind="stable")
    groups: list[TieGroup] = []
    while len(order):
        resolved = holm_correction(p_values[order[0], order[1:]]) <= 1 - confidence_level
        # argmax returns the first significant row; without any, the group takes all remaining rows
        size = 1 + (int(resolved.argmax()) if resolved.any() else len(order) - 1)
        below = order[size:]
        groups.append(TieGroup(tuple(order[:size].tolist()), tuple(below[~resolved[size - 1 :]].tolist())))
        order = below
    return groups
