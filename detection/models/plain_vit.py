"""A plain ViT on large images: windows, a few global blocks, relative positions, as in ViTDet (arXiv 2203.16527)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import Attention, AttentionRope, PatchEmbed
from timm.models.eva import Eva, EvaAttention, EvaBlock, EvaBlockPostNorm
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from backbones.architectures.block_parts import add_attention, add_mlp, normalize_input
from backbones.architectures.rpe import RelPosAttention
from detection.models.window_attention import (
    GridShape,
    RelativePositions,
    attend_in_grid,
    join_windows,
    keep_full_precision,
    make_resize_matrix,
    split_windows,
)
from foundation.errors import UserError

_KNOWN_BLOCKS = (Block, EvaBlock, EvaBlockPostNorm)
_KNOWN_ATTENTION = (Attention, RelPosAttention, EvaAttention, AttentionRope)
"""The blocks and attention modules whose parts ``backbones.architectures.block_parts`` knows."""

_LARGEST_GRID = 100
"""Largest number of patches per side: attention over 10,000 patches needs 400 MB per head and image in fp32."""

_UNUSED_PARTS = ("cls_token", "reg_token", "dist_token", "attn_pool")
_UNUSED_LAYERS = ("norm", "fc_norm", "head", "head_dist")
"""What a pre-trained ViT has and a detector does not use."""


def takes_windows(trunk: nn.Module) -> bool:
    """Return whether a trunk is a ViT of timm whose blocks can attend within windows.

    Args:
        trunk: a timm model.
    """
    if not isinstance(trunk, VisionTransformer | Eva) or not isinstance(trunk.patch_embed, PatchEmbed):
        return False
    blocks: Any = trunk.blocks
    # exact types: subclasses and others (parallel blocks, differential attention) compute something else in forward
    is_known = all(type(block) in _KNOWN_BLOCKS and type(block.attn) in _KNOWN_ATTENTION for block in blocks)
    height, width = trunk.patch_embed.patch_size
    return is_known and height == width


def choose_global_blocks(depth: int) -> list[int]:
    """Return the last block of each quarter, which attends globally: 2, 5, 8 and 11 of 12.

    Args:
        depth: number of blocks.

    >>> choose_global_blocks(12), choose_global_blocks(3)
    ([2, 5, 8, 11], [0, 1, 2])
    """
    # -(-a // b) is ceil(a / b); a set, because with fewer than four blocks some quarters end at the same block
    return sorted({-(-depth * quarter // 4) - 1 for quarter in (1, 2, 3, 4)})


class WindowedViT(nn.Module):
    """Runs the blocks of a timm ViT over an image of any size, and returns the last one's map without a norm.

    Most blocks attend within windows of cells, after whose ``norm1`` the grid is filled up with zeros; the zeros take
    part in the attention. Learned positions keep the size of the pre-training and are resized bicubically at every
    pass. Class and register tokens, the final norm and the classifier are removed from the trunk: nothing uses them,
    and distributed training would wait for their gradients. A trunk's own relative or rotary positions are used too.

    Args:
        trunk: the model, for which ``takes_windows`` holds; it is changed in place.
        size: side in pixels of the images that the tables of the global blocks are made for.
        window: rows and columns of a window; 0: all blocks attend globally.
        global_blocks: indices, from 0, of the blocks that attend globally; ``None``: see ``choose_global_blocks``.
        rel_pos: whether decomposed relative positions are added.

    Attributes:
        trunk: the timm model.
        rel_pos: the relative positions of each block; empty without them.
        channels: one number, the channels of the map.
        strides: one number, the patch in pixels.

    Raises:
        UserError: the trunk has no such block, or the images have too many patches.
    """

    trunk: Any

    def __init__(
        self,
        trunk: nn.Module,
        size: int,
        *,
        window: int = 14,
        global_blocks: Sequence[int] | None = None,
        rel_pos: bool = True,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        depth = len(self.trunk.blocks)
        chosen = choose_global_blocks(depth) if global_blocks is None else sorted(set(global_blocks))
        if any(not 0 <= index < depth for index in chosen):
            raise UserError(
                f"model.global_blocks {chosen} names a block that {type(trunk).__name__} does not have: "
                f"its {depth} are 0 to {depth - 1}"
            )
        patch = int(self.trunk.patch_embed.patch_size[0])
        self.strides, self.channels = [patch], [int(self.trunk.embed_dim)]
        grid = -(-size // patch)
        if grid > _LARGEST_GRID:
            raise UserError(
                f"{size} px in patches of {patch} px are {grid} x {grid} patches, and global attention between all of "
                f"them needs {grid**4 * 4 / 2**30:.0f} GiB per head and image; set size to {_LARGEST_GRID * patch} or "
                "less, or choose a backbone with larger patches"
            )
        # the side of the windows of each block; 0: it attends globally
        self.windows = [0 if index in chosen else window for index in range(depth)]
        self._remove_unused_parts()
        self.rel_pos = nn.ModuleList()
        for block, side in zip(self.trunk.blocks, self.windows, strict=True):
            if rel_pos:
                self.rel_pos.append(RelativePositions(side or grid, int(block.attn.head_dim)))
            if isinstance(block.attn, RelPosAttention):  # the trunk's own tables, resampled
                block.attn.set_grid((side or grid, side or grid))

    def _remove_unused_parts(self) -> None:
        """Remove from the trunk what no map depends on."""
        for name in _UNUSED_PARTS:
            if getattr(self.trunk, name, None) is not None:
                setattr(self.trunk, name, None)
        for name in _UNUSED_LAYERS:
            if isinstance(getattr(self.trunk, name, None), nn.Module):
                setattr(self.trunk, name, nn.Identity())

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute the map.

        Args:
            images: normalized images, (batch, 3, height, width); filled up with zeros to multiples of the patch.

        Returns:
            One map (batch, channels, height / patch, width / patch), rounded up.
        """
        patch = self.strides[0]
        height, width = int(images.shape[2]), int(images.shape[3])
        embed = self.trunk.patch_embed
        # (batch, channels, rows, columns) to (batch, rows, columns, channels)
        cells = embed.proj(functional.pad(images, (0, -width % patch, 0, -height % patch))).permute(0, 2, 3, 1)
        cells = embed.norm(cells)
        grid = (int(cells.shape[1]), int(cells.shape[2]))
        if self.trunk.pos_embed is not None:
            cells = cells + self._resize_positions(grid)
        # timm's dropout and norm behind the positions work on tokens
        tokens = self.trunk.norm_pre(self.trunk.pos_drop(cells.flatten(1, 2)))
        cells = tokens.unflatten(1, grid)
        rotations = self._compute_rotations(grid)
        for index, block in enumerate(self.trunk.blocks):
            positions: Any = self.rel_pos[index] if len(self.rel_pos) else None
            cells = _run_block(block, cells, self.windows[index], positions, rotations[index])
        return [cells.permute(0, 3, 1, 2).contiguous()]

    def _resize_positions(self, grid: GridShape) -> Tensor:
        """Return the learned positions of the patches on another grid, shape (1, rows, columns, channels)."""
        positions = self.trunk.pos_embed
        rows, columns = self.trunk.patch_embed.grid_size
        # class and register tokens, if they have positions, come first
        chart = positions[:, positions.shape[1] - rows * columns :].unflatten(1, (rows, columns))
        if (rows, columns) == grid:
            return chart  # type: ignore[no-any-return]
        # bicubic interpolation works along one axis after the other, so it is a product with one matrix per axis
        with keep_full_precision(chart):
            down = make_resize_matrix(rows, grid[0], "bicubic", chart)
            across = make_resize_matrix(columns, grid[1], "bicubic", chart)
            return torch.einsum("ip,bpqc,jq->bijc", down, chart, across)

    def _compute_rotations(self, grid: GridShape) -> list[Tensor | None]:
        """Return the rotary embedding of the grid's cells for each block, ``None`` for a trunk without one.

        Each has the shape (1 or heads, cells, 2 * head channels). It depends on the distance of two cells alone, so
        that a window can use that of its part of the grid.
        """
        depth, rope = len(self.trunk.blocks), getattr(self.trunk, "rope", None)
        if rope is None:
            return [None] * depth
        # an embedding made for one image size answers with that one, whatever grid it is asked for
        if getattr(rope, "feat_shape", None) is not None and next(rope.parameters(), None) is None:
            rope = copy.deepcopy(rope)
            rope.update_feat_shape(list(grid))
            rotation = rope.get_embed()
        else:
            rotation = rope.get_embed(shape=list(grid))
        # timm's mixed embedding has other frequencies in each block: (blocks, heads, cells, 2 * head channels)
        if rotation.ndim == 4:
            return list(rotation)
        return [rotation if rotation.ndim == 3 else rotation[None]] * depth


def _run_block(
    block: Any, cells: Tensor, window: int, positions: RelativePositions | None, rotation: Tensor | None
) -> Tensor:
    """Run a block over a grid of cells (batch, rows, columns, channels)."""
    grid = (int(cells.shape[1]), int(cells.shape[2]))
    normed = normalize_input(block, cells)
    if window:
        parts = split_windows(normed, window)
        if rotation is not None:
            # (windows, heads, cells of a window, channels), the same for each item of the batch
            charts = split_windows(torch.unflatten(rotation, 1, grid), window).flatten(1, 2)
            rotation = torch.unflatten(charts, 0, (len(rotation), -1)).transpose(0, 1).repeat(len(cells), 1, 1, 1)
        attended = join_windows(attend_in_grid(block.attn, parts, positions, rotation), grid)
    else:
        attended = attend_in_grid(block.attn, normed, positions, rotation)
    # drop path works on items, so it comes behind the windows; the MLP never sees what was filled up
    return add_mlp(block, add_attention(block, cells, attended))
