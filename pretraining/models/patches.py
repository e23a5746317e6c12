"""Images as patches, targets of a reconstruction, and the choice of what is masked."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from foundation.errors import UserError
from pretraining.data.counter_rng import MASK_STREAM, sample_permutation

VARIANCE_EPSILON = 1e-6


class Masking(NamedTuple):
    """A random order of the patches, (N, patches); the first ``num_visible`` are seen by the encoder."""

    permutation: Tensor
    num_visible: int

    @property
    def visible_indices(self) -> Tensor:
        """Numbers of the visible patches, (N, visible)."""
        return self.permutation[:, : self.num_visible]

    @property
    def masked_indices(self) -> Tensor:
        """Numbers of the masked patches, (N, patches - visible)."""
        return self.permutation[:, self.num_visible :]


def count_visible_patches(num_patches: int, mask_ratio: float) -> int:
    """How many of the patches the encoder sees: the whole part of ``num_patches * (1 - mask_ratio)``, as in MAE.

    Raises:
        UserError: none are left, or none are masked.

    >>> count_visible_patches(196, 0.75), count_visible_patches(49, 0.4)
    (49, 29)
    """
    count = int(num_patches * (1 - mask_ratio))
    if not 0 < count < num_patches:
        raise UserError(
            f"mask_ratio {mask_ratio:g} leaves {count} of {num_patches} patches visible; at least 1 must be, not all"
        )
    return count


def sample_masking(seeds: Tensor, num_patches: int, num_visible: int) -> Masking:
    """A masking for each image, drawn from its seed (N,)."""
    return Masking(sample_permutation(seeds, num_patches, MASK_STREAM), num_visible)


def patchify(images: Tensor, patch_size: tuple[int, int]) -> Tensor:
    """(N, C, height, width) to (N, patches, C * size), patches row by row, channels first inside a patch."""
    count, channels, height, width = images.shape
    rows, columns = height // patch_size[0], width // patch_size[1]
    cells = images.reshape(count, channels, rows, patch_size[0], columns, patch_size[1])
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(count, rows * columns, channels * patch_size[0] * patch_size[1])


def unpatchify(patches: Tensor, patch_size: tuple[int, int], grid_size: tuple[int, int]) -> Tensor:
    """The inverse of ``patchify`` on a grid of rows and columns."""
    cells = patches.reshape(len(patches), *grid_size, -1, *patch_size).permute(0, 3, 1, 4, 2, 5)
    return cells.reshape(len(patches), -1, grid_size[0] * patch_size[0], grid_size[1] * patch_size[1])


def gather_tokens(tokens: Tensor, indices: Tensor) -> Tensor:
    """Rows of (N, T, C) by numbers (N, K): (N, K, C)."""
    return tokens.gather(1, indices[:, :, None].expand(-1, -1, tokens.shape[2]))


def scatter_tokens(tokens: Tensor, indices: Tensor) -> Tensor:
    """The inverse of ``gather_tokens`` for a permutation: row ``i`` goes to place ``indices[:, i]``."""
    return torch.empty_like(tokens).scatter(1, indices[:, :, None].expand_as(tokens), tokens)


def normalize_patches(patches: Tensor) -> Tensor:
    """Each patch (..., pixels) minus its mean, over the root of its unbiased variance plus 1e-6."""
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return (patches - mean) * (variance + VARIANCE_EPSILON).rsqrt()
