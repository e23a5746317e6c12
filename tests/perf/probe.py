"""What a grid of 40 settings costs a probe against one setting, the features of 2,000 images included."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.perf.line import Line

IMAGES, MEASURED, WIDTH, CLASSES, SETTINGS = 2000, 128, 192, 100, 40


class Sample(NamedTuple):
    """Features (n, C) float32 and labels (n,)."""

    values: NDArray[np.float32]
    labels: NDArray[np.int64]


def suite() -> list[Line]:
    """L-BFGS and SGD heads; the extraction is timed on a part of the images and counted for all of them."""
    from classification.probes.linear import choose, fit_path, standardise
    from classification.probes.linear_sgd import choose_head, fit_heads
    from classification.recipe import Grid, HeadOptimizer

    train, val = sample()
    standard = standardise(train.values)
    inputs, judged = standard.of(train.values), standard.of(val.values)
    strengths = Grid(low=1e-5, high=1e2, count=SETTINGS).values()
    rates = Grid(low=0.1, high=100.0, count=SETTINGS)
    optimizer = HeadOptimizer(name="LARS", lr=rates, batch_size=16384)

    def regressions(grid: list[float]) -> None:
        choose(fit_path(inputs, train.labels, grid, 1e-5, 2000), judged, val.labels)

    def heads(grid: list[float]) -> None:
        choose_head(fit_heads(train.values, train.labels, optimizer, grid, seed=0), val.values, val.labels)

    extraction = seconds(extract) * IMAGES / MEASURED
    lines = []
    middle = SETTINGS // 2
    for name, solve, grid in (("L-BFGS", regressions, strengths), ("LARS", heads, rates.values())):
        many, one = seconds(lambda: solve(grid)), seconds(lambda: solve([grid[middle]]))  # noqa: B023
        lines += [
            Line(f"{name} probe with features, {SETTINGS} settings / 1", extraction + many, extraction + one, "s"),
            Line(f"{name} probe without features, {SETTINGS} settings / 1", many, one, "s"),
        ]
    return lines


def seconds(work: Callable[[], None], runs: int = 3) -> float:
    """The shortest of some wall times."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def extract() -> None:
    """Features of some images of 224 px by a random model in DeiT-Tiny's shape."""
    import torch

    from backbones.create import create_backbone
    from backbones.features import pooled
    from backbones.weights import RANDOM

    model = create_backbone("deit_tiny", checkpoint=RANDOM, num_classes=0, global_pool="token").model.eval()
    images = torch.zeros(64, 3, 224, 224)
    with torch.inference_mode():
        for _ in range(MEASURED // 64):
            pooled(model, images, "token")


def sample() -> tuple[Sample, Sample]:
    """Classes that overlap, in features whose variance falls over the axes as a power, as a backbone's does."""
    random = np.random.default_rng(0)
    scale = np.arange(1, WIDTH + 1) ** -0.75
    axes = np.linalg.qr(random.normal(size=(WIDTH, WIDTH)))[0]
    centres = random.normal(size=(CLASSES, WIDTH))
    parts = []
    for count in (IMAGES, IMAGES // 4):
        labels = random.integers(0, CLASSES, count)
        labels[:CLASSES] = np.arange(CLASSES)
        values = (centres[labels] + 1.5 * random.normal(size=(count, WIDTH))) * scale @ axes
        parts.append(Sample(values.astype(np.float32), labels))
    return parts[0], parts[1]
