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

from classification.metrics import compute_top1
from classification.probes.feature_extraction import FrozenBackbone, build_accuracy_outcome, score_rows
from classification.recipe import LinearRecipe
from engine.progress import log_message
from engine.progress_bar import ProgressBar
from engine.task import Task, TaskOutcome
from results.records.record import ModelSelection

MAX_LOGITS = 1 << 24
"""Logits that exist at once while fitting: 128 MiB."""

FLOAT64_BLOCK_ROWS = 1 << 16
"""Features that are in float64 at once."""


class FeatureStandardizer(NamedTuple):
    """Mean and standard deviation of the training features, (C,) each; a constant feature has deviation 1."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def transform(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (n, C) with these taken out."""
        return np.asarray((features - self.mean) / self.std, np.float32)


class LogisticFit(NamedTuple):
    """A fitted classifier: weights (classes, C), intercepts (classes,), and whether the solver was done."""

    inverse_strength: float
    weights: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    converged: bool

    def predict_proba(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Class probabilities (n, classes) of standardised features (n, C)."""
        logits = features.astype(np.float64) @ self.weights.T + self.intercepts
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True))


class SelectedFit(NamedTuple):
    """The fit chosen on val, its val top-1 in percent, and the number of fits it was chosen from."""

    fit: LogisticFit
    val_top1: float
    num_candidates: int


def run_linear_probe(frozen: FrozenBackbone, recipe: LinearRecipe, task: Task) -> TaskOutcome:
    """Fit on train, choose the strength on val, fit it on both if the recipe says so, read test once."""
    began = time.monotonic()
    train, val = frozen.get_train_features(), frozen.get_features("val")
    extracted = time.monotonic()
    standard = fit_standardizer(train.features)
    inputs = standard.transform(train.features)
    grid = recipe.grid.values()
    fits = fit_logistic_path(
        inputs, train.labels, grid, recipe.tolerance, recipe.max_iterations, frozen.device, label=frozen.label
    )
    choice = select_fit(fits, standard.transform(val.features), val.labels)
    _warn_about_fit(choice, grid, frozen.label)
    final = choice.fit
    if recipe.train_on == "train+val":
        train = frozen.get_train_features(recipe.train_on)
        standard = fit_standardizer(train.features)
        strength = [final.inverse_strength]
        inputs = standard.transform(train.features)
        (final,) = fit_logistic_path(
            inputs, train.labels, strength, recipe.tolerance, recipe.max_iterations, frozen.device, label=frozen.label
        )
    fitted = time.monotonic()
    test = frozen.get_features("test")
    rows = score_rows(test.labels, final.predict_proba(standard.transform(test.features)))
    selection = ModelSelection(
        split="val",
        metric="top1",
        candidates=choice.num_candidates,
        chosen=f"C={choice.fit.inverse_strength:.6g}, on {recipe.train_on}",
        value=choice.val_top1,
    )
    phases = {
        "features": extracted - began,
        "fit_and_choose": fitted - extracted,
        "test": time.monotonic() - fitted,
    }
    return build_accuracy_outcome(frozen, task, rows, selection, phases)


def fit_standardizer(features: NDArray[np.float32]) -> FeatureStandardizer:
    """Mean and standard deviation of features (n, C), over the n; in float64."""
    mean = features.mean(0, dtype=np.float64)
    std = np.asarray(features.std(0, dtype=np.float64))
    # what differs by rounding only is constant; scaled up it would be noise of unit size
    constant = std <= 1e-7 * np.abs(mean)
    return FeatureStandardizer(np.asarray(mean), np.where(constant, 1.0, std))


def fit_logistic_path(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    c_grid: Sequence[float],
    tolerance: float,
    max_iterations: int,
    device: str = "cpu",
    label: str = "linear",
) -> Iterator[LogisticFit]:
    """Fit every strength, the strongest first, each from where the solutions before it point to.

    The minimum of ``C * sum of cross-entropies + |weights|^2 / 2`` (intercepts free), as scikit-learn's
    multinomial ``LogisticRegression(C=C)``; the problem is convex, so the start moves the time and not the solution.
    So do the variables: along the features' principal axes, each divided by its curvature, L-BFGS needs a half.

    Args:
        features: standardised features, (n, C).
        labels: classes, (n,).
        c_grid: values of C, rising.
        tolerance: largest entry of the gradient of the objective / (C n) at which a fit is done.
        max_iterations: of L-BFGS, for each strength.
        device: where the logits are computed, in float64.
        label: for the progress lines.
    """
    classes, width = int(labels.max()) + 1, features.shape[1]
    axes, variances = _compute_principal_axes(features)
    rotated = torch.from_numpy(_project_on_axes(features, axes)).to(device)
    objective = _LogisticObjective(rotated, torch.from_numpy(np.array(labels)).to(device), classes)
    points: list[NDArray[np.float64]] = []
    with ProgressBar(label, "strengths fitted", len(c_grid), with_rate=False) as progress:
        for number, strength in enumerate(c_grid, 1):
            penalty = 1 / (strength * len(features))
            # the curvature along each axis while all classes are equally likely; the intercept's comes last
            scale = 1 / np.sqrt(np.append(variances / classes + penalty, 1 / classes))
            start = _extrapolate_solution(points, c_grid[:number]) if points else np.zeros((classes, width + 1))
            point, worst = _minimize_objective(objective, start, penalty, scale, axes, tolerance, max_iterations)
            points = [*points[-1:], point]
            progress.advance()
            yield LogisticFit(strength, point[:, :width] @ axes.T, point[:, width].copy(), worst <= tolerance)


def _compute_principal_axes(features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Orthogonal axes (C, C), one a column, and the features' mean square along each (C,)."""
    total = np.zeros((features.shape[1],) * 2)
    for start in range(0, len(features), FLOAT64_BLOCK_ROWS):
        rows = features[start : start + FLOAT64_BLOCK_ROWS].astype(np.float64)
        total += rows.T @ rows
    variances, axes = np.linalg.eigh(total / len(features))
    return axes, np.maximum(variances, 0.0)


def _project_on_axes(features: NDArray[np.float32], axes: NDArray[np.float64]) -> NDArray[np.float32]:
    rotated = np.empty_like(features)
    for start in range(0, len(features), FLOAT64_BLOCK_ROWS):
        rotated[start : start + FLOAT64_BLOCK_ROWS] = features[start : start + FLOAT64_BLOCK_ROWS] @ axes
    return rotated


def _extrapolate_solution(solutions: Sequence[NDArray[np.float64]], c_grid: Sequence[float]) -> NDArray[np.float64]:
    """Where the line through the last two solutions, over the logarithm of C, is at the last of the grid."""
    if len(solutions) == 1:
        return solutions[0]
    before, last, now = np.log(c_grid[-3:])
    return np.asarray(solutions[1] + (solutions[1] - solutions[0]) * (now - last) / (last - before))


def _minimize_objective(
    objective: _LogisticObjective,
    start: NDArray[np.float64],
    penalty: float,
    variable_scale: NDArray[np.float64],
    axes: NDArray[np.float64],
    tolerance: float,
    max_iterations: int,
) -> tuple[NDArray[np.float64], float]:
    """L-BFGS on variables divided by ``variable_scale``; the solution and the largest entry of its gradient.

    The stop criterion is on the gradient by the features themselves, neither scaled nor rotated.
    """

    newest = np.empty(0)  # gradient at the point asked for last; a line search ends with the point it accepts

    def scaled(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal newest
        value, gradient = objective((point.reshape(start.shape) * variable_scale).ravel(), penalty)
        newest = (gradient.reshape(start.shape) * variable_scale).ravel()
        return value, newest

    def worst(gradient: NDArray[np.float64]) -> float:
        plain = gradient.reshape(start.shape) / variable_scale
        return float(max(np.abs(plain[:, :-1] @ axes.T).max(), np.abs(plain[:, -1]).max()))

    def done(intermediate_result: Any) -> None:
        if worst(newest) <= tolerance:
            raise StopIteration

    first = (start / variable_scale).ravel()
    left = worst(scaled(first)[1])
    if left <= tolerance:
        return start, left
    options = {"gtol": 0.0, "ftol": 0.0, "maxiter": max_iterations, "maxfun": 4 * max_iterations}
    # scipy's small vector products on several BLAS threads fight with torch's: 16 times slower on two cores
    with threadpool_limits(1, "blas"):
        solution = minimize(scaled, first, method="L-BFGS-B", jac=True, callback=done, options=options)
    return solution.x.reshape(start.shape) * variable_scale, worst(solution.jac)


def select_fit(fits: Iterator[LogisticFit], features: NDArray[np.float32], labels: NDArray[np.int64]) -> SelectedFit:
    """The fit with the best top-1 on val; of equals the one with the stronger regularisation (the earlier).

    Args:
        fits: the strongest regularisation first.
        features: standardised val features, (n, C).
        labels: val classes, (n,).
    """
    best: tuple[LogisticFit, float] | None = None
    count = 0
    for fit in fits:
        count += 1
        value = compute_top1(labels, fit.predict_proba(features).argmax(1))
        if best is None or value > best[1]:
            best = fit, value
    assert best is not None, "a grid has one strength or more"
    return SelectedFit(*best, count)


def _warn_about_fit(selected: SelectedFit, c_grid: Sequence[float], label: str) -> None:
    if not selected.fit.converged:
        log_message(f"{label}: the fit chosen is not at its optimum; raise max_iterations")
    if len(c_grid) > 1 and selected.fit.inverse_strength in (c_grid[0], c_grid[-1]):
        log_message(
            f"{label}: the best C {selected.fit.inverse_strength:g} is at the edge of the grid; "
            "widen grid.low or grid.high"
        )


class _LogisticObjective:
    """Mean cross-entropy plus ``penalty * |weights|^2 / 2`` with its gradient; logits exist for a block of rows."""

    def __init__(self, features: Tensor, labels: Tensor, num_classes: int) -> None:
        self.features, self.labels, self.num_classes = features, labels, num_classes
        self.block_rows = max(1, MAX_LOGITS // max(num_classes, features.shape[1]))

    def __call__(self, point: NDArray[np.float64], penalty: float) -> tuple[float, NDArray[np.float64]]:
        table = torch.from_numpy(point).to(self.features.device).reshape(self.num_classes, -1)
        weights, intercepts = table[:, :-1], table[:, -1]
        gradient = torch.zeros_like(table)
        loss, count = 0.0, len(self.features)
        for start in range(0, count, self.block_rows):
            rows = self.features[start : start + self.block_rows].double()
            labels = self.labels[start : start + self.block_rows, None]
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
