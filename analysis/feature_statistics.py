"""What the pooled and the patch features of images say: spectrum, principal components, nearest neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foundation.errors import BenchError, UserError


class CovarianceAccumulator:
    """Sums for the covariance of feature vectors (n, C), batch by batch, in float64."""

    def __init__(self) -> None:
        self.num_images = 0
        self._shift: Tensor | None = None
        self._sum: Tensor | None = None
        self._outer_sum: Tensor | None = None

    def update(self, features: Tensor) -> None:
        """Add a batch (n, C).

        Raises:
            BenchError: features that are not finite.
        """
        values = features.double().cpu()
        if not bool(values.isfinite().all()):
            raise BenchError("the features are not finite; check the start weights")
        if self._shift is None:  # a value near the mean, so that nothing cancels in the end
            self._shift = values.mean(0)
            self._sum = torch.zeros_like(self._shift)
            self._outer_sum = torch.zeros(len(self._shift), len(self._shift), dtype=torch.float64)
        assert self._sum is not None and self._outer_sum is not None
        values = values - self._shift
        self._sum = self._sum + values.sum(0)
        self._outer_sum = self._outer_sum + values.T @ values
        self.num_images += len(values)

    def compute_eigenvalues(self) -> NDArray[np.float64]:
        """Of the covariance (divisor n - 1), falling, none below 0.

        Raises:
            UserError: fewer than two images.
        """
        if self.num_images < 2 or self._sum is None or self._outer_sum is None:
            raise UserError(f"a spectrum needs two images or more, not {self.num_images}; raise --images")
        mean = self._sum / self.num_images
        covariance = (self._outer_sum - self.num_images * torch.outer(mean, mean)) / (self.num_images - 1)
        return np.asarray(torch.linalg.eigvalsh(covariance).flip(0).clamp_min(0).numpy())


def compute_effective_rank(eigenvalues: NDArray[np.float64]) -> float:
    """exp of the entropy of the eigenvalues as shares of their sum: how many directions carry the variance.

    Source: Roy and Vetterli 2007, on the covariance's eigenvalues.

    Raises:
        BenchError: no variance at all.

    >>> round(compute_effective_rank(np.array([2.0, 2.0, 2.0, 0.0])), 6)
    3.0
    """
    total = float(eigenvalues.sum())
    if total <= 0:
        raise BenchError("all images have the same features, so there is no rank")
    shares = eigenvalues[eigenvalues > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def compute_principal_components(patches: NDArray[np.float32], num_components: int = 3) -> NDArray[np.float64]:
    """The first principal components of patch features (n, N, C), over all images together: (n, N, num_components).

    The sign of each is such that its largest loading is positive.

    Raises:
        UserError: features of fewer channels than components.
    """
    images, length, channels = patches.shape
    if channels < num_components:
        raise UserError(f"features of {channels} channels have no {num_components} principal components")
    flat = patches.reshape(-1, channels).astype(np.float64)
    flat = flat - flat.mean(0)
    _, _, axes = np.linalg.svd(flat.T @ flat)
    axes = axes[:num_components]
    signs = np.sign(axes[np.arange(num_components), np.abs(axes).argmax(1)])
    return np.asarray((flat @ (axes * signs[:, None]).T).reshape(images, length, num_components))


def components_to_rgb(components: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Components (..., 3) as RGB: the 1st to 99th percentile of each over all images becomes 0 to 255."""
    low, high = np.percentile(components.reshape(-1, components.shape[-1]), (1, 99), axis=0)
    scaled = (components - low) / np.maximum(high - low, 1e-12)
    return np.asarray((scaled.clip(0, 1) * 255).round(), np.uint8)


class Neighbors(NamedTuple):
    """For each query the numbers (queries, k) of its nearest images and their cosines, the nearest first."""

    indices: NDArray[np.int64]
    cosines: NDArray[np.float64]


class NeighborSearch:
    """The nearest images to some queries by cosine, batch by batch; a query is never its own neighbour.

    Args:
        queries: features (q, C).
        query_indices: of the queries among all images.
        k: neighbours each.
    """

    def __init__(self, queries: Tensor, query_indices: list[int], k: int) -> None:
        self.queries = torch.nn.functional.normalize(queries.double().cpu(), dim=1)
        self.query_indices = query_indices
        self.k = k
        self.num_seen = 0
        self._cosines = torch.empty(len(query_indices), 0, dtype=torch.float64)
        self._indices = torch.empty(len(query_indices), 0, dtype=torch.int64)

    def update(self, features: Tensor) -> None:
        """Add a batch (n, C) of the images, in order."""
        values = torch.nn.functional.normalize(features.double().cpu(), dim=1)
        numbers = torch.arange(self.num_seen, self.num_seen + len(values))
        cosines = self.queries @ values.T
        for row, own in enumerate(self.query_indices):
            cosines[row, numbers == own] = -torch.inf
        cosines = torch.cat([self._cosines, cosines], 1)
        found = torch.cat([self._indices, numbers.expand(len(self.query_indices), -1)], 1)
        # stable: of equal cosines the lower number comes first
        order = cosines.sort(dim=1, descending=True, stable=True).indices[:, : self.k]
        self._cosines, self._indices = cosines.gather(1, order), found.gather(1, order)
        self.num_seen += len(values)

    def compute(self) -> Neighbors:
        """What was found.

        Raises:
            UserError: fewer other images than neighbours are asked for.
        """
        if self.num_seen <= self.k:
            raise UserError(
                f"{self.k} neighbours need more than {self.num_seen} images; raise --images or lower --neighbours"
            )
        return Neighbors(np.asarray(self._indices.numpy()), np.asarray(self._cosines.numpy()))
