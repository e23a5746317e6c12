"""Protocol ``linear``: L2 logistic regression on frozen features, its strength chosen on val, test read once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits
from torch import Tensor

from classification.metrics import top1
from classification.probes.feature_extraction import Frozen, frozen_outcome, scored
from classification.recipe import LinearRecipe
from engine.progress import say
from engine.progress_bar import PLAIN_EVERY_SECONDS
from engine.task import Outcome, Task
from results.records.record import Selection

CELLS = 1 << 24
"""Logits that exist at once while fitting: 128 MiB."""

ROWS = 1 << 16
"""Features that are in float64 at once."""


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
    """Fit on train, choose the strength on val, fit it on both if the recipe says so, read test once."""
    began = time.monotonic()
    train, val = frozen.train(), frozen.features("val")
    extracted = time.monotonic()
    standard = standardise(train.values)
    inputs = standard.of(train.values)
    grid = recipe.grid.values()
    fits = fit_path(
        inputs, train.labels, grid, recipe.tolerance, recipe.max_iterations, frozen.device, label=frozen.label
    )
    choice = choose(fits, standard.of(val.values), val.labels)
    _warn(choice, grid, frozen.label)
    final = choice.fit
    if recipe.train_on == "train+val":
        train = frozen.train(recipe.train_on)
        standard = standardise(train.values)
        strength = [final.strength]
        inputs = standard.of(train.values)
        (final,) = fit_path(
            inputs, train.labels, strength, recipe.tolerance, recipe.max_iterations, frozen.device, label=frozen.label
        )
    fitted = time.monotonic()
    test = frozen.features("test")
    rows = scored(test.labels, final.chances(standard.of(test.values)))
    selection = Selection(
        split="val",
        metric="top1",
        candidates=choice.candidates,
        chosen=f"C={choice.fit.strength:.6g}, on {recipe.train_on}",
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
    """Fit every strength, the strongest first, each from where the solutions before it point to.

    The minimum of ``C * sum of cross-entropies + |weights|^2 / 2`` (intercepts free), as scikit-learn's
    multinomial ``LogisticRegression(C=C)``; the problem is convex, so the start moves the time and not the solution.
    So do the variables: along the features' principal axes, each divided by its curvature, L-BFGS needs a half.

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
    axes, variances = _principal_axes(values)
    rotated = torch.from_numpy(_rotate(values, axes)).to(device)
    objective = _Objective(rotated, torch.from_numpy(np.array(labels)).to(device), classes)
    points: list[NDArray[np.float64]] = []
    began = spoke = time.monotonic()
    for number, strength in enumerate(grid, 1):
        penalty = 1 / (strength * len(values))
        # the curvature along each axis while all classes are equally likely; the intercept's comes last
        scale = 1 / np.sqrt(np.append(variances / classes + penalty, 1 / classes))
        start = _ahead(points, grid[:number]) if points else np.zeros((classes, width + 1))
        point, worst = _minimise(objective, start, penalty, scale, axes, tolerance, max_iterations)
        points = [*points[-1:], point]
        if time.monotonic() - spoke > PLAIN_EVERY_SECONDS:
            spoke = time.monotonic()
            left = (spoke - began) / number * (len(grid) - number)
            say(f"{label}: {number}/{len(grid)} strengths fitted, {left:.0f} s left")
        yield Fit(strength, point[:, :width] @ axes.T, point[:, width].copy(), worst <= tolerance)


def _principal_axes(values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Orthogonal axes (C, C), one a column, and the features' mean square along each (C,)."""
    total = np.zeros((values.shape[1],) * 2)
    for start in range(0, len(values), ROWS):
        rows = values[start : start + ROWS].astype(np.float64)
        total += rows.T @ rows
    variances, axes = np.linalg.eigh(total / len(values))
    return axes, np.maximum(variances, 0.0)


def _rotate(values: NDArray[np.float32], axes: NDArray[np.float64]) -> NDArray[np.float32]:
    rotated = np.empty_like(values)
    for start in range(0, len(values), ROWS):
        rotated[start : start + ROWS] = values[start : start + ROWS] @ axes
    return rotated


def _ahead(points: Sequence[NDArray[np.float64]], grid: Sequence[float]) -> NDArray[np.float64]:
    """Where the line through the last two solutions, over the logarithm of C, is at the last of the grid."""
    if len(points) == 1:
        return points[0]
    before, last, now = np.log(grid[-3:])
    return np.asarray(points[1] + (points[1] - points[0]) * (now - last) / (last - before))


def _minimise(
    objective: _Objective,
    start: NDArray[np.float64],
    penalty: float,
    scale: NDArray[np.float64],
    axes: NDArray[np.float64],
    tolerance: float,
    max_iterations: int,
) -> tuple[NDArray[np.float64], float]:
    """L-BFGS on variables divided by ``scale``; the solution and the largest entry of its gradient.

    The stop criterion is on the gradient by the features themselves, neither scaled nor rotated.
    """

    newest = np.empty(0)  # gradient at the point asked for last; a line search ends with the point it accepts

    def scaled(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal newest
        value, gradient = objective((point.reshape(start.shape) * scale).ravel(), penalty)
        newest = (gradient.reshape(start.shape) * scale).ravel()
        return value, newest

    def worst(gradient: NDArray[np.float64]) -> float:
        plain = gradient.reshape(start.shape) / scale
        return float(max(np.abs(plain[:, :-1] @ axes.T).max(), np.abs(plain[:, -1]).max()))

    def done(intermediate_result: Any) -> None:
        if worst(newest) <= tolerance:
            raise StopIteration

    first = (start / scale).ravel()
    left = worst(scaled(first)[1])
    if left <= tolerance:
        return start, left
    options = {"gtol": 0.0, "ftol": 0.0, "maxiter": max_iterations, "maxfun": 4 * max_iterations}
    # scipy's small vector products on several BLAS threads fight with torch's: 16 times slower on two cores
    with threadpool_limits(1, "blas"):
        solution = minimize(scaled, first, method="L-BFGS-B", jac=True, callback=done, options=options)
    return solution.x.reshape(start.shape) * scale, worst(solution.jac)


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
