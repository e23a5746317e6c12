"""How often a board ranks equal rows apart, by simulation, and how often it finds rows that differ.

All rows of a board see the same items. The outcome of an item depends on how hard it is for everybody, on how it suits
the row, on the seed, and on luck. ``tests.results.statistics.coverage`` writes the tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from foundation.array_types import FloatArray
from results.statistics.estimates import sample_from_values
from results.statistics.significance_tests import compute_pairwise_p_values, group_tied_rows

SeedSpread = Literal["equal", "uneven", "one row of 4 points"]


class BoardWorld(NamedTuple):
    """What boards are drawn from.

    Attributes:
        num_items: items of the test set.
        accuracy: share of right items of a row without an advantage; ``None`` for sequences with an AUC.
        seed_std: standard deviation of the seeds' accuracy in percentage points.
    """

    num_items: int
    accuracy: float | None
    seed_std: float = 0.6

    @property
    def name(self) -> str:
        """Return the case in words."""
        if self.accuracy is None:
            return f"AUC, {self.num_items} sequences"
        return f"top-1 {100 * self.accuracy:g} %, {self.num_items:,} images, seeds +-{self.seed_std}"


BOARD_WORLDS = (
    BoardWorld(1000, 0.75),
    BoardWorld(359, 0.97, 0.3),
    BoardWorld(24, 0.97, 0.3),
    BoardWorld(280, None),
)


def draw_board(
    rng: np.random.Generator,
    world: BoardWorld,
    advantages: FloatArray,
    num_seeds: int | Sequence[int],
    seed_spread: SeedSpread = "equal",
) -> list[FloatArray]:
    """Draw the outcomes of all rows: for each row its seeds and items, (S, n), 0 to 100.

    Args:
        rng: source of randomness.
        world: what the board is drawn from.
        advantages: true advantage of each row in percentage points, (R,); 0 for equal rows.
        num_seeds: seeds of every row, or of the first row, the second and so on, from the start again where they end.
        seed_spread: how the rows differ in the spread of their seeds. "uneven" is a log-normal factor of 3.
    """
    rows, items = len(advantages), world.num_items
    counts = np.resize(num_seeds, rows).tolist()
    most = max(counts)
    hard, suits = rng.standard_normal(items), rng.standard_normal((rows, 1, items))
    luck, seeds = rng.standard_normal((rows, most, items)), rng.standard_normal((rows, most, 1))
    spread = np.full(rows, world.seed_std)
    if seed_spread == "uneven":
        spread = spread * np.exp(1.1 * rng.standard_normal(rows))
    elif seed_spread == "one row of 4 points":
        spread[0] = 4.0
    shift = seeds * spread[:, None, None] + advantages[:, None, None]
    if world.accuracy is None:
        # a step of 0.04 before the logistic function is about 0.6 points of AUC
        drawn = 100 * expit(0.5 + 1.1 * hard + 0.6 * suits + 0.45 * luck + 0.07 * shift)
    else:
        level, scale = float(norm.ppf(world.accuracy)), 5.0**0.5  # of 1.6 hard + 1.2 suits + luck
        drawn = 100.0 * ((level + shift / 100 / norm.pdf(level)) * scale + 1.6 * hard + 1.2 * suits + luck > 0)
    return [each[:count] for each, count in zip(drawn, counts, strict=True)]


def group_board(outcomes: Sequence[FloatArray]) -> list[int]:
    """Return the rank of each row as the product gives it."""
    samples = [sample_from_values(row) for row in outcomes]
    groups = group_tied_rows(
        np.array([sample.mean for sample in samples]), compute_pairwise_p_values(samples), higher_is_better=True
    )
    ranks = [0] * len(samples)
    rank = 1
    for group in groups:
        for row in group.rows:
            ranks[row] = rank
        rank += len(group.rows)
    return ranks


def measure_board_errors(
    world: BoardWorld,
    rows: int,
    seeds: int | Sequence[int],
    boards: int,
    rng: np.random.Generator,
    seed_spread: SeedSpread = "equal",
) -> float:
    """Return the share of boards of equal rows on which any two have another rank, in percent."""
    apart = [
        len(set(group_board(draw_board(rng, world, np.zeros(rows), seeds, seed_spread)))) > 1 for _ in range(boards)
    ]
    return 100 * float(np.mean(apart))


def measure_board_power(
    world: BoardWorld, rows: int, seeds: int, boards: int, rng: np.random.Generator, points: float
) -> float:
    """Return the share of pairs of a better and a worse half, so many points apart, with another rank, in percent."""
    half = rows // 2
    advantages = np.r_[np.full(half, points), np.zeros(rows - half)]
    found = []
    for _ in range(boards):
        ranks = np.array(group_board(draw_board(rng, world, advantages, seeds)))
        found.append((ranks[:half, None] < ranks[None, half:]).mean())
    return 100 * float(np.mean(found))
