"""Plain ViTs with a relative position bias besides the absolute positions, as the papers fine-tune for 1000 epochs.

Each block has a table of its own, as in BEiT: one row for every offset between two patches, and three for class to
patch, patch to class and class to class. Tables start at zero, so a fresh variant computes what the plain ViT does
(arXiv 2404.12210; the arrangement of wangsr126/MAE-Lite, projects/eval_tools/models_vit_rpe.py, with its
``qv_bias=False``, that is a bias on q, k and v, and no LayerScale).
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import Attention
from timm.layers.pos_embed_rel import gen_relative_position_index
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor, nn

from backbones.architectures.build import build_timm_model
from backbones.architectures.plain import VIT_BASE_ARGS, VIT_FEATURE_CFG, VIT_SMALL_ARGS, VIT_TINY_ARGS
from backbones.checkpoints.resize import resample_rel_pos_table
from foundation.errors import UserError

GridSize = tuple[int, int]
CLASS_TOKEN_ROWS = 3
"""Rows of a table that belong to the class token: class to patch, patch to class, class to class."""


class RelPosAttention(Attention):
    """timm's attention with a relative position bias added to the logits; the tokens are class, then a grid."""

    relative_position_bias_table: Tensor | None
    relative_position_index: Tensor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_parameter("relative_position_bias_table", None)
        self.table_grid: GridSize = (0, 0)
        self.input_grid: GridSize = (0, 0)

    def set_grid(self, grid: GridSize) -> None:
        """Fit the table to ``grid`` (height, width): zeros the first time, resampled from then on."""
        old = self.relative_position_bias_table
        weight = self.qkv.weight
        if old is None:
            rows = (2 * grid[0] - 1) * (2 * grid[1] - 1) + CLASS_TOKEN_ROWS
            self.relative_position_bias_table = nn.Parameter(weight.new_zeros(rows, self.num_heads))
        else:
            resized = resample_rel_pos_table(old.detach(), self.table_grid, grid)
            self.relative_position_bias_table = nn.Parameter(resized, requires_grad=old.requires_grad)
        index = gen_relative_position_index(grid, class_token=True, device=weight.device)
        self.register_buffer("relative_position_index", index, persistent=False)
        self.table_grid = self.input_grid = grid

    def compute_bias(self) -> Tensor:
        """The bias on the attention logits for the current input grid: 1 x heads x tokens x tokens."""
        table, index = self.relative_position_bias_table, self.relative_position_index
        assert table is not None
        if self.input_grid != self.table_grid:
            table = resample_rel_pos_table(table, self.table_grid, self.input_grid)
            index = gen_relative_position_index(self.input_grid, class_token=True, device=table.device)
        # heads first, then gather: several times faster than gathering rows and permuting the result
        return table.T.contiguous().index_select(1, index.flatten()).view(1, -1, *index.shape)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, **kwargs: Any) -> Tensor:
        """Attention over ``x`` (batch x tokens x width); a mask of timm's kind is applied on top of the bias.

        Raises:
            UserError: the tokens are not the class token and a whole grid of patches.
        """
        height, width = self.input_grid
        if x.shape[1] != height * width + 1:
            raise UserError(
                f"relative position bias needs the class token and all {height}x{width} patches of the input; it got "
                f"{x.shape[1]} tokens; use the variant without _rpe where tokens are masked, dropped or joined"
            )
        bias = self.compute_bias()
        if attn_mask is not None:
            is_bool = attn_mask.dtype == torch.bool
            bias = bias.masked_fill(~attn_mask, float("-inf")) if is_bool else bias + attn_mask
        out: Tensor = super().forward(x, attn_mask=bias, **kwargs)
        return out


class RelPosViT(VisionTransformer):
    """timm's ViT with ``RelPosAttention`` in every block; tables follow the input size as ``pos_embed`` does."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "attn_layer": RelPosAttention})
        if self.num_prefix_tokens != 1 or not self.has_class_token:
            raise ValueError("relative position tables are made for one class token and no register tokens")
        self._set_grids()

    def set_input_size(self, img_size: Any = None, patch_size: Any = None) -> None:
        """As timm's, and resample the tables."""
        super().set_input_size(img_size=img_size, patch_size=patch_size)
        self._set_grids()

    def _set_grids(self) -> None:
        for block in self.blocks:
            block.attn.set_grid(tuple(self.patch_embed.grid_size))

    def _pos_embed(self, x: Tensor) -> Tensor:
        """timm's hook between patch embedding and blocks; here an input of another size makes itself known."""
        if self.dynamic_img_size:
            for block in self.blocks:
                block.attn.input_grid = (x.shape[1], x.shape[2])
        embedded: Tensor = super()._pos_embed(x)
        return embedded


def _build_rpe_vit(variant: str, defaults: dict[str, Any], overrides: dict[str, Any]) -> RelPosViT:
    return build_timm_model(
        RelPosViT, variant, defaults, overrides, feature_cfg=VIT_FEATURE_CFG, filter_fn=checkpoint_filter_fn
    )


@register_model
def vit_tiny_12h_rpe(**kwargs: Any) -> RelPosViT:
    """``vit_tiny_12h`` with relative position bias: 5,822,824 parameters with 1000 classes."""
    return _build_rpe_vit("vit_tiny_12h_rpe", VIT_TINY_ARGS, kwargs)


@register_model
def vit_small_12h_rpe(**kwargs: Any) -> RelPosViT:
    """``vit_small_12h`` with relative position bias: 22,156,072 parameters with 1000 classes."""
    return _build_rpe_vit("vit_small_12h_rpe", VIT_SMALL_ARGS, kwargs)


@register_model
def vit_base_rpe(**kwargs: Any) -> RelPosViT:
    """``vit_base`` with relative position bias: 86,673,064 parameters with 1000 classes."""
    return _build_rpe_vit("vit_base_rpe", VIT_BASE_ARGS, kwargs)
