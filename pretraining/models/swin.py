"""Run timm's Swin on masked images, and return the attention logits that a distillation compares."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import DropPath
from timm.models.swin_transformer import window_partition
from torch import Tensor, nn

from pretraining.models.vit import compute_qk_logits

INIT_STD = 0.02
"""Standard deviation of the initial weights of linear layers, tables of relative positions and mask tokens."""


def initialize_linear_layers(module: nn.Module) -> None:
    """Initialize all linear layers as Swin's code does: truncated normal with std 0.02, and a bias of 0.

    Args:
        module: changed in place; its other layers stay as they are.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=INIT_STD)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def set_drop_path(backbone: Any, rate: float, num_blocks: int) -> None:
    """Set the stochastic depth of all blocks; the rate rises linearly from 0.

    Args:
        backbone: timm's Swin, changed in place.
        rate: rate of the last of ``num_blocks`` blocks.
        num_blocks: number of blocks over which the rate rises, at least that of the backbone. Block i (from 0) has
            ``rate * i / (num_blocks - 1)``.
    """
    blocks = [block for stage in backbone.layers for block in stage.blocks]
    for number, block in enumerate(blocks):
        own = rate * number / max(num_blocks - 1, 1)
        block.drop_path1, block.drop_path2 = (DropPath(own) if own else nn.Identity() for _ in range(2))


def embed_masked_patches(backbone: Any, images: Tensor, masks: Tensor, mask_token: Tensor) -> Tensor:
    """Return the patch tokens of images, (N, rows, columns, C), with the masked ones replaced by the mask token.

    Args:
        backbone: timm's Swin.
        images: (N, 3, S, S), normalized for it.
        masks: (N, unit rows, unit columns) bool, true for masked units; a unit is a whole number of patches.
        mask_token: C values, in any shape.
    """
    tokens = backbone.patch_embed(images)
    # from masks of units to masks of patches
    cells = masks.repeat_interleave(tokens.shape[1] // masks.shape[1], 1)
    cells = cells.repeat_interleave(tokens.shape[2] // masks.shape[2], 2)
    return torch.where(cells[..., None], mask_token.reshape(1, 1, 1, -1).to(tokens), tokens)


def compute_window_logits(block: Any, tokens: Tensor) -> Tensor:
    """Return the attention logits of a block without window shift, with its position bias.

    Args:
        block: a block of timm's Swin.
        tokens: (N, rows, columns, C); rows and columns are multiples of the window's sides.

    Returns:
        (N * windows, heads, T, T), where T is the number of tokens in a window.
    """
    attention = block.attn
    windows = window_partition(block.norm1(tokens), block.window_size).flatten(1, 2)
    logits: Tensor = compute_qk_logits(windows, attention, attention.num_heads) + attention._get_rel_pos_bias()
    return logits


def compute_last_logits(backbone: Any, tokens: Tensor) -> Tensor:
    """Return the attention logits of a Swin's last block; what follows them is not computed.

    Args:
        backbone: timm's Swin; its last block has no window shift.
        tokens: embedded patches, (N, rows, columns, C).
    """
    last = backbone.layers[-1]
    tokens = last.downsample(backbone.layers[:-1](tokens))
    return compute_window_logits(last.blocks[-1], last.blocks[:-1](tokens))
