"""Cut images into patches, choose the masked ones, and normalize the targets of a reconstruction."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from foundation.errors import UserError
from pretraining.data.counter_rng import MASK_STREAM, sample_permutation

VARIANCE_EPSILON = 1e-6  # as in MAE's code; keeps patches of one color finite


class Masking(NamedTuple):
    """A random order of the patches.

    Attributes:
        permutation: indices of the patches in random order, (N, patches).
        num_visible: the encoder sees the first ``num_visible`` of them.
    """

    permutation: Tensor
    num_visible: int

    @property
    def visible_indices(self) -> Tensor:
        """Indices of the visible patches, (N, visible)."""
        return self.permutation[:, : self.num_visible]

    @property
    def masked_indices(self) -> Tensor:
        """Indices of the masked patches, (N, patches - visible)."""
        return self.permutation[:, self.num_visible :]


def count_visible_patches(num_patches: int, mask_ratio: float) -> int:
    """Return the number of visible patches: ``num_patches * (1 - mask_ratio)`` rounded down, as in MAE.

    Args:
        num_patches: number of patches.
        mask_ratio: fraction of the patches to mask.

    Raises:
        UserError: no patch is visible, or none is masked.

    >>> count_visible_patches(196, 0.75), count_visible_patches(49, 0.4)
    (49, 29)
    """
    count = int(num_patches * (1 - mask_ratio))
    if not 0 < count < num_patches:
        raise UserError(
            f"mask_ratio {mask_ratio:g} leaves {count} of {num_patches} patches visible; "
            "set a value that leaves at least one, but not all of them"
        )
    return count


def sample_masking(seeds: Tensor, num_patches: int, num_visible: int) -> Masking:
    """Draw a masking for each image from its seed.

    Args:
        seeds: (N,) int64, one per image.
        num_patches: number of patches.
        num_visible: number of visible patches.
    """
    return Masking(sample_permutation(seeds, num_patches, MASK_STREAM), num_visible)


def patchify(images: Tensor, patch_size: tuple[int, int]) -> Tensor:
    """Cut images into patches, row by row; inside a patch channels come first.

    Args:
        images: (N, C, height, width).
        patch_size: height and width of a patch, pixels.

    Returns:
        (N, patches, C * patch height * patch width).
    """
    count, channels, height, width = images.shape
    rows, columns = height // patch_size[0], width // patch_size[1]
    cells = images.reshape(count, channels, rows, patch_size[0], columns, patch_size[1])
    # (N, C, rows, h, columns, w) to (N, rows, columns, C, h, w): the order of a Conv2d weight, so that the patch
    # projection can be applied as a matrix product
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(count, rows * columns, channels * patch_size[0] * patch_size[1])


def unpatchify(patches: Tensor, patch_size: tuple[int, int], grid_size: tuple[int, int]) -> Tensor:
    """Invert ``patchify``.

    Args:
        patches: (N, patches, C * patch height * patch width).
        patch_size: height and width of a patch, pixels.
        grid_size: rows and columns of patches.
    """
    # (N, rows, columns, C, h, w) to (N, C, rows, h, columns, w)
    cells = patches.reshape(len(patches), *grid_size, -1, *patch_size).permute(0, 3, 1, 4, 2, 5)
    return cells.reshape(len(patches), -1, grid_size[0] * patch_size[0], grid_size[1] * patch_size[1])


def gather_tokens(tokens: Tensor, indices: Tensor) -> Tensor:
    """Select tokens by index.

    Args:
        tokens: (N, T, C).
        indices: (N, K).

    Returns:
        (N, K, C).
    """
    return tokens.gather(1, indices[:, :, None].expand(-1, -1, tokens.shape[2]))


def scatter_tokens(tokens: Tensor, indices: Tensor) -> Tensor:
    """Invert ``gather_tokens`` for a permutation: token ``i`` is moved to index ``indices[:, i]``.

    Args:
        tokens: (N, T, C).
        indices: permutations, (N, T).
    """
    return torch.empty_like(tokens).scatter(1, indices[:, :, None].expand_as(tokens), tokens)


def normalize_patches(patches: Tensor) -> Tensor:
    """Subtract the mean of each patch and divide by the root of its unbiased variance plus 1e-6.

    Args:
        patches: (..., pixels per patch).
    """
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return (patches - mean) * (variance + VARIANCE_EPSILON).rsqrt()
