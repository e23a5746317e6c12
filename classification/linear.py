"""Protocol ``linear``: L2 logistic regression on frozen features, its strength chosen on val, test read once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits
from torch import Tensor

from classification.frozen import Frozen, frozen_outcome, scored
from classification.metrics import top1
from classification.recipe import LinearRecipe
from engine.progress import PLAIN_EVERY_SECONDS, say
from engine.task import Outcome, Task
from results.record import Selection

CELLS = 1 << 24
"""Logits that exist at once while fitting: 128 MiB."""


class Standard(NamedTuple):
    """Mean and standard deviation of the training features, (C,) each; a constant feature has deviation 1."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def of(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (n, C) with these taken out."""
        return np.asarray((values - self.mean) / self.std, np.float32)


class Fit(NamedTuple):
    """A fitted classifier: weights (classes, C), intercepts (classes,), and whether the solver was done."""

    strength: float
    weights: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    converged: bool

    def chances(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Class probabilities (n, classes) of standardised features (n, C)."""
        logits = values.astype(np.float64) @ self.weights.T + self.intercepts
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True))


class Choice(NamedTuple):
    """The fit chosen on val, its val top-1 in percent, and the number of fits it was chosen from."""

    fit: Fit
    value: float
    candidates: int


def linear(frozen: Frozen, recipe: LinearRecipe, task: Task) -> Outcome:
    """Fit on train, choose the strength on val, read test once with the classifier chosen."""
    began = time.monotonic()
    train, val = frozen.features("train"), frozen.features("val")
    extracted = time.monotonic()
    standard = standardise(train.values)
    inputs = standard.of(train.values)
    grid = recipe.grid.values()
    fits = fit_path(
        inputs, train.labels, grid, recipe.tolerance, recipe.max_iterations, frozen.device, label=frozen.label
    )
    choice = choose(fits, standard.of(val.values), val.labels)
    _warn(choice, grid, frozen.label)
    fitted = time.monotonic()
    test = frozen.features("test")
    chances = choice.fit.chances(standard.of(test.values))
    rows = scored(test.labels, chances.argmax(1).tolist(), chances.max(1).tolist())
    selection = Selection(
        split="val",
        metric="top1",
        candidates=choice.candidates,
        chosen=f"C={choice.fit.strength:.6g}",
        value=choice.value,
    )
    phases = {
        "features": extracted - began,
        "fit_and_choose": fitted - extracted,
        "test": time.monotonic() - fitted,
    }
    return frozen_outcome(frozen, task, rows, selection, phases)


def standardise(values: NDArray[np.float32]) -> Standard:
    """Mean and standard deviation of features (n, C), over the n; in float64."""
    mean = values.mean(0, dtype=np.float64)
    std = np.asarray(values.std(0, dtype=np.float64))
    # what differs by rounding only is constant; scaled up it would be noise of unit size
    constant = std <= 1e-7 * np.abs(mean)
    return Standard(np.asarray(mean), np.where(constant, 1.0, std))


def fit_path(
    values: NDArray[np.float32],
    labels: NDArray[np.int64],
    grid: Sequence[float],
    tolerance: float,
    max_iterations: int,
    device: str = "cpu",
    label: str = "linear",
) -> Iterator[Fit]:
    """Fit every strength, the strongest first, each from the solution of the one before.

    The minimum of ``C * sum of cross-entropies + |weights|^2 / 2`` (intercepts free), as scikit-learn's
    multinomial ``LogisticRegression(C=C)``; the problem is convex, so the start moves the time and not the solution.

    Args:
        values: standardised features, (n, C).
        labels: classes, (n,).
        grid: values of C, rising.
        tolerance: largest entry of the gradient of the objective / (C n) at which a fit is done.
        max_iterations: of L-BFGS, for each strength.
        device: where the logits are computed, in float64.
        label: for the progress lines.
    """
    classes, width = int(labels.max()) + 1, values.shape[1]
    objective = _Objective(torch.from_numpy(values).to(device), torch.from_numpy(np.array(labels)).to(device), classes)
    point = np.zeros(classes * (width + 1))
    spoke = time.monotonic()
    for number, strength in enumerate(grid, 1):
        # scipy's small vector products on several BLAS threads fight with torch's: 16 times slower on two cores
        with threadpool_limits(1, "blas"):
            solution = minimize(
                objective,
                point,
                args=(1 / (strength * len(values)),),
                method="L-BFGS-B",
                jac=True,
                options={"gtol": tolerance, "ftol": 0.0, "maxiter": max_iterations, "maxfun": 4 * max_iterations},
            )
        point = solution.x
        if time.monotonic() - spoke > PLAIN_EVERY_SECONDS:
            spoke = time.monotonic()
            say(f"{label}: {number}/{len(grid)} strengths fitted")
        table = point.reshape(classes, width + 1)
        converged = float(np.abs(solution.jac).max()) <= tolerance
        yield Fit(strength, table[:, :width].copy(), table[:, width].copy(), converged)


def choose(fits: Iterator[Fit], values: NDArray[np.float32], labels: NDArray[np.int64]) -> Choice:
    """The fit with the best top-1 on val; of equals the one with the stronger regularisation (the earlier).

    Args:
        fits: the strongest regularisation first.
        values: standardised val features, (n, C).
        labels: val classes, (n,).
    """
    best: tuple[Fit, float] | None = None
    count = 0
    for fit in fits:
        count += 1
        value = top1(labels, fit.chances(values).argmax(1))
        if best is None or value > best[1]:
            best = fit, value
    assert best is not None, "a grid has one strength or more"
    return Choice(*best, count)


def _warn(choice: Choice, grid: Sequence[float], label: str) -> None:
    if not choice.fit.converged:
        say(f"{label}: the fit chosen is not at its optimum; raise max_iterations")
    if len(grid) > 1 and choice.fit.strength in (grid[0], grid[-1]):
        say(f"{label}: the best C {choice.fit.strength:g} is at the edge of the grid; widen grid.low or grid.high")


class _Objective:
    """Mean cross-entropy plus ``penalty * |weights|^2 / 2`` with its gradient; logits exist for a block of rows."""

    def __init__(self, values: Tensor, labels: Tensor, classes: int) -> None:
        self.values, self.labels, self.classes = values, labels, classes
        self.block = max(1, CELLS // max(classes, values.shape[1]))

    def __call__(self, point: NDArray[np.float64], penalty: float) -> tuple[float, NDArray[np.float64]]:
        table = torch.from_numpy(point).to(self.values.device).reshape(self.classes, -1)
        weights, intercepts = table[:, :-1], table[:, -1]
        gradient = torch.zeros_like(table)
        loss, count = 0.0, len(self.values)
        for start in range(0, count, self.block):
            rows = self.values[start : start + self.block].double()
            labels = self.labels[start : start + self.block, None]
            logs = (rows @ weights.T + intercepts).log_softmax(1)
            loss -= float(logs.gather(1, labels).sum())
            slope = logs.exp_()
            slope.scatter_add_(1, labels, torch.full_like(labels, -1, dtype=slope.dtype))
            gradient[:, :-1] += slope.T @ rows
            gradient[:, -1] += slope.sum(0)
        gradient /= count
        gradient[:, :-1] += penalty * weights
        value = loss / count + penalty / 2 * float((weights * weights).sum())
        return value, gradient.reshape(-1).cpu().numpy()
