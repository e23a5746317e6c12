"""What a grid of 40 settings costs a probe against one setting, the features of 2,000 images included."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.perf.line import SpeedRatio

IMAGES, MEASURED, WIDTH, CLASSES, SETTINGS = 2000, 128, 192, 100, 40
PATH_IMAGES = 8000


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

    lines = [time_path()]
    extraction = time_best(extract_features) * IMAGES / MEASURED
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


def time_path() -> SpeedRatio:
    """A grid of regularizations against scikit-learn, which also starts each fit from the one before.

    scikit-learn stops at the same largest entry of the gradient; its iterates are those of L-BFGS without scaling.
    """
    from sklearn.linear_model import LogisticRegression

    from classification.probes.linear import fit_logistic_path, fit_standardizer
    from classification.recipe import LogGrid

    train, _ = make_features(PATH_IMAGES)
    inputs = fit_standardizer(train.values).transform(train.values)
    strengths = LogGrid(low=1e-5, high=1e2, count=29).values()
    tolerance, iterations = 1e-5, 2000
    began = time.process_time()
    ours = list(fit_logistic_path(inputs, train.labels, strengths, tolerance, iterations))
    own_seconds = time.process_time() - began
    solver = LogisticRegression(tol=tolerance, max_iter=iterations, warm_start=True)
    wide = inputs.astype(np.float64)
    began = time.process_time()
    theirs = []
    for strength in strengths:
        solver.set_params(C=strength).fit(wide, train.labels)
        theirs.append((solver.coef_.copy(), solver.intercept_.copy()))
    their_seconds = time.process_time() - began
    for fit, other in zip(ours, theirs, strict=True):
        found, wanted = (
            compute_objective(wide, train.labels, *solution, fit.inverse_strength)
            for solution in ((fit.weights, fit.intercepts), other)
        )
        if found > wanted + 1e-5:
            raise AssertionError(f"C={fit.inverse_strength:g}: {found} is above scikit-learn's {wanted}")
    return SpeedRatio(
        f"29 strengths on {PATH_IMAGES:,} x {WIDTH}, {CLASSES} classes / scikit-learn",
        own_seconds,
        their_seconds,
        "s of CPU",
    )


def compute_objective(
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    intercepts: NDArray[np.float64],
    inverse_strength: float,
) -> float:
    """Mean cross-entropy plus |weights|^2 / (2 C n), by scipy."""
    from scipy.special import logsumexp

    logits = features @ weights.T + intercepts
    entropy = logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]
    return float(entropy.mean() + np.square(weights).sum() / (2 * inverse_strength * len(labels)))


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


def make_features(images: int = IMAGES) -> tuple[LabeledFeatures, LabeledFeatures]:
    """Classes that overlap, in features whose variance falls over the axes as a power, as a backbone's does."""
    random = np.random.default_rng(0)
    scale = np.arange(1, WIDTH + 1) ** -0.75
    axes = np.linalg.qr(random.normal(size=(WIDTH, WIDTH)))[0]
    centres = random.normal(size=(CLASSES, WIDTH))
    parts = []
    for count in (images, images // 4):
        labels = random.integers(0, CLASSES, count)
        labels[:CLASSES] = np.arange(CLASSES)
        values = (centres[labels] + 1.5 * random.normal(size=(count, WIDTH))) * scale @ axes
        parts.append(LabeledFeatures(values.astype(np.float32), labels))
    return parts[0], parts[1]
