"""Spectrum and effective rank against numpy and by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from analysis.spectrum import CovarianceAccumulator, compute_effective_rank
from foundation.errors import BenchError, UserError


def test_eigenvalues_equal_numpys_far_from_the_origin() -> None:
    values = np.random.default_rng(0).normal(size=(60, 8)) * np.arange(1, 9) + 1000
    sums = CovarianceAccumulator()
    for part in np.array_split(values, 4):
        sums.update(torch.from_numpy(part))
    expected = np.linalg.eigvalsh(np.cov(values.T))[::-1]
    np.testing.assert_allclose(sums.compute_eigenvalues(), expected, rtol=1e-9)


def test_features_on_the_gpu_of_a_mac_are_moved_before_they_are_converted() -> None:
    def refuse() -> torch.Tensor:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

    rows = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    on_mac: Any = SimpleNamespace(device=torch.device("mps"), cpu=lambda: rows, double=refuse)
    sums = CovarianceAccumulator()
    sums.update(on_mac)
    assert sums.compute_eigenvalues().tolist() == [2.0, 0.0]


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
