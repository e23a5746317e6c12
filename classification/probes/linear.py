"""Protocol ``linear``: logistic regression with an L2 penalty on frozen features.

The regularization (scikit-learn's ``C``) is chosen on val, and test is read once. The solver is L-BFGS in float64. It
walks along the grid of ``C`` from the strongest to the weakest regularization and starts each fit from the ones before.
"""

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
from classification.probes.feature_extraction import FrozenBackbone
from classification.probes.probe_outcome import build_accuracy_outcome, score_rows
from classification.recipe import LinearRecipe
from engine.calibration.scope import CalibrationScope, LoopTimer, get_calibration
from engine.device import choose_float64_device
from engine.progress_bar import ProgressBar, log_message
from engine.task import Task, TaskOutcome
from foundation.errors import TrainingDivergedError
from results.records.record import ModelSelection

MAX_LOGITS = 1 << 24
"""Largest number of logits in memory at once while fitting: 128 MiB in float64."""

EVALUATIONS_PER_FIT = 40
"""Evaluations of the objective for each ``C`` that a calibration counts with. Averages over the grid were 24 on the
digits (10 classes) and 54 on Flowers-102 (102 classes)."""

FLOAT64_BLOCK_ROWS = 1 << 16
"""Largest number of feature rows that are in float64 at once."""


class FeatureStandardizer(NamedTuple):
    """Mean and standard deviation of the training features, (C,) each; the deviation of a constant feature is 1."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def transform(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Standardize features (n, C): subtract the mean and divide by the standard deviation."""
        return np.asarray((features - self.mean) / self.std, np.float32)


