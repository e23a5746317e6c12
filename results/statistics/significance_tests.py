"""Paired tests between backbones on the same items, Holm's correction, and rows that share a rank. Pure functions."""

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

_CHUNK_SIZE = 1_024
"""Flips that are made at once; bounds the memory at 8 KiB an item."""


def sign_flip_test(differences: FloatArray, num_flips: int = NUM_SIGN_FLIPS, seed: int = SIGN_FLIP_SEED) -> float:
    """Two-sided p-value of a mean difference under exchange of the two backbones, item by item.

    Each item's sign is flipped or not with equal chance: exactly, as McNemar's test, where all differences that are
    not 0 have one size (right or wrong by a single run); over all patterns up to 13 items; else over ``num_flips``
    random patterns, the one seen counted in.

    Args:
        differences: of paired items, (n,).
        num_flips: random patterns.
        seed: of them.

    >>> sign_flip_test(np.array([1.0] * 6 + [-1.0] + [0.0] * 9))  # McNemar: 2 P(X <= 1 of 7)
    0.125
    """
    return float(_sign_flip_p_values(np.stack([differences, np.zeros_like(differences)]), None, num_flips, seed)[0, 1])


def mcnemar_test(only_first: IntArray, only_second: IntArray) -> FloatArray:
    """McNemar's exact two-sided p-value from how many items only the first, only the second has right.

    >>> mcnemar_test(np.array([6, 4]), np.array([1, 4])).tolist()
    [0.125, 1.0]
    """
    both = only_first + only_second
    return np.asarray(np.minimum(1.0, 2 * binom.cdf(np.minimum(only_first, only_second), both, 0.5)))


def compute_pairwise_p_values(samples: Sequence[MetricSample]) -> FloatArray:
    """Two-sided p-values of all pairs of backbones on the same items, (R, R).

    Where both have two or more seeds, over seeds and items (as ``estimates.compute_difference``); else over items, the
    seeds held (as ``sign_flip_test`` on the values averaged over seeds).
    """
    several = np.array([sample.num_seeds > 1 for sample in samples])
    wanted = ~(several[:, None] & several)
    found = np.ones((len(samples), len(samples)))
    if wanted.any():
        found = _sign_flip_p_values(np.stack([sample.item_values.mean(0) for sample in samples]), wanted)
    members = np.flatnonzero(several).tolist()
    if len(members) > 1:
        found[np.ix_(members, members)] = _seed_item_p_values([samples[member] for member in members])
    return found


def _seed_item_p_values(samples: Sequence[MetricSample]) -> FloatArray:
    """``estimates.compute_difference``'s p-values of all pairs."""
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
        apart = deviations[row] - deviations[rest]
        shared = np.maximum((apart**2).sum(1) - left[row] - left[rest], 0)
        variances = np.stack([np.full_like(shared, seeds[row]), seeds[rest]])
        of_both = welch_degrees_of_freedom(variances, np.stack([np.full_like(shared, free[row]), free[rest]]))
        parts = VarianceComponents(
            np.stack([variances.sum(0), shared]), np.stack([of_both, estimate_degrees_of_freedom(apart)])
        )
        error, far = np.sqrt(parts.variances.sum(0)), np.abs(centres[row] - centres[rest])
        ratio = np.divide(far, error, out=far.copy(), where=error > 0)
        found[row, rest] = found[rest, row] = compute_tail_probability(ratio, parts)
    return found


