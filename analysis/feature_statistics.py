"""What the pooled and the patch features of images say: spectrum, principal components, nearest neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foundation.errors import BenchError, UserError


class CovarianceSums:
    """Sums for the covariance of feature vectors (n, C), batch by batch, in float64."""

    def __init__(self) -> None:
        self.images = 0
        self._shift: Tensor | None = None
        self._first: Tensor | None = None
        self._second: Tensor | None = None

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
            self._first = torch.zeros_like(self._shift)
            self._second = torch.zeros(len(self._shift), len(self._shift), dtype=torch.float64)
        assert self._first is not None and self._second is not None
        values = values - self._shift
        self._first = self._first + values.sum(0)
        self._second = self._second + values.T @ values
        self.images += len(values)

    def eigenvalues(self) -> NDArray[np.float64]:
        """Of the covariance (divisor n - 1), falling, none below 0.

        Raises:
            UserError: fewer than two images.
        """
        if self.images < 2 or self._first is None or self._second is None:
            raise UserError(f"a spectrum needs two images or more, not {self.images}; raise --images")
        mean = self._first / self.images
        covariance = (self._second - self.images * torch.outer(mean, mean)) / (self.images - 1)
        return np.asarray(torch.linalg.eigvalsh(covariance).flip(0).clamp_min(0).numpy())


def effective_rank(eigenvalues: NDArray[np.float64]) -> float:
    """exp of the entropy of the eigenvalues as shares of their sum: how many directions carry the variance.

    Source: Roy and Vetterli 2007, on the covariance's eigenvalues.

    Raises:
        BenchError: no variance at all.

    >>> round(effective_rank(np.array([2.0, 2.0, 2.0, 0.0])), 6)
    3.0
    """
    total = float(eigenvalues.sum())
    if total <= 0:
        raise BenchError("all images have the same features, so there is no rank")
    shares = eigenvalues[eigenvalues > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def components(patches: NDArray[np.float32], count: int = 3) -> NDArray[np.float64]:
    """The first principal components of patch features (n, N, C), over all images together: (n, N, count).

    The sign of each is such that its largest loading is positive.

    Raises:
        UserError: features of fewer channels than components.
    """
    images, length, channels = patches.shape
    if channels < count:
        raise UserError(f"features of {channels} channels have no {count} principal components")
    flat = patches.reshape(-1, channels).astype(np.float64)
    flat = flat - flat.mean(0)
    _, _, axes = np.linalg.svd(flat.T @ flat)
    axes = axes[:count]
    signs = np.sign(axes[np.arange(count), np.abs(axes).argmax(1)])
    return np.asarray((flat @ (axes * signs[:, None]).T).reshape(images, length, count))


def as_colours(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Components (..., 3) as RGB: the 1st to 99th percentile of each over all images becomes 0 to 255."""
    low, high = np.percentile(values.reshape(-1, values.shape[-1]), (1, 99), axis=0)
    scaled = (values - low) / np.maximum(high - low, 1e-12)
    return np.asarray((scaled.clip(0, 1) * 255).round(), np.uint8)


class Neighbours(NamedTuple):
    """For each query the numbers (queries, k) of its nearest images and their cosines, the nearest first."""

    numbers: NDArray[np.int64]
    cosines: NDArray[np.float64]


class NeighbourSearch:
    """The nearest images to some queries by cosine, batch by batch; a query is never its own neighbour.

    Args:
        queries: features (q, C).
        numbers: of the queries among all images.
        k: neighbours each.
    """

    def __init__(self, queries: Tensor, numbers: list[int], k: int) -> None:
        self.queries = torch.nn.functional.normalize(queries.double().cpu(), dim=1)
        self.numbers = numbers
        self.k = k
        self.seen = 0
        self._cosines = torch.empty(len(numbers), 0, dtype=torch.float64)
        self._found = torch.empty(len(numbers), 0, dtype=torch.int64)

    def update(self, features: Tensor) -> None:
        """Add a batch (n, C) of the images, in order."""
        values = torch.nn.functional.normalize(features.double().cpu(), dim=1)
        numbers = torch.arange(self.seen, self.seen + len(values))
        cosines = self.queries @ values.T
        for row, own in enumerate(self.numbers):
            cosines[row, numbers == own] = -torch.inf
        cosines = torch.cat([self._cosines, cosines], 1)
        found = torch.cat([self._found, numbers.expand(len(self.numbers), -1)], 1)
        # stable: of equal cosines the lower number comes first
        order = cosines.sort(dim=1, descending=True, stable=True).indices[:, : self.k]
        self._cosines, self._found = cosines.gather(1, order), found.gather(1, order)
        self.seen += len(values)

    def value(self) -> Neighbours:
        """What was found.

        Raises:
            UserError: fewer other images than neighbours are asked for.
        """
        if self.seen <= self.k:
            raise UserError(
                f"{self.k} neighbours need more than {self.seen} images; raise --images or lower --neighbours"
            )
        return Neighbours(np.asarray(self._found.numpy()), np.asarray(self._cosines.numpy()))
