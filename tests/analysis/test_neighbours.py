"""Nearest neighbours against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from analysis.neighbours import NeighborSearch
from foundation.errors import UserError


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
