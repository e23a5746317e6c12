"""Plain ViTs with a relative position bias in addition to the absolute positions.

The papers use them for fine-tuning over 1000 epochs. As in BEiT, each block has its own table: one row for every
offset between two patches, and three more rows for class to patch, patch to class and class to class. The tables start
at zero, so a new model computes the same as the plain ViT.

Source: arXiv 2404.12210; wangsr126/MAE-Lite, projects/eval_tools/models_vit_rpe.py, with its ``qv_bias=False`` (a bias
on q, k and v) and without LayerScale, which is the model of the published 79.4. A bias of the keys has no effect on
softmax, so the variants differ only in where a fine-tuning starts (docs/explanation/parity.md).
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
from backbones.checkpoints.sizes.position_tables import resample_rel_pos_table
from foundation.errors import UserError

GridSize = tuple[int, int]
CLASS_TOKEN_ROWS = 3
"""The last rows of a table belong to the class token: class to patch, patch to class, class to class."""

_HEAD_SCALE = 0.001
"""What BEiT multiplies the initial weights of a classifier by, so that all classes start almost equally likely."""


class RelPosAttention(Attention):
    """timm's attention with a relative position bias added to the logits.

    The tokens are the class token followed by the patches of a grid, row by row.

    Attributes:
        relative_position_bias_table: ((2 * height - 1) * (2 * width - 1) + 3, heads), where height and width are those
            of ``table_grid`` in patches.
        relative_position_index: (tokens, tokens), the table row of each pair of tokens in ``table_grid``.
        table_grid: the grid that the table is made for.
        input_grid: the grid of the current input; it differs from ``table_grid`` under ``dynamic_img_size``.
    """

    relative_position_bias_table: Tensor | None
    relative_position_index: Tensor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # the grid is known only to the model, which calls set_grid once its patch embedding is made
        self.register_parameter("relative_position_bias_table", None)
        self.table_grid: GridSize = (0, 0)
        self.input_grid: GridSize = (0, 0)

    @property
    def window_size(self) -> GridSize:
        """The grid of the table, under the name of windowed attention: the loader resamples a file's table to it."""
        return self.table_grid

    def set_grid(self, grid: GridSize) -> None:
        """Make the table fit a grid: create it with zeros the first time, resample it after that.

        Args:
            grid: height and width of the patch grid.
        """
        old = self.relative_position_bias_table
        weight = self.qkv.weight
        if old is None:
            # an offset between two rows lies in -(height - 1) .. height - 1, which makes 2 * height - 1 values
            rows = (2 * grid[0] - 1) * (2 * grid[1] - 1) + CLASS_TOKEN_ROWS
            self.relative_position_bias_table = nn.Parameter(weight.new_zeros(rows, self.num_heads))
        else:
            resized = resample_rel_pos_table(old.detach(), self.table_grid, grid)
            self.relative_position_bias_table = nn.Parameter(resized, requires_grad=old.requires_grad)
        # not persistent: it follows from the grid, and a checkpoint of another size must not overwrite it
        index = gen_relative_position_index(grid, class_token=True, device=weight.device)
        self.register_buffer("relative_position_index", index, persistent=False)
        self.table_grid = self.input_grid = grid

    def compute_bias(self) -> Tensor:
        """Return the bias on the attention logits for the current input grid, shape (1, heads, tokens, tokens)."""
        table, index = self.relative_position_bias_table, self.relative_position_index
        assert table is not None
        if self.input_grid != self.table_grid:
            # resampled at every pass and not stored, so that gradients reach the table and other sizes leave no trace
            table = resample_rel_pos_table(table, self.table_grid, self.input_grid)
            index = gen_relative_position_index(self.input_grid, class_token=True, device=table.device)
        # (heads, rows) first, then gather: several times faster than gathering (row, heads) and permuting the result
        return table.T.contiguous().index_select(1, index.flatten()).view(1, -1, *index.shape)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, **kwargs: Any) -> Tensor:
        """Apply attention with the relative position bias.

        Args:
            x: tokens, shape (batch, 1 + height * width, channels).
            attn_mask: a mask of timm's kind that broadcasts to (batch, heads, tokens, tokens): boolean (``False`` hides
                a token) or a number to add to the logits. It is applied in addition to the bias.
            kwargs: passed to timm's attention.

        Returns:
            Tokens, shape (batch, 1 + height * width, channels).

        Raises:
            UserError: the tokens are not the class token and a complete grid of patches.
        """
        height, width = self.input_grid
        if x.shape[1] != height * width + 1:
            raise UserError(
                f"relative position bias needs the class token and all {height}x{width} patches of the input, but "
                f"got {x.shape[1]} tokens; use the variant without _rpe where tokens are masked, dropped or joined"
            )
        bias = self.compute_bias()
        if attn_mask is not None:
            is_bool = attn_mask.dtype == torch.bool
            bias = bias.masked_fill(~attn_mask, float("-inf")) if is_bool else bias + attn_mask
        # both of timm's attention paths add a floating-point mask to the logits, which is what a bias is
        out: Tensor = super().forward(x, attn_mask=bias, **kwargs)
        return out


