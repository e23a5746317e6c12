"""The light decoder of a masked autoencoder on plain ViTs."""

from __future__ import annotations

import torch
from timm.layers import LayerNorm
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from foundation.errors import UserError
from pretraining.models.patches import Masking, take
from pretraining.models.sincos_pos_embed import sin_cos
from pretraining.models.vit import Geometry
from pretraining.recipe import DecoderShape

HEAD = 32
"""Channels a head where the recipe names no number of heads: 3 heads at width 96, 6 at 192."""


class Decoder(nn.Module):
    """Predicts the pixels of masked patches from the visible tokens.

    Tokens stay in the order of the masking (visible first): attention does not mind, positions go with them, so
    nothing is put back in order and only masked tokens are predicted.

    Args:
        width_in: of the encoder.
        shape: the decoder's size.
        geometry: of the encoder's patches.
        positions: ``fixed`` or ``learned``.
    """

    def __init__(self, width_in: int, shape: DecoderShape, geometry: Geometry, positions: str) -> None:
        super().__init__()
        width = shape.width or width_in // 2
        heads = shape.heads or max(1, width // HEAD)
        if width % heads:
            raise UserError(f"decoder.width {width} cannot be split over {heads} heads; set decoder.heads")
        self.geometry = geometry
        self.embed = nn.Linear(width_in, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        rows = geometry.prefix + geometry.patches
        fixed = positions == "fixed"
        values = sin_cos(width, geometry.grid, geometry.prefix) if fixed else torch.randn(1, rows, width) * 0.02
        self.pos_embed = nn.Parameter(values, requires_grad=not fixed)
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio=4.0, qkv_bias=True) for _ in range(shape.depth))
        self.norm = LayerNorm(width)
        self.predict = nn.Linear(width, 3 * geometry.patch[0] * geometry.patch[1])

    def forward(self, tokens: Tensor, masking: Masking, everything: bool = False) -> Tensor:
        """Pixels of the masked patches in the masking's order, (N, masked, 3 * patch).

        Args:
            tokens: the encoder's, after its norm: prefix, then visible patches, (N, prefix + visible, width).
            masking: which patches they are.
            everything: predict the visible patches too; they come first.
        """
        prefix = self.geometry.prefix
        count, hidden = len(tokens), self.geometry.patches - masking.visible
        embedded = self.embed(tokens)
        places = take(self.pos_embed[:, prefix:].expand(count, -1, -1), masking.order)
        blanks = self.mask_token.to(embedded.dtype).expand(count, hidden, -1)
        values = torch.cat([embedded, blanks], dim=1)
        values = values + torch.cat([self.pos_embed[:, :prefix].expand(count, -1, -1), places], dim=1)
        for block in self.blocks:
            values = block(values)
        start = prefix if everything else prefix + masking.visible
        predicted: Tensor = self.predict(self.norm(values[:, start:]))
        return predicted
