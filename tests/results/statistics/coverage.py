"""How often a nominal 95 % interval holds the truth, by simulation: ``python -m tests.results.statistics.coverage``.

Worlds whose truth is known: a large population of items, seen by a population of training seeds. A repetition draws
S seeds and n items from them, and the interval is asked for the mean over all seeds and items; with one seed, for that
seed's mean over all items, because its claim is conditional on the seed. The plain percentile bootstrap over
seeds x items stands beside it for comparison. Then boards of equal rows are ranked, see ``board_errors``. The thorough
run writes the tables of docs/explanation/statistics.md.
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
from tests.results.statistics.board_errors import (
    BOARD_WORLDS,
    BoardWorld,
    SeedSpread,
    measure_board_errors,
    measure_board_power,
)

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
    return _make_population(f"top-1 {100 * mean:g} %, {items:,} images, seeds +-{seed_std}", outcomes, items)


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


def simulate_bad_miou(
    rng: np.random.Generator, items: int = 100, classes: int = 150, images: int = 3_000
) -> Population:
    """A run that knows nothing: it finds few pixels of the six true classes, and names three stray ones an image.

    The more images, the more stray classes count in the mean, so the score of a few images is far too high.
    """
    kinds, real, pixels = 6, 6, 10_000
    truth = np.zeros((images, classes))
    truth[:, :real] = np.round(pixels * rng.dirichlet(np.ones(real), images))
    often = 1 / np.arange(1, classes - real + 1)
    found = np.empty((kinds, images, 3, classes), np.float32)
    for seed in range(kinds):
        hit = np.zeros_like(truth)
        seen = rng.beta(1, 3, (images, real)) * (rng.random((images, real)) < 0.4)
        hit[:, :real] = np.round(truth[:, :real] * seen)
        around, named = np.zeros_like(truth), real + rng.permutation(classes - real)
        missed = np.round((truth - hit).sum(1) / 3)
        for _ in range(3):
            chosen = named[rng.choice(classes - real, images, p=often / often.sum())]
            np.add.at(around, (np.arange(images), chosen), missed)
        found[seed] = np.stack([hit, hit + around, truth], 1)
    name = f"mIoU of a useless run, {items} images"
    truth_by_seed = scores.AREA_METRICS["mIoU"](found.sum(1, dtype=np.float64))
    return Population(name, found, items, truth_by_seed, _make_miou_sample, _resample_miou)


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


def iter_populations(rng: np.random.Generator) -> Iterator[tuple[Population, tuple[int, ...]]]:
    """The cases of the table, each with its numbers of seeds."""
    yield simulate_top1(rng), (1, 2, 3, 5)
    yield simulate_top1(rng, 0.75, 1000, 2.0), (1, 2, 3, 5)
    yield simulate_top1(rng, 0.97, 359, 0.3), (1, 2, 3, 5)
    yield from iter_near_perfect(rng)
    yield simulate_auc(rng), (1, 2, 3, 5)
    yield simulate_miou(rng), (1, 2, 3, 5)
    yield simulate_miou(rng, 2000, 30), (1, 2, 3, 5)
    yield simulate_bad_miou(rng), (1, 3)


def iter_near_perfect(rng: np.random.Generator, num_seeds: int = 200) -> Iterator[tuple[Population, tuple[int, ...]]]:
    """Cases in which hardly an item is wrong."""
    yield simulate_top1(rng, 0.97, 24, 0.3, num_seeds), (1, 2, 3, 5, 10)
    yield simulate_top1(rng, 0.97, 100, 0.3, num_seeds), (2, 5, 10)
    yield simulate_top1(rng, 0.995, 359, 0.1, num_seeds), (1, 2, 3, 5)
    yield simulate_top1(rng, 0.995, 24, 0.1, num_seeds), (2, 5)


def write_coverage_table(repetitions: int) -> None:
    """Write one line per case and number of seeds."""
    rng = np.random.default_rng(0)
    _write_line("| case | seeds | covered | plain percentile bootstrap | mean width |\n|---|--:|--:|--:|--:|")
    for world, numbers in iter_populations(rng):
        for seeds in numbers:
            found = measure_coverage(world, seeds, repetitions, rng)
            _write_line(
                f"| {world.name} | {seeds} | {found.ours:.1f} % | {found.percentile:.1f} % | {found.width:.2f} |"
            )


def write_board_tables(boards: int) -> None:
    """Write how many boards of equal rows have two rows ranked apart, then how many pairs that differ are."""
    rng = np.random.default_rng(0)
    spreads: tuple[SeedSpread, ...] = ("equal", "uneven", "one row of 4 points")
    _write_line("\n| case | spread of seeds | rows | 2 seeds | 3 seeds | 5 seeds |\n|---|---|--:|--:|--:|--:|")
    for world in BOARD_WORLDS:
        for spread in spreads if world is BOARD_WORLDS[0] else spreads[:1]:
            for rows in (2, 10, 30):
                each = [measure_board_errors(world, rows, seeds, boards, rng, spread) for seeds in (2, 3, 5)]
                _write_line(
                    f"| {world.name} | {spread} | {rows} | " + " | ".join(f"{rate:.1f} %" for rate in each) + " |"
                )
    _write_line(
        "\n| rows | spread of seeds | 2 and 10 seeds in turn | one row of 2, the others 10 |\n|--:|---|--:|--:|"
    )
    for rows in (2, 10, 30):
        for spread in spreads:
            numbers = ((2, 10), (2, *[10] * (rows - 1)))
            each = [measure_board_errors(BOARD_WORLDS[0], rows, seeds, boards, rng, spread) for seeds in numbers]
            _write_line(f"| {rows} | {spread} | " + " | ".join(f"{rate:.1f} %" for rate in each) + " |")
    _write_line("\n| halves of a board differ by | rows | 2 seeds | 3 seeds | 5 seeds |\n|---|--:|--:|--:|--:|")
    for points in (2.0, 5.0, 10.0):
        for rows in (2, 10, 30):
            each = [
                measure_board_power(BoardWorld(1000, 0.75), rows, seeds, boards // 5, rng, points)
                for seeds in (2, 3, 5)
            ]
            _write_line(f"| {points:g} points | {rows} | " + " | ".join(f"{rate:.0f} %" for rate in each) + " |")


def _write_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    write_coverage_table(asked)
    write_board_tables(asked // 2)
