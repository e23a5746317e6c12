"""The parts of timm's transformer blocks, so that attention can distinguish template and search tokens.

Two kinds of blocks are known: ``Block`` of timm's ``VisionTransformer``; and ``EvaBlock`` or ``EvaBlockPostNorm`` of
timm's ``Eva``, of which EVA-02, DINOv3 and other ViTs with rotary position embedding are made. Each function computes
what the corresponding lines of timm's forward pass compute.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import apply_rot_embed_cat
from timm.models.eva import EvaBlock, EvaBlockPostNorm
from torch import Tensor, nn
from torch.nn import functional

from backbones.architectures.head_projection import HeadProjection


def normalize_input(block: Any, tokens: Tensor) -> Tensor:
    """Compute the input of a block's attention.

    Args:
        block: timm's block.
        tokens: tokens of any shape (..., channels).
    """
    normed: Tensor = tokens if isinstance(block, EvaBlockPostNorm) else block.norm1(tokens)
    return normed


def project_qkv(attn: Any, tokens: Tensor, rotation: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Compute queries, keys and values as timm's attention does.

    Args:
        attn: timm's attention module.
        tokens: normalized tokens, shape (batch, tokens, channels).
        rotation: sine and cosine of each token's position, side by side as timm's rotary embeddings give them, shape
            (tokens, 2 * head channels), with (batch, heads or 1) or heads in front; ``None`` without such an embedding.

    Returns:
        Queries, keys and values, each of shape (batch, heads, tokens, head channels).
    """
    q, k, v = _project_fused(attn, tokens) if attn.qkv is not None else _project_separately(attn, tokens)
    q, k = attn.q_norm(q), attn.k_norm(k)
    if rotation is not None:
        half = bool(getattr(attn, "rotate_half", False))
        q, k = (apply_rot_embed_cat(part, rotation, half=half).type_as(v) for part in (q, k))
    # grouped-query attention: several heads share their keys and values
    if (groups := attn.num_heads // k.shape[1]) > 1:
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    return q, k, v


def _project_fused(attn: Any, tokens: Tensor) -> tuple[Tensor, ...]:
    """Project with one weight matrix for queries, keys and values, or with one for each head of each."""
    if isinstance(attn.qkv, HeadProjection):
        parts: tuple[Tensor, ...] = attn.qkv(tokens)
        return parts
    if getattr(attn, "q_bias", None) is None:
        qkv = attn.qkv(tokens)
    else:
        # EVA has no bias on its keys; k_bias is a buffer of zeros
        qkv = functional.linear(tokens, attn.qkv.weight, torch.cat([attn.q_bias, attn.k_bias, attn.v_bias]))
    # (batch, tokens, 3 * channels) -> (3, batch, heads, tokens, head channels)
    return qkv.reshape(*tokens.shape[:2], 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)  # type: ignore[no-any-return]


def _project_separately(attn: Any, tokens: Tensor) -> tuple[Tensor, ...]:
    """Project with a weight matrix each for queries, keys and values; there may be fewer heads of the latter two."""
    return tuple(
        part(tokens).unflatten(2, (-1, attn.head_dim)).transpose(1, 2)
        for part in (attn.q_proj, attn.k_proj, attn.v_proj)
    )


def compute_attention(attn: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Compute fused attention with timm's dropout.

    Args:
        attn: timm's attention module.
        q: queries, shape (batch, heads, queries, head channels).
        k: keys, shape (batch, heads, keys, head channels).
        v: values, shape (batch, heads, keys, head channels).
        bias: numbers added to the logits, broadcast to (batch, heads, queries, keys); ``None`` for none.

    Returns:
        Shape (batch, heads, queries, head channels).
    """
    dropout = attn.attn_drop.p if attn.training else 0.0
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout, scale=attn.scale)


def merge_heads(attn: Any, out: Tensor, tokens: Tensor) -> Tensor:
    """Join the heads and project them, with timm's optional norm and gate.

    Args:
        attn: timm's attention module.
        out: attention of each head, shape (batch, heads, tokens, head channels).
        tokens: input of the attention module, for the gate, shape (batch, tokens, channels).

    Returns:
        Shape (batch, tokens, channels).
    """
    joined = attn.norm(out.transpose(1, 2).flatten(2))
    gate = getattr(attn, "gate", None)
    if gate is not None:
        joined = joined * gate(tokens).sigmoid()
    projected: Tensor = attn.proj_drop(attn.proj(joined))
    return projected


def add_attention(block: Any, tokens: Tensor, attended: Tensor) -> Tensor:
    """Add the result of a block's attention to its tokens.

    Args:
        block: timm's block.
        tokens: its input, shape (batch, tokens, channels).
        attended: the result of ``merge_heads``, the same shape.
    """
    if isinstance(block, EvaBlockPostNorm):
        attended = block.norm1(attended)
    elif isinstance(block, EvaBlock):
        attended = _scale_channels(block.gamma_1, attended)
    else:
        attended = block.ls1(attended)
    added: Tensor = tokens + block.drop_path1(attended)
    return added


def add_mlp(block: Any, tokens: Tensor) -> Tensor:
    """Compute a block's MLP and add its result to the tokens.

    Args:
        block: timm's block.
        tokens: the result of ``add_attention``, shape (batch, tokens, channels).
    """
    if isinstance(block, EvaBlockPostNorm):
        branch = block.norm2(block.mlp(tokens))
    elif isinstance(block, EvaBlock):
        branch = _scale_channels(block.gamma_2, block.mlp(block.norm2(tokens)))
    else:
        branch = block.ls2(block.mlp(block.norm2(tokens)))
    added: Tensor = tokens + block.drop_path2(branch)
    return added


def _scale_channels(scale: nn.Parameter | None, tokens: Tensor) -> Tensor:
    """Apply EVA's LayerScale, if the block has one."""
    return tokens if scale is None else scale * tokens
