"""Logistic regression against scikit-learn; the strength is chosen on val alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from classification.probes.linear import (
    LogisticFit,
    _LogisticObjective,
    fit_logistic_path,
    fit_standardizer,
    select_fit,
)
from classification.recipe import LinearRecipe, LogGrid
from engine.config import load_protocol
from foundation.errors import ConfigError
from tests.classification.probes.frozen_features import make_frozen

GRID = LogGrid(low=1e-3, high=10.0, count=9).values()


@pytest.fixture(scope="module")
def digits_features(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Features of a random backbone on digits, standardised by train."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = make_frozen()
        features = {split: made.get_features(split) for split in ("train", "val", "test")}
    standard = fit_standardizer(features["train"].features)
    return {split: (standard.transform(kept.features), np.array(kept.labels)) for split, kept in features.items()}


def test_every_strength_agrees_with_scikit_learn(digits_features: dict[str, Any]) -> None:
    (train, labels), (test, _) = digits_features["train"], digits_features["test"]
    same = []
    for fit in fit_logistic_path(train, labels, GRID, 1e-5, 2000):
        assert fit.converged
        theirs = LogisticRegression(C=fit.inverse_strength, tol=1e-6, max_iter=10000).fit(train.astype(float), labels)
        same.append(theirs.predict(test.astype(float)) == fit.predict_proba(test).argmax(1))
        np.testing.assert_allclose(fit.predict_proba(test), theirs.predict_proba(test.astype(float)), atol=2e-3)
    assert np.mean(same) >= 0.999


def test_the_strength_chosen_agrees_with_scikit_learn(digits_features: dict[str, Any]) -> None:
    (train, labels), (val, truth) = digits_features["train"], digits_features["val"]
    choice = select_fit(fit_logistic_path(train, labels, GRID, 1e-7, 5000), val, truth)
    scores = [
        LogisticRegression(C=strength, tol=1e-8, solver="newton-cholesky", max_iter=10000)
        .fit(train.astype(float), labels)
        .score(val, truth)
        for strength in GRID
    ]
    assert choice.fit.inverse_strength == GRID[int(np.argmax(scores))]
    assert choice.val_top1 == pytest.approx(100 * max(scores))
    assert choice.num_candidates == len(GRID)


def test_the_path_gives_what_each_strength_alone_gives(digits_features: dict[str, Any]) -> None:
    train, labels = digits_features["train"]
    *_, last = fit_logistic_path(train, labels, GRID, 1e-6, 2000)
    (alone,) = fit_logistic_path(train, labels, GRID[-1:], 1e-6, 2000)
    np.testing.assert_allclose(last.predict_proba(train), alone.predict_proba(train), atol=1e-3)


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_gradient_against_autograd_in_blocks(block: int) -> None:
    random = np.random.default_rng(0)
    values, labels = torch.tensor(random.normal(size=(50, 6)), dtype=torch.float32), torch.arange(50) % 4
    objective = _LogisticObjective(values, labels, 4)
    objective.block_rows = block
    point = random.normal(size=4 * 7)
    table = torch.tensor(point, requires_grad=True)
    weights, intercepts = table.reshape(4, 7)[:, :-1], table.reshape(4, 7)[:, -1]
    loss = torch.nn.functional.cross_entropy(values.double() @ weights.T + intercepts, labels)
    loss = loss + 0.3 / 2 * (weights**2).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    value, gradient = objective(point, 0.3)
    assert value == pytest.approx(loss.item(), rel=1e-12)
    assert table.grad is not None
    np.testing.assert_allclose(gradient, table.grad.numpy(), atol=1e-12)


def test_features_that_are_nearly_dependent_and_of_unlike_size_converge() -> None:
    """The principal axes span eight orders of magnitude; scikit-learn's Newton solver is the judge."""
    random = np.random.default_rng(0)
    labels = np.arange(120) % 3
    base = random.normal(size=(120, 8)) * np.logspace(0, -4, 8) + labels[:, None] * np.logspace(0, -4, 8)
    values = np.concatenate([base, base[:, :3] + 1e-4 * random.normal(size=(120, 3))], 1).astype(np.float32)
    for fit in fit_logistic_path(values, labels, GRID, 1e-8, 5000):
        assert fit.converged
        theirs = LogisticRegression(C=fit.inverse_strength, tol=1e-10, solver="newton-cholesky", max_iter=1000)
        theirs.fit(values.astype(float), labels)
        np.testing.assert_allclose(fit.weights - fit.weights.mean(0), theirs.coef_ - theirs.coef_.mean(0), atol=1e-4)


def test_ties_go_to_the_stronger_regularisation() -> None:
    fits = [LogisticFit(strength, np.eye(2) * strength, np.zeros(2), True) for strength in (0.1, 1.0, 10.0)]
    values, labels = np.eye(2, dtype=np.float32), np.array([0, 1])
    assert select_fit(iter(fits), values, labels).fit.inverse_strength == 0.1
    worse = LogisticFit(0.01, -np.eye(2), np.zeros(2), True)
    assert select_fit(iter([worse, *fits]), values, labels).fit.inverse_strength == 0.1


def test_standardising_leaves_constant_features_alone() -> None:
    values = np.array([[1, 5, 0.1], [3, 5, 0.1], [5, 5, 0.1]], np.float32)
    out = fit_standardizer(values).transform(values)
    np.testing.assert_allclose(out[:, 0], [-1.224745, 0, 1.224745], rtol=1e-5)
    np.testing.assert_allclose(out[:, 1:], 0, atol=1e-6)


def test_a_fit_that_is_not_done_is_told(digits_features: dict[str, Any]) -> None:
    train, labels = digits_features["train"]
    (fit,) = fit_logistic_path(train, labels, [100.0], 1e-5, 3)
    assert not fit.converged


def test_recipe_refuses_what_is_no_grid(tmp_path: Path) -> None:
    file = Path(__file__).parents[3] / "classification" / "configs" / "digits_linear.py"
    assert load_protocol(file, LinearRecipe, "smoke").recipe.grid.count == 3
    for change in ("grid.low=1e9", "grid.count=1", "grid.count=0", "grid.high=-1", "pool=max"):
        with pytest.raises(ConfigError, match="the configuration is invalid"):
            load_protocol(file, LinearRecipe, "full", [change])
    recipe = load_protocol(file, LinearRecipe, "full").recipe
    assert set(recipe.non_identity_settings()) == {"batch_size", "workers"}
    assert json.dumps(recipe.identity_settings())
