"""The light decoder of a masked autoencoder."""

from __future__ import annotations

import torch
from timm.layers import LayerNorm
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from foundation.errors import UserError
from pretraining.models.patches import Masking, gather_tokens
from pretraining.models.sincos_pos_embed import sincos_pos_embed
from pretraining.models.vit import PatchGeometry
from pretraining.recipe import DecoderShape

DEFAULT_HEAD_DIM = 32
"""Channels per head if the recipe does not set the number of heads: 3 heads at width 96, 6 at 192."""


class MaeDecoder(nn.Module):
    """Predicts the pixels of masked patches from the visible tokens.

    Tokens stay in the order of the masking (visible first). Attention does not depend on the order, and each token
    gets the position embedding of its patch, so the tokens need no reordering and only masked ones are predicted.

    Args:
        encoder_dim: width of the encoder.
        shape: size of the decoder.
        patch_geometry: patches of the encoder.
        positions: ``fixed`` or ``learned`` position embeddings.

    Raises:
        UserError: the width is not a multiple of the number of heads.
    """

    def __init__(self, encoder_dim: int, shape: DecoderShape, patch_geometry: PatchGeometry, positions: str) -> None:
        super().__init__()
        width = shape.width or encoder_dim // 2
        heads = shape.heads or max(1, width // DEFAULT_HEAD_DIM)
        if width % heads:
            raise UserError(f"decoder.width {width} cannot be split over {heads} heads; set decoder.heads")
        self.patch_geometry = patch_geometry
        self.embed = nn.Linear(encoder_dim, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        rows = patch_geometry.num_prefix_tokens + patch_geometry.num_patches
        fixed = positions == "fixed"
        values = (
            sincos_pos_embed(width, patch_geometry.grid_size, patch_geometry.num_prefix_tokens)
            if fixed
            else torch.randn(1, rows, width) * 0.02
        )
        # also a parameter if fixed, so that both kinds are stored in checkpoints
        self.pos_embed = nn.Parameter(values, requires_grad=not fixed)
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio=4.0, qkv_bias=True) for _ in range(shape.depth))
        self.norm = LayerNorm(width)
        self.pred = nn.Linear(width, 3 * patch_geometry.patch_size[0] * patch_geometry.patch_size[1])

    def forward(self, tokens: Tensor, masking: Masking, predict_visible: bool = False) -> Tensor:
        """Return the pixels of the masked patches in the order of the masking, (N, masked, 3 * patch area).

        Args:
            tokens: output of the encoder after its norm: prefix tokens, then visible patches, (N, prefix + visible, C).
            masking: which patches are visible.
            predict_visible: also predict the visible patches; they come first.
        """
        prefix = self.patch_geometry.num_prefix_tokens
        count, hidden = len(tokens), self.patch_geometry.num_patches - masking.num_visible
        embedded = self.embed(tokens)
        # positions in the order of the masking: visible patches, then masked ones
        positions = gather_tokens(self.pos_embed[:, prefix:].expand(count, -1, -1), masking.permutation)
        blanks = self.mask_token.to(embedded.dtype).expand(count, hidden, -1)
        values = torch.cat([embedded, blanks], dim=1)
        values = values + torch.cat([self.pos_embed[:, :prefix].expand(count, -1, -1), positions], dim=1)
        for block in self.blocks:
            values = block(values)
        start = prefix if predict_visible else prefix + masking.num_visible
        predicted: Tensor = self.pred(self.norm(values[:, start:]))
        return predicted
