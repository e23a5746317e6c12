"""How often a nominal 95 % interval holds the truth, by simulation: ``python -m tests.results.statistics.coverage``.

Worlds whose truth is known: a large population of items, seen by a population of training seeds. A repetition draws
S seeds and n items from them, and the interval is asked for the mean over all seeds and items; with one seed, for that
seed's mean over all items, because its claim is conditional on the seed. The plain percentile bootstrap over
seeds x items stands beside it for comparison. The thorough run writes the table of docs/explanation/statistics.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from foundation.array_types import FloatArray
from results.statistics import segmentation_scores as scores
from results.statistics.estimates import MetricSample, compute_interval, sample_from_areas, sample_from_values

Outcomes = NDArray[Any]


class Population(NamedTuple):
    """A population: outcomes by seed and item, how many items are drawn, and the truth by seed.

    Attributes:
        name: of the case.
        outcomes: (K, M) values, or (K, M, 3, classes) areas.
        num_items: of a test set drawn from it.
        truth: the metric over all items, (K,).
        make_sample: what the product makes of the outcomes drawn.
        resample: the metric by seed on resampled items, (S, B), for the plain bootstrap.
    """

    name: str
    outcomes: Outcomes
    num_items: int
    truth: FloatArray
    make_sample: Callable[[Outcomes], MetricSample]
    resample: Callable[[Outcomes, Outcomes], FloatArray]


def simulate_top1(
    rng: np.random.Generator, mean: float = 0.75, items: int = 1000, seed_std: float = 0.6, num_seeds: int = 200
) -> Population:
    """Right or wrong: each item has a difficulty, each seed a level, each pair its own luck.

    ``seed_std``: standard deviation of the seeds' accuracy in percentage points.
    """
    count = 20_000
    level, scale = float(norm.ppf(mean)), float(np.hypot(2, 1))
    shift = seed_std / 100 / float(norm.pdf(level)) * scale * rng.standard_normal((num_seeds, 1))
    hard, luck = 2 * rng.standard_normal(count), rng.standard_normal((num_seeds, count))
    right = level * scale + shift + hard + luck > 0
    outcomes = (100 * right).astype(np.float32)
    return _make_population(f"top-1 {100 * mean:.0f} %, {items:,} images, seeds +-{seed_std}", outcomes, items)


def simulate_auc(rng: np.random.Generator, items: int = 280, num_seeds: int = 200) -> Population:
    """Sequences between lost at once and followed to the end; seeds differ by half a point."""
    count = 20_000
    each = 0.5 + 1.3 * rng.standard_normal(count) + 0.45 * rng.standard_normal((num_seeds, count))
    outcomes = 100 * expit(each + 0.03 * rng.standard_normal((num_seeds, 1)))
    return _make_population(f"AUC, {items} sequences", outcomes.astype(np.float32), items)


def simulate_miou(
    rng: np.random.Generator, items: int = 233, classes: int = 11, rare: float = 0.6, images: int = 4_000
) -> Population:
    """Images hold some of the classes in very unequal shares; pixels are missed and go to the classes around."""
    count, kinds, pixels = images, 12, 10_000
    share = np.exp(-rare * np.arange(classes) * 8 / classes)
    present = rng.random((count, classes)) < 0.1 + 0.85 * share
    present[:, 0] = True
    mass = rng.gamma(0.8, share, (count, classes)) * present + 1e-9 * present
    truth = np.round(pixels * mass / mass.sum(1, keepdims=True))
    skill = 1.2 * rng.standard_normal(classes) + 0.8
    found = np.empty((kinds, count, 3, classes), np.float32)
    image = 0.8 * rng.standard_normal((count, classes))
    for seed in range(kinds):
        chance = expit(
            skill + 0.05 * rng.standard_normal(classes) + image + 0.5 * rng.standard_normal((count, classes))
        )
        hit = np.round(truth * chance)
        around = np.where(present, share, 0.05 * share)
        around /= around.sum(1, keepdims=True)
        stray = np.round((truth - hit).sum(1, keepdims=True) * around)
        found[seed] = np.stack([hit, hit + stray, truth], 1)
    totals = found.sum(1, dtype=np.float64)
    name = f"mIoU, {classes} classes, {items:,} images"
    return Population(name, found, items, scores.AREA_METRICS["mIoU"](totals), _make_miou_sample, _resample_miou)


def _make_population(name: str, outcomes: Outcomes, items: int) -> Population:
    truth = np.asarray(outcomes.mean(1, dtype=np.float64))
    return Population(name, outcomes, items, truth, sample_from_values, _resample_mean)


def _resample_mean(drawn: Outcomes, counts: Outcomes) -> FloatArray:
    return np.asarray(drawn.astype(np.float64) @ counts.T / drawn.shape[1])


def _make_miou_sample(drawn: Outcomes) -> MetricSample:
    return sample_from_areas(list(drawn.astype(np.int64)), "mIoU")


def _resample_miou(drawn: Outcomes, counts: Outcomes) -> FloatArray:
    totals = [counts.astype(np.float64) @ each.reshape(len(each), -1).astype(np.float64) for each in drawn]
    return np.stack([scores.AREA_METRICS["mIoU"](each.reshape(len(counts), *drawn.shape[2:])) for each in totals])


class CoverageRates(NamedTuple):
    """Shares of repetitions whose interval held the truth, in percent, and the mean width of ours."""

    ours: float
    percentile: float
    width: float


def measure_coverage(
    population: Population, seeds: int, repetitions: int, rng: np.random.Generator, resamples: int = 300
) -> CoverageRates:
    """Draw, and count; without resamples the plain bootstrap is left out."""
    places = rng.integers(population.num_items, size=(resamples, population.num_items))
    counts = np.array([np.bincount(row, minlength=population.num_items) for row in places])
    ours = plain = 0
    width = 0.0
    for _ in range(repetitions):
        chosen = rng.integers(len(population.outcomes), size=seeds)
        items = rng.integers(population.outcomes.shape[1], size=population.num_items)
        drawn = population.outcomes[chosen[:, None], items]
        truth = float(population.truth[chosen[0]] if seeds == 1 else population.truth.mean())
        found = compute_interval(population.make_sample(drawn))
        ours += found.low <= truth <= found.high
        width += found.high - found.low
        if resamples:
            draws = population.resample(drawn, counts)
            picked = rng.integers(seeds, size=(resamples, seeds))
            low, high = np.percentile(draws[picked, np.arange(resamples)[:, None]].mean(1), (2.5, 97.5))
            plain += low <= truth <= high
    return CoverageRates(100 * ours / repetitions, 100 * plain / repetitions, width / repetitions)


def iter_populations(rng: np.random.Generator) -> Iterator[Population]:
    """The cases of the table."""
    yield simulate_top1(rng)
    yield simulate_top1(rng, 0.75, 1000, 2.0)
    yield simulate_top1(rng, 0.97, 359, 0.3)
    yield simulate_auc(rng)
    yield simulate_miou(rng)
    yield simulate_miou(rng, 2000, 30)


def main(repetitions: int) -> None:
    """Write the table, one line a case and number of seeds."""
    rng = np.random.default_rng(0)
    sys.stdout.write("| case | seeds | covered | plain percentile bootstrap | mean width |\n|---|--:|--:|--:|--:|\n")
    for world in iter_populations(rng):
        for seeds in (1, 2, 3, 5):
            found = measure_coverage(world, seeds, repetitions, rng)
            line = f"| {world.name} | {seeds} | {found.ours:.1f} % | {found.percentile:.1f} % | {found.width:.2f} |\n"
            sys.stdout.write(line)
            sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
