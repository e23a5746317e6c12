"""Position embeddings of the two crops, resampled or computed from those of the backbone for each crop's own grid."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def resize_pos_embed(vit: Any, grid_size: int) -> Tensor | None:
    """Return a backbone's learned position embeddings of patches on another square grid.

    Args:
        vit: the backbone.
        grid_size: number of patches per side of the new grid.

    Returns:
        Shape (1, grid_size ** 2, channels); ``None`` if the backbone has only a rotary embedding.
    """
    if vit.pos_embed is None:
        return None
    positions = vit.pos_embed.detach()
    rows, columns = vit.patch_embed.grid_size
    # prefix tokens, if they have positions, come first
    patches = positions[:, positions.shape[1] - rows * columns :]
    # an image with the channels first, as interpolate expects it; no antialias, as in OSTrack
    chart = patches.reshape(1, rows, columns, -1).permute(0, 3, 1, 2)
    chart = functional.interpolate(chart, size=(grid_size, grid_size), mode="bicubic", align_corners=False)
    return chart.flatten(2).transpose(1, 2).contiguous()


def compute_rotation(rope: Any, grid_size: int) -> Tensor:
    """Compute a backbone's rotary position embedding for another square grid, with timm's own code.

    Args:
        rope: timm's rotary embedding.
        grid_size: number of patches per side of the grid.

    Returns:
        Sine and cosine of each patch, shape (patches, 2 * head channels); with (blocks, heads) in front if each block
        has learned its own frequencies.
    """
    grid = [grid_size, grid_size]
    # an embedding made for one image size answers with that one, whatever grid it is asked for
    if getattr(rope, "feat_shape", None) is not None and not has_own_weights(rope):
        rope = copy.deepcopy(rope)
        rope.update_feat_shape(grid)
        rotation: Tensor = rope.get_embed()
    else:
        rotation = rope.get_embed(shape=grid)
    return rotation


def has_own_weights(rope: nn.Module) -> bool:
    """Return whether a rotary embedding has learned frequencies.

    Args:
        rope: timm's rotary embedding.
    """
    return next(rope.parameters(), None) is not None


def is_constant(rope: nn.Module) -> bool:
    """Return whether a rotary embedding stays the same: nothing in it is learned, or drawn at random in training.

    Args:
        rope: timm's rotary embedding.
    """
    return not has_own_weights(rope) and not getattr(rope, "aug_active", False)


def rotate_kept_tokens(rotation: Tensor, token_indices: Tensor) -> Tensor:
    """Return the rotation of the tokens that remain of a grid.

    Args:
        rotation: rotation of every cell, shape (cells, channels) or (heads, cells, channels).
        token_indices: grid index of each remaining token, shape (batch, tokens).

    Returns:
        The rotation itself if all tokens remain, else shape (batch, 1 or heads, tokens, channels).
    """
    if token_indices.shape[1] == rotation.shape[-2]:
        return rotation
    heads = rotation if rotation.ndim == 3 else rotation[None]
    # (heads, batch, tokens, channels): each image has dropped other tokens
    return heads[:, token_indices].transpose(0, 1)


def join_rotations(template: Tensor, search: Tensor) -> Tensor:
    """Join the rotations of both crops, the template first.

    Args:
        template: rotation of the template's cells, shape (cells, channels) or (heads, cells, channels).
        search: a result of ``rotate_kept_tokens``.
    """
    if search.ndim > template.ndim:
        template = (template if template.ndim == 3 else template[None]).expand(len(search), -1, -1, -1)
    return torch.cat([template, search], -2)


def gather_tokens(tokens: Tensor, token_indices: Tensor) -> Tensor:
    """Return some tokens of each image.

    Args:
        tokens: shape (batch, tokens, channels).
        token_indices: indices of the tokens of each image, shape (batch, kept tokens).

    Returns:
        Shape (batch, kept tokens, channels).
    """
    batch, count, channels = tokens.shape
    # Whole rows of one list over all images: runtimes copy these at once, and single elements one by one.
    first = torch.arange(batch, device=tokens.device)[:, None] * count
    rows = tokens.reshape(batch * count, channels).index_select(0, (token_indices + first).flatten())
    return rows.reshape(batch, -1, channels)
