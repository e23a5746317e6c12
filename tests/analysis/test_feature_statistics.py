"""Spectrum, components and neighbours against numpy and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from analysis.feature_statistics import (
    CovarianceAccumulator,
    NeighborSearch,
    components_to_rgb,
    compute_effective_rank,
    compute_principal_components,
)
from foundation.errors import BenchError, UserError


def test_eigenvalues_equal_numpys_far_from_the_origin() -> None:
    values = np.random.default_rng(0).normal(size=(60, 8)) * np.arange(1, 9) + 1000
    sums = CovarianceAccumulator()
    for part in np.array_split(values, 4):
        sums.update(torch.from_numpy(part))
    expected = np.linalg.eigvalsh(np.cov(values.T))[::-1]
    np.testing.assert_allclose(sums.compute_eigenvalues(), expected, rtol=1e-9)


def test_effective_rank_by_hand() -> None:
    assert compute_effective_rank(np.array([1.0, 0.0])) == 1
    assert compute_effective_rank(np.array([0.75, 0.25])) == pytest.approx(
        math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    )
    with pytest.raises(BenchError, match="same features"):
        compute_effective_rank(np.zeros(3))
    with pytest.raises(UserError, match="two images or more, not 1"):
        one = CovarianceAccumulator()
        one.update(torch.ones(1, 3))
        one.compute_eigenvalues()


def test_components_equal_scikit_learns_up_to_sign() -> None:
    patches = np.random.default_rng(0).normal(size=(5, 9, 6)) * np.array([5, 4, 3, 1, 1, 1]) + 7
    found = compute_principal_components(patches.astype(np.float32)).reshape(-1, 3)
    expected = PCA(3).fit_transform(patches.reshape(-1, 6))
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-4)
    np.testing.assert_allclose(
        found, compute_principal_components(-patches.astype(np.float32)).reshape(-1, 3) * -1, atol=1e-4
    )
    colours = components_to_rgb(found)
    assert colours.min() == 0
    assert colours.max() == 255


def test_neighbours_equal_scikit_learns() -> None:
    values = np.random.default_rng(0).normal(size=(40, 6))
    queries = [3, 17, 39]
    search = NeighborSearch(torch.from_numpy(values[queries]), queries, 5)
    for part in np.array_split(values, 3):
        search.update(torch.from_numpy(part))
    found = search.compute()
    reference = NearestNeighbors(n_neighbors=6, metric="cosine").fit(values)
    distances, numbers = reference.kneighbors(values[queries])
    np.testing.assert_array_equal(found.indices, numbers[:, 1:])
    np.testing.assert_allclose(found.cosines, 1 - distances[:, 1:], atol=1e-12)


def test_more_neighbours_than_images() -> None:
    search = NeighborSearch(torch.ones(1, 2), [0], 3)
    search.update(torch.ones(3, 2))
    with pytest.raises(UserError, match="3 neighbours need more than 3 images"):
        search.compute()
