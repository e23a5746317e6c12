"""What a grid of 40 settings costs a probe against one setting, the features of 2,000 images included."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.perf.line import SpeedRatio

IMAGES, MEASURED, WIDTH, CLASSES, SETTINGS = 2000, 128, 192, 100, 40


class LabeledFeatures(NamedTuple):
    """Features (n, C) float32 and labels (n,)."""

    values: NDArray[np.float32]
    labels: NDArray[np.int64]


def run_suite() -> list[SpeedRatio]:
    """L-BFGS and SGD heads; the extraction is timed on a part of the images and counted for all of them."""
    from classification.probes.linear import fit_logistic_path, fit_standardizer, select_fit
    from classification.probes.linear_sgd import select_head, train_heads
    from classification.recipe import HeadOptimizerConfig, LogGrid

    train, val = make_features()
    standard = fit_standardizer(train.values)
    inputs, judged = standard.transform(train.values), standard.transform(val.values)
    strengths = LogGrid(low=1e-5, high=1e2, count=SETTINGS).values()
    rates = LogGrid(low=0.1, high=100.0, count=SETTINGS)
    optimizer = HeadOptimizerConfig(name="LARS", lr=rates, batch_size=16384)

    def regressions(grid: list[float]) -> None:
        select_fit(fit_logistic_path(inputs, train.labels, grid, 1e-5, 2000), judged, val.labels)

    def heads(grid: list[float]) -> None:
        select_head(train_heads(train.values, train.labels, optimizer, grid, seed=0), val.values, val.labels)

    extraction = time_best(extract_features) * IMAGES / MEASURED
    lines = []
    middle = SETTINGS // 2
    for name, solve, grid in (("L-BFGS", regressions, strengths), ("LARS", heads, rates.values())):
        many, one = time_best(lambda: solve(grid)), time_best(lambda: solve([grid[middle]]))  # noqa: B023
        lines += [
            SpeedRatio(
                f"{name} probe with features, {SETTINGS} settings / 1", extraction + many, extraction + one, "s"
            ),
            SpeedRatio(f"{name} probe without features, {SETTINGS} settings / 1", many, one, "s"),
        ]
    return lines


def time_best(work: Callable[[], None], runs: int = 3) -> float:
    """The shortest of some wall times."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def extract_features() -> None:
    """Features of some images of 224 px by a random model in DeiT-Tiny's shape."""
    import torch

    from backbones.create import create_backbone
    from backbones.features import extract_pooled
    from backbones.weights import RANDOM_INIT

    model = create_backbone("deit_tiny", checkpoint=RANDOM_INIT, num_classes=0, global_pool="token").model.eval()
    images = torch.zeros(64, 3, 224, 224)
    with torch.inference_mode():
        for _ in range(MEASURED // 64):
            extract_pooled(model, images, "token")


def make_features() -> tuple[LabeledFeatures, LabeledFeatures]:
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
        parts.append(LabeledFeatures(values.astype(np.float32), labels))
    return parts[0], parts[1]