class LogisticFit(NamedTuple):
    """A fitted classifier.

    Attributes:
        inverse_strength: ``C`` of the fit; larger is weaker regularization.
        weights: (classes, C), for standardized features.
        intercepts: (classes,).
        converged: whether the solver reached its tolerance.
    """

    inverse_strength: float
    weights: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    converged: bool

    def predict_proba(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Compute class probabilities (n, classes) of standardized features (n, C)."""
        logits = features.astype(np.float64) @ self.weights.T + self.intercepts
        # softmax; subtracting the largest logit changes nothing and keeps exp from overflowing
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True))


class SelectedFit(NamedTuple):
    """The fit chosen on val, its top-1 accuracy on val in percent, and the number of fits compared.

    ``diverged`` lists the values of ``C`` whose fits are not finite; they are not chosen from.
    """

    fit: LogisticFit
    val_top1: float
    num_candidates: int
    diverged: list[float]

    def list_details(self) -> dict[str, Any]:
        """Return what the record holds of fits that diverged; empty if none did."""
        return {"diverged_strengths": self.diverged} if self.diverged else {}


def run_linear_probe(frozen: FrozenBackbone, recipe: LinearRecipe, task: Task) -> TaskOutcome:
    """Fit every ``C`` on train, choose one on val, fit it on both splits if the recipe says so, and test once.

    Args:
        frozen: gives the features.
        recipe: gives the grid of ``C``, the settings of the solver, and the splits to train on.
        task: gives name and metrics.
    """
    began = time.monotonic()
    train, val = frozen.get_train_features(), frozen.get_features("val")
    extracted = time.monotonic()
    standard = fit_standardizer(train.features)
    inputs = standard.transform(train.features)
    grid = recipe.grid.values()
    fits = fit_logistic_path(
        inputs, train.labels, grid, recipe.tolerance, recipe.max_iterations, frozen.device, label=frozen.label
    )
    choice = select_fit(fits, standard.transform(val.features), val.labels, frozen.label)
    _warn_about_fit(choice, grid, frozen.label)
    final = choice.fit
    if recipe.train_on == "train+val":
        train = frozen.get_train_features(recipe.train_on)
        # mean and deviation of both splits now, since both are training data
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
    return build_accuracy_outcome(frozen, task, rows, selection, phases, choice.list_details())


def fit_standardizer(features: NDArray[np.float32]) -> FeatureStandardizer:
    """Compute the mean and the standard deviation of each column of features (n, C), in float64."""
    mean = features.mean(0, dtype=np.float64)
    std = np.asarray(features.std(0, dtype=np.float64))
    # a column that varies by rounding only is constant; dividing by its tiny deviation would turn rounding into noise
    # of unit size
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
    """Fit a classifier for every ``C``, from the strongest to the weakest regularization.

    Each fit minimizes ``C * sum of cross-entropies + |weights|^2 / 2`` with free intercepts, like scikit-learn's
    multinomial ``LogisticRegression(C=C)``. The problem is convex, so its solution does not depend on the start or on
    the choice of variables; both only save time. A fit starts where the two solutions before it point to. Its variables
    are the weights along the principal axes of the features, scaled by their curvature, which halves the number of
    iterations.

    Args:
        features: standardized features, (n, C).
        labels: class indices, (n,).
        c_grid: values of ``C``, ascending.
        tolerance: a fit has converged when no entry of the gradient of the objective / (C n) is larger than this.
        max_iterations: limit of L-BFGS iterations for each ``C``.
        device: where the logits are computed, in float64.
        label: prefix of the progress lines.

    Yields:
        One fit per ``C``, as soon as it is found.
    """
    # with orthogonal axes A, features x become z = x A and weights W become W A: logits and |weights|^2 stay the same
    classes, width = int(labels.max()) + 1, features.shape[1]
    axes, variances = _compute_principal_axes(features)
    device = choose_float64_device(device)
    rotated = torch.from_numpy(_project_on_axes(features, axes)).to(device)
    objective = _LogisticObjective(rotated, torch.from_numpy(np.array(labels)).to(device), classes)
    if (scope := get_calibration()) is not None:
        yield from _time_fits(scope, objective, variances, axes, c_grid)
        return
    points: list[NDArray[np.float64]] = []
    with ProgressBar(label, "strengths fitted", len(c_grid), with_rate=False) as progress:
        for number, strength in enumerate(c_grid, 1):
            # the objective is divided by C n: mean cross-entropy + penalty * |weights|^2 / 2
            penalty = 1 / (strength * len(features))
            # curvature of the mean cross-entropy along an axis, while all K classes are equally likely: mean(z^2) / K
            # times (1 - 1 / K), which is left out; the intercept's (mean square 1, no penalty) comes last. Weights
            # divided by 1 / sqrt(curvature) all have a curvature of about 1, the best case for L-BFGS
            scale = 1 / np.sqrt(np.append(variances / classes + penalty, 1 / classes))
            start = _extrapolate_solution(points, c_grid[:number]) if points else np.zeros((classes, width + 1))
            point, worst = _minimize_objective(objective, start, penalty, scale, axes, tolerance, max_iterations)
            # the extrapolation needs the last two only; a fit that diverged is no start for the next one
            points = [*points[-1:], point] if np.isfinite(point).all() else []
            progress.advance()
            yield LogisticFit(strength, point[:, :width] @ axes.T, point[:, width].copy(), worst <= tolerance)


def _time_fits(
    scope: CalibrationScope,
    objective: _LogisticObjective,
    variances: NDArray[np.float64],
    axes: NDArray[np.float64],
    c_grid: Sequence[float],
) -> Iterator[LogisticFit]:
    """Time some evaluations of the objective, as L-BFGS makes them, and yield one empty fit per ``C``."""
    classes, rows = objective.num_classes, len(objective.features)
    total = EVALUATIONS_PER_FIT * len(c_grid) * scope.row_factor
    timer = LoopTimer(scope, "fit", "evaluations of the objective", total)
    penalty = 1 / (c_grid[len(c_grid) // 2] * rows)
    scale = 1 / np.sqrt(np.append(variances / classes + penalty, 1 / classes))
    start, before = np.zeros((classes, len(axes) + 1)), objective.num_evaluations
    # a tolerance of 0, because made-up features may be separated after a few evaluations
    _minimize_objective(objective, start, penalty, scale, axes, 0.0, scope.max_items)
    timer.finish(num_done=objective.num_evaluations - before)
    for strength in c_grid:
        yield LogisticFit(strength, start[:, :-1], start[:, -1], converged=True)


def _compute_principal_axes(features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the principal axes of features (n, C).

    Returns:
        Orthogonal axes (C, C), one per column, and the mean square of the features along each axis, (C,).
    """
    # eigenvectors of X^T X / n; the sum is built block by block, so that only one block is in float64
    total = np.zeros((features.shape[1],) * 2)
    for start in range(0, len(features), FLOAT64_BLOCK_ROWS):
        rows = features[start : start + FLOAT64_BLOCK_ROWS].astype(np.float64)
        total += rows.T @ rows
    variances, axes = np.linalg.eigh(total / len(features))
    return axes, np.maximum(variances, 0.0)  # rounding can make an eigenvalue of 0 slightly negative


def _project_on_axes(features: NDArray[np.float32], axes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the features (n, C) in the coordinates of the axes."""
    rotated = np.empty_like(features)
    for start in range(0, len(features), FLOAT64_BLOCK_ROWS):
        rotated[start : start + FLOAT64_BLOCK_ROWS] = features[start : start + FLOAT64_BLOCK_ROWS] @ axes
    return rotated


def _extrapolate_solution(solutions: Sequence[NDArray[np.float64]], c_grid: Sequence[float]) -> NDArray[np.float64]:
    """Extrapolate the last two solutions to the last value of ``c_grid``, linearly in the logarithm of ``C``.

    Args:
        solutions: the last solution, or the last two, (classes, C + 1) each.
        c_grid: the values of ``C`` up to the one to start.
    """
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
    """Minimize the objective with L-BFGS.

    The variables are scaled and rotated, but the stop criterion is not: it uses the gradient with respect to the
    weights of the original features, so that ``tolerance`` means the same for every data set.

    Args:
        objective: the function to minimize, in rotated weights.
        start: weights along the axes, with the intercepts as last column, (classes, C + 1).
        penalty: factor of ``|weights|^2 / 2``.
        variable_scale: the variables are the weights divided by these, (C + 1,).
        axes: the axes, one per column, (C, C).
        tolerance: largest entry of the gradient at the solution.
        max_iterations: limit of iterations.

    Returns:
        The solution, (classes, C + 1), and the largest entry of its gradient.
    """

    # scipy's callback gets no gradient, so the last evaluated one is stored; a line search ends with the point that it
    # accepts, so this is the gradient at the new iterate
    newest = np.empty(0)

    # with w = s u, the gradient by u is s times the gradient by w
    def scaled(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal newest
        value, gradient = objective((point.reshape(start.shape) * variable_scale).ravel(), penalty)
        newest = (gradient.reshape(start.shape) * variable_scale).ravel()
        return value, newest

    # undo the scaling and, for the weights, the rotation: the gradient by W is the gradient by (W A) times A^T
    def worst(gradient: NDArray[np.float64]) -> float:
        plain = gradient.reshape(start.shape) / variable_scale
        return float(max(np.abs(plain[:, :-1] @ axes.T).max(), np.abs(plain[:, -1]).max()))

    def done(intermediate_result: Any) -> None:
        if worst(newest) <= tolerance:
            raise StopIteration  # tells scipy to stop here

    first = (start / variable_scale).ravel()
    left = worst(scaled(first)[1])
    if left <= tolerance:
        return start, left
    # scipy's own criteria are off, because they look at the scaled gradient
    options = {"gtol": 0.0, "ftol": 0.0, "maxiter": max_iterations, "maxfun": 4 * max_iterations}
    # one BLAS thread for scipy's small vector products: more of them compete with torch's threads, which made fits 16
    # times slower on two cores
    with threadpool_limits(1, "blas"):
        solution = minimize(scaled, first, method="L-BFGS-B", jac=True, callback=done, options=options)
    return solution.x.reshape(start.shape) * variable_scale, worst(solution.jac)


def select_fit(
    fits: Iterator[LogisticFit], features: NDArray[np.float32], labels: NDArray[np.int64], label: str = "linear"
) -> SelectedFit:
    """Choose the fit with the best top-1 accuracy on val; among equals, the one with the strongest regularization.

    Args:
        fits: the strongest regularisation first.
        features: standardized features of val, (n, C).
        labels: class indices of val, (n,).
        label: prefix of messages.

    Raises:
        TrainingDivergedError: no fit is finite.
    """
    best: tuple[LogisticFit, float] | None = None
    count, diverged = 0, []
    for fit in fits:
        count += 1
        chances = fit.predict_proba(features)
        if not np.isfinite(chances).all():  # argmax would take the first class, and that has an accuracy, too
            diverged.append(fit.inverse_strength)
            continue
        value = compute_top1(labels, chances.argmax(1))
        if best is None or value > best[1]:  # ">" keeps the earlier fit, the stronger regularization, on a tie
            best = fit, value
    if best is None:
        raise TrainingDivergedError(f"{label}: the fit diverged at every C; lower grid.low and grid.high")
    if diverged:
        log_message(f"{label}: {len(diverged)} of {count} fits diverged; they are not chosen from")
    return SelectedFit(*best, count, diverged)


def _warn_about_fit(selected: SelectedFit, c_grid: Sequence[float], label: str) -> None:
    # neither is an error: the score is valid, but a better one may exist
    if not selected.fit.converged:
        log_message(f"{label}: the fit chosen is not at its optimum; raise max_iterations")
    if len(c_grid) > 1 and selected.fit.inverse_strength in (c_grid[0], c_grid[-1]):
        log_message(
            f"{label}: the best C {selected.fit.inverse_strength:g} is at the edge of the grid; "
            "widen grid.low or grid.high"
        )


class _LogisticObjective:
    """Mean cross-entropy plus ``penalty * |weights|^2 / 2``, and its gradient.

    Logits are computed for one block of rows at a time, to bound the memory.

    Args:
        features: (n, C), float32.
        labels: class indices, (n,).
        num_classes: number of classes.
    """

    def __init__(self, features: Tensor, labels: Tensor, num_classes: int) -> None:
        self.features, self.labels, self.num_classes = features, labels, num_classes
        self.block_rows = max(1, MAX_LOGITS // max(num_classes, features.shape[1]))
        self.num_evaluations = 0

    def __call__(self, point: NDArray[np.float64], penalty: float) -> tuple[float, NDArray[np.float64]]:
        self.num_evaluations += 1
        # scipy's flat vector as a table (classes, C + 1) with the intercepts in the last column
        table = torch.from_numpy(point).to(self.features.device).reshape(self.num_classes, -1)
        weights, intercepts = table[:, :-1], table[:, -1]
        gradient = torch.zeros_like(table)
        loss, count = 0.0, len(self.features)
        for start in range(0, count, self.block_rows):
            rows = self.features[start : start + self.block_rows].double()
            labels = self.labels[start : start + self.block_rows, None]
            logs = (rows @ weights.T + intercepts).log_softmax(1)
            loss -= float(logs.gather(1, labels).sum())
            # gradient of the cross-entropy by the logits: softmax - one_hot(label), built in place
            slope = logs.exp_()
            slope.scatter_add_(1, labels, torch.full_like(labels, -1, dtype=slope.dtype))
            gradient[:, :-1] += slope.T @ rows
            gradient[:, -1] += slope.sum(0)
        gradient /= count
        gradient[:, :-1] += penalty * weights  # the intercepts are not penalized
        value = loss / count + penalty / 2 * float((weights * weights).sum())
        return value, gradient.reshape(-1).cpu().numpy()
