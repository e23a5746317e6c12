"""Principal components against scikit-learn, and their colors."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA

from analysis.pca import components_to_rgb, compute_principal_components


def test_components_equal_scikit_learns_up_to_sign() -> None:
    patches = np.random.default_rng(0).normal(size=(5, 9, 6)) * np.array([5, 4, 3, 1, 1, 1]) + 7
    found = compute_principal_components(patches.astype(np.float32)).reshape(-1, 3)
    expected = PCA(3).fit_transform(patches.reshape(-1, 6))
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-4)
    np.testing.assert_allclose(
        found, compute_principal_components(-patches.astype(np.float32)).reshape(-1, 3) * -1, atol=1e-4
    )
    colors = components_to_rgb(found)
    assert colors.min() == 0
    assert colors.max() == 255