def _sign_flip_p_values(
    values: FloatArray,
    pair_mask: NDArray[np.bool_] | None = None,
    num_flips: int = NUM_SIGN_FLIPS,
    seed: int = SIGN_FLIP_SEED,
) -> FloatArray:
    """``sign_flip_test`` for all pairs of rows (R, n), or for the wanted ones; one set of patterns serves all pairs."""
    found = np.ones((len(values), len(values)))
    uneven: list[tuple[int, int]] = []
    for row in range(len(values) - 1):
        rest = slice(row + 1, None)
        apart = values[row] - values[rest]
        size = np.abs(apart).max(1, keepdims=True)
        tolerance = 1e-12 * np.maximum(size, 1)
        zero = np.abs(apart) <= tolerance
        even = (zero | (np.abs(np.abs(apart) - size) <= tolerance)).all(1)
        exact = mcnemar_test((~zero & (apart > 0)).sum(1), (~zero & (apart < 0)).sum(1))
        found[row, rest] = found[rest, row] = exact
        others = row + 1 + np.flatnonzero(~even)
        uneven += [(row, int(other)) for other in others if pair_mask is None or pair_mask[row, other]]
    if uneven:
        first, second = (np.array(side) for side in zip(*uneven, strict=True))
        found[first, second] = found[second, first] = _permutation_p_values(values, first, second, num_flips, seed)
    return found


def _permutation_p_values(
    values: FloatArray, first: IntArray, second: IntArray, num_flips: int, seed: int
) -> FloatArray:
    """The share of flip patterns with a mean difference at least as far from 0 as the one seen, by pair."""
    items = values.shape[1]
    seen = np.abs((values[first] - values[second]).sum(1))
    limit = seen - 1e-9 * np.maximum(seen, 1)  # equal sums in another order differ in the last digits
    if 2**items <= num_flips:
        signs = 1.0 - 2.0 * ((np.arange(2**items)[:, None] >> np.arange(items)) & 1)
        sums = signs @ values.T
        return np.asarray((np.abs(sums[:, first] - sums[:, second]) >= limit).mean(0))
    beyond = np.zeros(len(first))
    generator = np.random.default_rng(seed)
    for start in range(0, num_flips, _CHUNK_SIZE):
        count = min(_CHUNK_SIZE, num_flips - start)
        drawn = generator.integers(256, size=(count, -(-items // 8)), dtype=np.uint8)
        sums = (1.0 - 2.0 * np.unpackbits(drawn, axis=1)[:, :items]) @ values.T
        for place in range(0, len(first), _CHUNK_SIZE):
            some = slice(place, place + _CHUNK_SIZE)
            beyond[some] += (np.abs(sums[:, first[some]] - sums[:, second[some]]) >= limit[some]).sum(0)
    return np.asarray((1 + beyond) / (1 + num_flips))


def holm_correction(p_values: FloatArray) -> FloatArray:
    """Holm's adjusted p-values of a family of tests (Holm 1979).

    >>> holm_correction(np.array([0.01, 0.04, 0.03])).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(np.arange(len(p_values), 0, -1) * p_values[order]), 1.0)
    return adjusted


class TieGroup(NamedTuple):
    """Rows that share a rank, the best first, and the rows below the group that are not resolved from its leader."""

    rows: tuple[int, ...]
    unresolved: tuple[int, ...]


def group_tied_rows(
    scores: FloatArray, p_values: FloatArray, higher_is_better: bool, confidence_level: float = CONFIDENCE_LEVEL
) -> list[TieGroup]:
    """Rows in groups that share a rank, the best group first.

    The best row that is in no group yet leads the next. It is tested against every row below it, Holm's correction is
    taken over these tests, and its group reaches down to the first row that is resolved from it. So ranks never run
    against the scores, a group holds no row that is resolved from its leader, and the leader of the next group is
    resolved from it.

    Args:
        scores: by row, (R,).
        p_values: two-sided p-values of all pairs, (R, R).
        higher_is_better: the metric's direction.
        confidence_level: 0.95 resolves at a corrected 5 %.
    """
    order = np.argsort(-scores if higher_is_better else scores, kind="stable")
    groups: list[TieGroup] = []
    while len(order):
        resolved = holm_correction(p_values[order[0], order[1:]]) <= 1 - confidence_level
        size = 1 + (int(resolved.argmax()) if resolved.any() else len(order) - 1)
        below = order[size:]
        groups.append(TieGroup(tuple(order[:size].tolist()), tuple(below[~resolved[size - 1 :]].tolist())))
        order = below
    return groups