class RelPosViT(VisionTransformer):
    """timm's ViT with ``RelPosAttention`` in every block.

    The tables follow the input size in the same way as ``pos_embed``: resampled once by ``set_input_size``, or at every
    pass with ``dynamic_img_size``.

    Args:
        beit_init: start like BEiT, as MAE-Lite fine-tunes, and not like timm's ViT; see ``_init_like_beit``.
        kwargs: passed to timm's ``VisionTransformer``.
    """

    def __init__(self, beit_init: bool = False, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "attn_layer": RelPosAttention})
        if self.num_prefix_tokens != 1 or not self.has_class_token:
            raise ValueError("relative position tables are made for one class token and no register tokens")
        self._set_grids()
        if beit_init:
            self._init_like_beit()

    def _init_like_beit(self) -> None:
        """Change timm's initial weights to those of BEiT (microsoft/unilm, which models_vit_rpe.py follows).

        Linear layers, positions, tables and norms have timm's already. The patch projection and the class token get the
        same standard deviation of 0.02; the last layer of each branch is divided by sqrt(2 l) in block l, and the
        classifier multiplied by 0.001. Fine-tuning loads all of it except the classifier.
        """
        projection = self.patch_embed.proj
        nn.init.trunc_normal_(projection.weight, std=0.02)
        nn.init.zeros_(projection.bias)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        self.fix_init_weight()  # timm's name for the division
        if isinstance(self.head, nn.Linear):
            with torch.no_grad():
                self.head.weight.mul_(_HEAD_SCALE)
                self.head.bias.mul_(_HEAD_SCALE)

    def set_input_size(self, img_size: Any = None, patch_size: Any = None) -> None:
        """Change the input size as timm does, and resample the tables too.

        Args:
            img_size: side, or height and width, in pixels; unchanged when not given.
            patch_size: side, or height and width, in pixels; unchanged when not given.
        """
        super().set_input_size(img_size=img_size, patch_size=patch_size)
        self._set_grids()

    def _set_grids(self) -> None:
        """Fit every block's table to the grid of the patch embedding."""
        for block in self.blocks:
            block.attn.set_grid(tuple(self.patch_embed.grid_size))

    def _pos_embed(self, x: Tensor) -> Tensor:
        """Tell every block the grid of the current input. timm calls this between patch embedding and blocks."""
        if self.dynamic_img_size:
            # here x still has its grid, (batch, grid height, grid width, channels); the blocks see a flat sequence
            for block in self.blocks:
                block.attn.input_grid = (x.shape[1], x.shape[2])
        embedded: Tensor = super()._pos_embed(x)
        return embedded


def _build_rpe_vit(variant: str, defaults: dict[str, Any], overrides: dict[str, Any]) -> RelPosViT:
    """Build one variant; ``overrides`` take precedence over ``defaults``."""
    return build_timm_model(
        RelPosViT, variant, defaults, overrides, feature_cfg=VIT_FEATURE_CFG, filter_fn=checkpoint_filter_fn
    )


@register_model
def vit_tiny_12h_rpe(**kwargs: Any) -> RelPosViT:
    """Build ``vit_tiny_12h`` with relative position bias: 5,822,824 parameters with 1000 classes."""
    return _build_rpe_vit("vit_tiny_12h_rpe", VIT_TINY_ARGS, kwargs)


@register_model
def vit_small_12h_rpe(**kwargs: Any) -> RelPosViT:
    """Build ``vit_small_12h`` with relative position bias: 22,156,072 parameters with 1000 classes."""
    return _build_rpe_vit("vit_small_12h_rpe", VIT_SMALL_ARGS, kwargs)


@register_model
def vit_base_rpe(**kwargs: Any) -> RelPosViT:
    """Build ``vit_base`` with relative position bias: 86,673,064 parameters with 1000 classes."""
    return _build_rpe_vit("vit_base_rpe", VIT_BASE_ARGS, kwargs)
