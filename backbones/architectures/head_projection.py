"""Queries, keys and values of each head by matrices of their own: a form of attention's projection for exported graphs.

A fused projection gives (tokens, 3 * channels), which has to be split and transposed to (heads, tokens, head channels).
Runtimes copy memory for that. With one matrix per head the result has that order from the start.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class HeadProjection(nn.Module):
    """Projects tokens to queries, keys and values, head by head.

    Args:
        weight: the matrices, queries of all heads first, shape (3 * heads, channels, head channels).
        bias: shape (3 * heads, 1, head channels).
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """Project tokens.

        Args:
            tokens: shape (batch, tokens, channels).

        Returns:
            Queries, keys and values, each of shape (batch, heads, tokens, head channels).
        """
        # (batch, 1, tokens, channels) @ (3 * heads, channels, head channels)
        projected = tokens[:, None] @ self.weight + self.bias
        return torch.split(projected, len(self.weight) // 3, 1)


def split_projection(attn: Any) -> None:
    """Replace the fused projection of an attention module by one matrix per head; ``project_qkv`` then uses these.

    The scale of the logits moves into the queries, unless they are normalized in between. The module computes the same
    for evaluation; its weights have another form, so this is for copies that are exported.

    Args:
        attn: timm's attention module. It stays as it is if its projection is not one linear layer.
    """
    if not isinstance(attn.qkv, nn.Linear):
        return
    heads, (rows, channels) = attn.num_heads, attn.qkv.weight.shape
    # linear layers multiply with the transposed matrix: (3 * heads * head channels, channels)
    weight = attn.qkv.weight.detach().reshape(3 * heads, -1, channels).transpose(1, 2).clone()
    if getattr(attn, "q_bias", None) is not None:
        flat = torch.cat([attn.q_bias, attn.k_bias, attn.v_bias]).detach()  # EVA: no bias of the keys
    else:
        flat = attn.qkv.bias.detach() if attn.qkv.bias is not None else weight.new_zeros(rows)
    bias = flat.reshape(3 * heads, 1, -1).clone()
    if isinstance(attn.q_norm, nn.Identity):
        # also through a rotation, which is linear
        weight[:heads] *= attn.scale
        bias[:heads] *= attn.scale
        attn.scale = 1.0
    attn.qkv = HeadProjection(weight, bias)
