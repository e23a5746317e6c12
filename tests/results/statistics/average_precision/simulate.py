"""Made-up matches of large populations of images: ``python -m tests.results.statistics.average_precision.simulate``.

It measures how often the 95 % interval of AP holds the AP of the whole population; docs/explanation/statistics.md has
the table.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from foundation.array_types import FloatArray, IntArray
from results.statistics.average_precision.match_tables import NUM_AREAS, NUM_THRESHOLDS, MatchTable
from results.statistics.average_precision.sample import sample_from_precisions
from results.statistics.average_precision.scores import compute_detection_score, compute_without_groups
from results.statistics.estimates import compute_interval
from results.statistics.group_jackknife import assign_groups


class World(NamedTuple):
    """A population of images, and how many of them are a test set."""

    name: str
    matches: MatchTable
    num_items: int


def draw_images(table: MatchTable, images: IntArray) -> MatchTable:
    """Return the matches of whole images, in the given order; an image that is named twice counts twice."""
    rows, places = _find_rows(table.images, images)
    objects, object_places = _find_rows(table.object_images, images)
    # sorted by label and image; stable, so that detections keep their order
    order = np.lexsort((places, table.labels[rows]))
    object_order = np.lexsort((object_places, table.object_labels[objects]))
    rows, objects = rows[order], objects[object_order]
    return MatchTable(
        len(images),
        *(table.labels[rows], places[order], table.scores[rows], table.found[rows], table.wrong[rows]),
        *(table.object_labels[objects], object_places[object_order], table.object_counts[objects]),
    )


def _find_rows(owners: IntArray, images: IntArray) -> tuple[IntArray, IntArray]:
    by_image = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[by_image], images)
    sizes = np.searchsorted(owners[by_image], images, "right") - starts
    offsets = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return by_image[np.repeat(starts, sizes) + offsets], np.repeat(np.arange(len(images)), sizes)


def simulate_world(rng: np.random.Generator, classes: int, items: int, rare: float, count: int = 4_000) -> World:
    """Make a population: classes of unequal frequency and skill, images of unequal difficulty, objects in clusters.

    Args:
        rng: source of chance.
        classes: number of classes.
        items: images of a test set.
        rare: how much rarer the last class is than the first, as the exponent of e.
        count: images of the population.
    """
    present = rng.random((count, classes)) < 0.5 * np.exp(-rare * np.arange(classes) / max(classes - 1, 1))
    objects = present * (1 + rng.poisson(1.0, present.shape))
    image, label = np.nonzero(objects)
    counts = objects[image, label]
    easy, skill = 0.8 * rng.standard_normal(count), 0.8 * rng.standard_normal(classes)
    # each object has at most one detection, which passes some of the thresholds
    owner, kind = np.repeat(image, counts), np.repeat(label, counts)
    level = easy[owner] + skill[kind] + 0.7 * rng.standard_normal(len(owner))
    passed = np.where(level > -1, np.round(NUM_THRESHOLDS * expit(level + rng.standard_normal(len(owner)))), 0)
    is_found = passed > 0
    stray_image, stray_label = np.nonzero(rng.poisson(0.05 + 0.5 * present))
    images, labels = np.r_[owner[is_found], stray_image], np.r_[kind[is_found], stray_label]
    bits = np.r_[(1 << passed[is_found].astype(np.int64)) - 1, np.zeros(len(stray_image), np.int64)]
    scores = expit(
        np.r_[level[is_found], rng.standard_normal(len(stray_image)) - 1] + 0.5 * rng.standard_normal(len(images))
    )
    order = np.lexsort((-scores, images, labels))
    found = np.zeros((len(images), NUM_AREAS), np.uint16)
    found[:, 0] = bits[order]
    wrong = np.zeros_like(found)
    wrong[:, 0] = (1 << NUM_THRESHOLDS) - 1 - found[:, 0]
    by_label = np.lexsort((image, label))
    totals = np.zeros((len(image), NUM_AREAS), np.int64)
    totals[:, 0] = counts[by_label]
    matches = MatchTable(
        count, labels[order], images[order], scores[order], found, wrong, label[by_label], image[by_label], totals
    )
    return World(f"AP, {classes} classes, {items:,} images", matches, items)


def measure_coverage(
    world: World, repetitions: int, rng: np.random.Generator, score: str = "AP"
) -> tuple[float, float]:
    """Return how many of the intervals hold the truth, in percent, and their mean width."""
    truth = compute_detection_score(world.matches, score)
    assert truth is not None
    held, width = 0, 0.0
    names = [str(item) for item in range(world.num_items)]
    groups = assign_groups(names)
    for _ in range(repetitions):
        drawn = draw_images(world.matches, rng.integers(world.matches.num_images, size=world.num_items))
        value: FloatArray = np.array([compute_detection_score(drawn, score)], np.float64)
        sample = sample_from_precisions(value, compute_without_groups(drawn, score, groups)[None], names)
        found = compute_interval(sample)
        held += found.low <= truth <= found.high
        width += found.high - found.low
    return 100 * held / repetitions, width / repetitions


def write_coverage_table(repetitions: int) -> None:
    """Write one line per case."""
    rng = np.random.default_rng(0)
    sys.stdout.write("| case | covered | mean width |\n|---|--:|--:|\n")
    for classes, items, rare in ((1, 200, 0.0), (12, 50, 1.0), (12, 300, 2.0), (30, 100, 4.0), (30, 500, 4.0)):
        world = simulate_world(rng, classes, items, rare)
        held, width = measure_coverage(world, repetitions, rng)
        sys.stdout.write(f"| {world.name} | {held:.1f} % | {width:.2f} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    write_coverage_table(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
