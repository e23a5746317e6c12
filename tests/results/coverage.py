"""How often a nominal 95 % interval holds the truth, by simulation: ``python -m tests.results.coverage``.

Worlds whose truth is known: a large population of items, seen by a population of training seeds. A repetition draws
S seeds and n items from them, and the interval is asked for the mean over all seeds and items; with one seed, for that
seed's mean over all items, because its claim is conditional on the seed. The plain percentile bootstrap over
seeds x items stands beside it for comparison. The thorough run writes the table of docs/statistics.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from results import areas as scores
from results.statistics import Sample, interval, of_areas, of_values

Floats = NDArray[np.float64]


class World(NamedTuple):
    """A population: outcomes by seed and item, how many items are drawn, and the truth by seed.

    Attributes:
        name: of the case.
        outcomes: (K, M) values, or (K, M, 3, classes) areas.
        items: of a test set drawn from it.
        truth: the metric over all items, (K,).
        sample: what the product makes of the outcomes drawn.
        classical: the metric by seed on resampled items, (S, B), for the plain bootstrap.
    """

    name: str
    outcomes: NDArray[np.generic]
    items: int
    truth: Floats
    sample: Callable[[NDArray[np.generic], NDArray[np.int64]], Sample]
    classical: Callable[[NDArray[np.generic], NDArray[np.int64]], Floats]


def top1(rng: np.random.Generator, mean: float = 0.75, items: int = 1000, seeds_part: float = 0.6) -> World:
    """Right or wrong: each item has a difficulty, each seed a level, each pair its own luck.

    ``seeds_part``: standard deviation of the seeds' accuracy in percentage points.
    """
    count, kinds = 20_000, 200
    hard, luck = 1.5 * rng.standard_normal(count), 0.7 * rng.standard_normal((kinds, count))
    scale = float(np.hypot(np.hypot(1.5, 0.7), 1))
    level = norm.ppf(mean)
    shift = seeds_part / 100 / float(norm.pdf(level)) * scale * rng.standard_normal((kinds, 1))
    right = (level * scale + shift + hard + luck + rng.standard_normal((kinds, count))) > 0
    outcomes = (100 * right).astype(np.float32)
    return _of_values(f"top-1 {100 * mean:.0f} %, {items:,} images", outcomes, items)


def auc(rng: np.random.Generator, items: int = 280) -> World:
    """Sequences between lost at once and followed to the end; seeds differ by half a point."""
    count, kinds = 20_000, 200
    each = 0.5 + 1.3 * rng.standard_normal(count) + 0.45 * rng.standard_normal((kinds, count))
    outcomes = 100 * expit(each + 0.03 * rng.standard_normal((kinds, 1)))
    return _of_values(f"AUC, {items} sequences", outcomes.astype(np.float32), items)


def miou(rng: np.random.Generator, items: int = 233, classes: int = 11, rare: float = 0.6) -> World:
    """Images hold some of the classes in very unequal shares; pixels are missed and go to the classes around."""
    count, kinds, pixels = 4_000, 12, 10_000
    share = np.exp(-rare * np.arange(classes) * 8 / classes)
    present = rng.random((count, classes)) < 0.1 + 0.85 * share
    present[:, 0] = True
    mass = rng.gamma(0.8, share, (count, classes)) * present + 1e-9 * present
    truth = np.round(pixels * mass / mass.sum(1, keepdims=True))
    skill = 1.2 * rng.standard_normal(classes) + 0.8
    found = np.empty((kinds, count, 3, classes), np.float32)
    image = 0.8 * rng.standard_normal((count, classes))
    for seed in range(kinds):
        chance = expit(skill + 0.05 * rng.standard_normal(classes) + image + 0.5 * rng.standard_normal((count, classes)))
        hit = np.round(truth * chance)
        around = np.where(present, share, 0.05 * share)
        around /= around.sum(1, keepdims=True)
        stray = np.round((truth - hit).sum(1, keepdims=True) * around)
        found[seed] = np.stack([hit, hit + stray, truth], 1)
    totals = found.sum(1, dtype=np.float64)
    name = f"mIoU, {classes} classes, {items:,} images"
    return World(name, found, items, scores.SCORES["mIoU"](totals), _miou_sample, _miou_draws)


def _of_values(name: str, outcomes: NDArray[np.generic], items: int) -> World:
    truth = np.asarray(outcomes.mean(1, dtype=np.float64))
    return World(name, outcomes, items, truth, lambda drawn, _: of_values(drawn), _value_draws)


def _value_draws(drawn: NDArray[np.generic], counts: NDArray[np.int64]) -> Floats:
    return np.asarray(drawn.astype(np.float64) @ counts.T / drawn.shape[1])


def _miou_draws(drawn: NDArray[np.generic], counts: NDArray[np.int64]) -> Floats:
    return np.stack([scores.resampled(each, "mIoU", counts) for each in drawn.astype(np.int64)])


class Covered(NamedTuple):
    """Shares of repetitions whose interval held the truth, in percent, and the mean width of ours."""

    ours: float
    percentile: float
    width: float


def cover(world: World, seeds: int, repetitions: int, rng: np.random.Generator, resamples: int = 400) -> Covered:
    """Draw, and count."""
    counts = resample_counts(world.items, resamples)
    ours = plain = 0
    width = 0.0
    for _ in range(repetitions):
        chosen = rng.integers(len(world.outcomes), size=seeds)
        items = rng.integers(world.outcomes.shape[1], size=world.items)
        drawn = world.outcomes[chosen][:, items]
        truth = float(world.truth[chosen[0]] if seeds == 1 else world.truth.mean())
        found = interval(world.sample(drawn, counts))
        ours += found.low <= truth <= found.high
        width += found.high - found.low
        draws = world.classical(drawn, counts)
        picked = rng.integers(seeds, size=(resamples, seeds))
        low, high = np.percentile(draws[picked, np.arange(resamples)[:, None]].mean(1), (2.5, 97.5))
        plain += low <= truth <= high
    return Covered(100 * ours / repetitions, 100 * plain / repetitions, width / repetitions)


def worlds(rng: np.random.Generator) -> Iterator[World]:
    """The cases of the table."""
    yield top1(rng)
    yield top1(rng, 0.75, 1000, 2.0)
    yield top1(rng, 0.97, 359, 0.3)
    yield auc(rng)
    yield miou(rng)
    yield miou(rng, 2000, 30)


def main(repetitions: int) -> None:
    """Write the table, one line a case and number of seeds."""
    rng = np.random.default_rng(0)
    sys.stdout.write("| case | seeds | covered | plain percentile bootstrap | mean width |\n|---|--:|--:|--:|--:|\n")
    for world in worlds(rng):
        for seeds in (1, 2, 3, 5):
            found = cover(world, seeds, repetitions, rng)
            line = f"| {world.name} | {seeds} | {found.ours:.1f} % | {found.percentile:.1f} % | {found.width:.2f} |\n"
            sys.stdout.write(line)
            sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
