"""Run a plain ViT of timm on some patches of an image, and return the outputs that a distillation compares."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from timm.layers import Attention
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from backbones.architectures.cifar import DummyPatchViT
from foundation.errors import UserError
from pretraining.models.patches import Masking, gather_tokens


class PatchGeometry(NamedTuple):
    """The patches of a ViT.

    Attributes:
        patch_size: height and width of a patch, pixels.
        grid_size: rows and columns of patches.
        num_prefix_tokens: number of tokens before the patches, for example a class token.
    """

    patch_size: tuple[int, int]
    grid_size: tuple[int, int]
    num_prefix_tokens: int

    @property
    def num_patches(self) -> int:
        """Number of patches."""
        return self.grid_size[0] * self.grid_size[1]


def get_backbone_arguments(architecture: str) -> dict[str, Any]:
    """Return the arguments to create an architecture for pre-training.

    Hiera pools queries at only two of its three stage changes during pre-training.
    """
    return {"q_pool": 2} if architecture.startswith("hiera") else {}


def require_plain_vit(model: nn.Module, model_name: str) -> VisionTransformer:
    """Return the model if it is a plain ViT that can run on some of its patches.

    Args:
        model: any model.
        model_name: for the message.

    Raises:
        UserError: the model has a hierarchy, a relative position bias, or another kind of attention.
    """
    if not isinstance(model, VisionTransformer):
        raise UserError(f"{model_name} is a {type(model).__name__}; this method masks the patches of plain ViTs")
    for block in model.blocks:
        attention: Any = getattr(block, "attn", None)
        # also refuses subclasses: a relative position bias needs all tokens of the image
        if type(attention) is not Attention:
            raise UserError(
                f"{model_name} has {type(attention).__name__} in its blocks, which cannot run on some of the patches; "
                "pre-train the plain variant (without _rpe) and add the bias when fine-tuning"
            )
    if model.pos_embed is None or model.no_embed_class or model.patch_embed.proj.weight.ndim != 4:
        raise UserError(f"{model_name} has no position embedding for all of its tokens; this method needs one")
    return model


def get_patch_geometry(model: Any) -> PatchGeometry:
    """Return patch size, grid and number of prefix tokens of a plain ViT."""
    embed = model.patch_embed
    height, width = embed.patch_size
    rows, columns = embed.grid_size
    return PatchGeometry((int(height), int(width)), (int(rows), int(columns)), int(model.num_prefix_tokens))


def embed_patches(model: Any, patches: Tensor, masking: Masking | None) -> Tensor:
    """Embed the visible patches and add their positions; only the visible patches are projected.

    Args:
        model: the ViT.
        patches: all patches, (N, patches, pixels per patch), as returned by ``patchify``.
        masking: which patches are visible; ``None`` for all.

    Returns:
        Prefix tokens, then visible patches, (N, prefix + visible, C).
    """
    projection, prefix = model.patch_embed.proj, model.num_prefix_tokens
    positions = model.pos_embed[:, prefix:]
    if masking is not None:
        patches = gather_tokens(patches, masking.visible_indices)
        positions = gather_tokens(positions.expand(len(patches), -1, -1), masking.visible_indices)
    # the convolution of timm's patch embedding as a matrix product on selected patches
    tokens = F.linear(patches, projection.weight.flatten(1), projection.bias)
    tokens = model.patch_embed.norm(tokens) + positions
    first = _get_prefix_tokens(model)
    if first is not None:
        first = (first + model.pos_embed[:, :prefix]).expand(len(tokens), -1, -1)
        tokens = torch.cat([first.to(tokens.dtype), tokens], dim=1)
    embedded: Tensor = model.norm_pre(model.pos_drop(tokens))
    return embedded


def _get_prefix_tokens(model: Any) -> Tensor | None:
    if isinstance(model, DummyPatchViT):
        return model.embed_dummy_token()
    parts = [token for token in (model.cls_token, model.reg_token) if token is not None]
    return torch.cat(parts, dim=1) if parts else None


class ViTBlockOutputs(NamedTuple):
    """Requested outputs of a ViT's blocks.

    Attributes:
        tokens: output of the last computed block, (N, T, C).
        attention_logits: scaled QK^T before the softmax by block (from 1), (N, heads, T, T).
        hidden_states: hidden states by index, (N, T, C).
    """

    tokens: Tensor
    attention_logits: dict[int, Tensor]
    hidden_states: dict[int, Tensor]


def run_blocks(
    model: Any,
    tokens: Tensor,
    logit_blocks: Collection[int] = (),
    hidden_state_indices: Collection[int] = (),
    run_all_blocks: bool = True,
) -> ViTBlockOutputs:
    """Run the blocks and collect the requested attention logits and hidden states.

    Args:
        model: the ViT.
        tokens: embedded tokens, (N, T, C).
        logit_blocks: blocks (from 1) whose scaled QK^T before the softmax to return.
        hidden_state_indices: states to return. State l is the output of block l after the next norm (``norm1`` of
            block l + 1, or the final norm after the last block); state 0 is the input of the first block.
        run_all_blocks: if ``False``, nothing is computed that is not requested. A last block of which only the logits
            are requested has no output then, and the returned ``tokens`` are not the output of the model.
    """
    depth = len(model.blocks)
    found = ViTBlockOutputs(tokens, {}, {})
    last = depth if run_all_blocks else max([*logit_blocks, *hidden_state_indices], default=0)
    for number, block in enumerate(model.blocks[:last], 1):
        # state l is normed by the norm of block l + 1, so it is taken at the start of that block
        if number - 1 in hidden_state_indices:
            found.hidden_states[number - 1] = block.norm1(tokens)
        if number not in logit_blocks:
            tokens = block(tokens)
        elif run_all_blocks or number < last or number in hidden_state_indices:
            tokens, found.attention_logits[number] = forward_with_logits(block, tokens)
        else:  # the last block, of which nothing but the logits is needed
            found.attention_logits[number] = compute_qk_logits(block.norm1(tokens), block.attn, block.attn.num_heads)
    if last in hidden_state_indices:
        norm = model.norm if last == depth else model.blocks[last].norm1
        found.hidden_states[last] = norm(tokens)
    return found._replace(tokens=tokens)


def forward_with_logits(block: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Run a block and return its output and its attention logits; queries and keys are multiplied only once.

    Args:
        block: a block of timm's plain ViT.
        tokens: (N, T, C).

    Returns:
        Output (N, T, C) and logits (N, heads, T, T).
    """
    attention = block.attn
    count, length, _ = tokens.shape
    parts = attention.qkv(block.norm1(tokens)).reshape(count, length, 3, attention.num_heads, attention.head_dim)
    # (N, T, 3, heads, head_dim) to three tensors (N, heads, T, head_dim)
    query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
    logits = (attention.q_norm(query) * attention.scale) @ attention.k_norm(key).transpose(-2, -1)
    # written out, because timm's fused attention does not return the logits
    mixed = (logits.softmax(dim=-1) @ value).transpose(1, 2).reshape(count, length, attention.attn_dim)
    tokens = tokens + block.drop_path1(block.ls1(attention.proj(mixed)))
    return tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens)))), logits


def compute_qk_logits(tokens: Tensor, attention: Any, num_heads: int) -> Tensor:
    """Return the attention logits before the softmax, without computing values or outputs.

    Args:
        tokens: tokens after ``norm1``, (N, T, C).
        attention: an attention layer of timm with one ``qkv`` layer (ViT, Hiera, Swin); its position bias is not added.
        num_heads: number of heads; timm's classes store it under different names.

    Returns:
        (N, heads, T, T).
    """
    # the rows of the qkv weight are queries, keys, values in this order; values are not needed
    weight, bias = attention.qkv.weight, attention.qkv.bias
    rows = 2 * weight.shape[0] // 3
    parts = F.linear(tokens, weight[:rows], None if bias is None else bias[:rows])
    # (N, T, 2 * C) to two tensors (N, heads, T, head_dim)
    query, key = parts.reshape(*tokens.shape[:2], 2, num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
    if hasattr(attention, "q_norm"):  # only plain ViTs have it, and there it is usually an identity
        query, key = attention.q_norm(query), attention.k_norm(key)
    product: Tensor = (query * attention.scale) @ key.transpose(-2, -1)
    return product
