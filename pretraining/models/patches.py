"""Images as patches, targets of a reconstruction, and the choice of what is masked."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from foundation.errors import UserError
from pretraining.data.counter_rng import MASK, order

EPSILON = 1e-6


class Masking(NamedTuple):
    """A random order of the patches, (N, patches); the first ``visible`` are seen by the encoder."""

    order: Tensor
    visible: int

    @property
    def seen(self) -> Tensor:
        """Numbers of the visible patches, (N, visible)."""
        return self.order[:, : self.visible]

    @property
    def hidden(self) -> Tensor:
        """Numbers of the masked patches, (N, patches - visible)."""
        return self.order[:, self.visible :]


def visible_count(patches: int, ratio: float) -> int:
    """How many of the patches the encoder sees: the whole part of ``patches * (1 - ratio)``, as in MAE.

    Raises:
        UserError: none are left, or none are masked.

    >>> visible_count(196, 0.75), visible_count(49, 0.4)
    (49, 29)
    """
    count = int(patches * (1 - ratio))
    if not 0 < count < patches:
        raise UserError(
            f"mask_ratio {ratio:g} leaves {count} of {patches} patches visible; at least 1 must be, not all"
        )
    return count


def mask(seeds: Tensor, patches: int, visible: int) -> Masking:
    """A masking for each image, drawn from its seed (N,)."""
    return Masking(order(seeds, patches, MASK), visible)


def patchify(images: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, C, height, width) to (N, patches, C * size), patches row by row, channels first inside a patch."""
    count, channels, height, width = images.shape
    rows, columns = height // size[0], width // size[1]
    cells = images.reshape(count, channels, rows, size[0], columns, size[1])
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(count, rows * columns, channels * size[0] * size[1])


def unpatchify(patches: Tensor, size: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """The inverse of ``patchify`` on a grid of rows and columns."""
    cells = patches.reshape(len(patches), *grid, -1, *size).permute(0, 3, 1, 4, 2, 5)
    return cells.reshape(len(patches), -1, grid[0] * size[0], grid[1] * size[1])


def take(tokens: Tensor, places: Tensor) -> Tensor:
    """Rows of (N, T, C) by numbers (N, K): (N, K, C)."""
    return tokens.gather(1, places[:, :, None].expand(-1, -1, tokens.shape[2]))


def put_back(tokens: Tensor, places: Tensor) -> Tensor:
    """The inverse of ``take`` for a permutation: row ``i`` goes to place ``places[:, i]``."""
    return torch.empty_like(tokens).scatter(1, places[:, :, None].expand_as(tokens), tokens)


def normalised(patches: Tensor) -> Tensor:
    """Each patch (..., pixels) minus its mean, over the root of its unbiased variance plus 1e-6."""
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return (patches - mean) * (variance + EPSILON).rsqrt()
