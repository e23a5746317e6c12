"""The light decoder of a masked autoencoder on plain ViTs."""

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
"""Channels a head where the recipe names no number of heads: 3 heads at width 96, 6 at 192."""


class MaeDecoder(nn.Module):
    """Predicts the pixels of masked patches from the visible tokens.

    Tokens stay in the order of the masking (visible first): attention does not mind, positions go with them, so
    nothing is put back in order and only masked tokens are predicted.

    Args:
        encoder_dim: of the encoder.
        shape: the decoder's size.
        patch_geometry: of the encoder's patches.
        positions: ``fixed`` or ``learned``.
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
        self.pos_embed = nn.Parameter(values, requires_grad=not fixed)
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio=4.0, qkv_bias=True) for _ in range(shape.depth))
        self.norm = LayerNorm(width)
        self.pred = nn.Linear(width, 3 * patch_geometry.patch_size[0] * patch_geometry.patch_size[1])

    def forward(self, tokens: Tensor, masking: Masking, predict_visible: bool = False) -> Tensor:
        """Pixels of the masked patches in the masking's order, (N, masked, 3 * patch).

        Args:
            tokens: the encoder's, after its norm: prefix, then visible patches, (N, prefix + visible, width).
            masking: which patches they are.
            predict_visible: predict the visible patches too; they come first.
        """
        prefix = self.patch_geometry.num_prefix_tokens
        count, hidden = len(tokens), self.patch_geometry.num_patches - masking.num_visible
        embedded = self.embed(tokens)
        places = gather_tokens(self.pos_embed[:, prefix:].expand(count, -1, -1), masking.permutation)
        blanks = self.mask_token.to(embedded.dtype).expand(count, hidden, -1)
        values = torch.cat([embedded, blanks], dim=1)
        values = values + torch.cat([self.pos_embed[:, :prefix].expand(count, -1, -1), places], dim=1)
        for block in self.blocks:
            values = block(values)
        start = prefix if predict_visible else prefix + masking.num_visible
        predicted: Tensor = self.pred(self.norm(values[:, start:]))
        return predicted
