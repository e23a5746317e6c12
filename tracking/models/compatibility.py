"""Decide which backbones fit into a one-stream tracker, and explain why the others do not."""

from __future__ import annotations

from timm.layers import Attention, AttentionRope, PatchEmbed
from timm.models.eva import Eva, EvaAttention, EvaBlock, EvaBlockPostNorm
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

from backbones.architectures.rpe import RelPosAttention
from foundation.errors import UserError

_KNOWN_BLOCKS = (Block, EvaBlock, EvaBlockPostNorm)
_KNOWN_ATTENTION = (Attention, RelPosAttention, EvaAttention, AttentionRope)
"""The blocks and attention modules whose parts ``backbones.architectures.block_parts`` knows."""


def find_patch_size(backbone: nn.Module) -> int:
    """Check that template and search tokens can share one sequence in a backbone's blocks; return the patch size.

    A plain ViT of timm fits, with any number of heads and blocks, any patch size, LayerScale, and register tokens, with
    learned or rotary positions (EVA-02, DINOv3), and with or without the relative position bias of
    ``backbones.architectures.rpe``. Class and register tokens are left out.

    Args:
        backbone: the model as ``create_backbone`` returns it.

    Returns:
        Side length of a patch in pixels.

    Raises:
        UserError: the backbone does not fit; the message says why.
    """
    kind = type(backbone).__name__
    if not isinstance(backbone, VisionTransformer | Eva):
        raise UserError(
            f"{kind} cannot be a one-stream tracker: template and search tokens share one sequence in every block, and "
            "windows, merging and convolutions of hierarchical backbones (or other position encodings) need the tokens "
            "of one image on its own grid; choose a plain ViT (bench list backbones)"
        )
    # exact types: subclasses and others (parallel blocks, differential attention) compute something else in forward
    odd = {type(block).__name__ for block in backbone.blocks if type(block) not in _KNOWN_BLOCKS}
    parts = [block.attn for block in backbone.blocks if type(block) in _KNOWN_BLOCKS]
    odd |= {type(part).__name__ for part in parts if type(part) not in _KNOWN_ATTENTION}
    if odd:
        raise UserError(
            f"{kind} cannot be a one-stream tracker: its blocks consist of {', '.join(sorted(odd))}, and the tracker "
            "can only split the ordinary blocks of timm's plain ViTs into template and search"
        )
    if not isinstance(backbone.patch_embed, PatchEmbed):
        raise UserError(
            f"{kind} cannot be a one-stream tracker: its patches come from {type(backbone.patch_embed).__name__}, a "
            "network of its own with another stride, and not from one convolution; choose a plain ViT (bench list "
            "backbones)"
        )
    if backbone.pos_embed is None and getattr(backbone, "rope", None) is None:
        raise UserError(
            f"{kind} has neither learned position embeddings, from which those of the two crops are resized, nor "
            "rotary ones; choose a plain ViT that has them (bench list backbones)"
        )
    height, width = backbone.patch_embed.patch_size
    if height != width:
        raise UserError(
            f"{kind} cannot be a one-stream tracker: its patches of {height} x {width} px are not square, and neither "
            "would be the cells of the tracker's grid; choose another plain ViT (bench list backbones)"
        )
    return int(height)


def require_plain_vit(backbone: nn.Module, template_size: int, search_size: int) -> int:
    """Check that a backbone fits into a one-stream tracker with crops of these sizes; return the patch size.

    Args:
        backbone: the model as ``create_backbone`` returns it.
        template_size: side length of the template crop in pixels.
        search_size: side length of the search crop in pixels.

    Returns:
        Side length of a patch in pixels.

    Raises:
        UserError: backbone or sizes do not fit; the message says why.
    """
    patch = find_patch_size(backbone)
    # a patch embedding would silently cut off the pixels of an incomplete patch
    if template_size % patch or search_size % patch:
        raise UserError(
            f"crops of {template_size} and {search_size} px cannot be divided into the {patch} x {patch} patches of "
            f"{type(backbone).__name__}; set template_size and search_size to multiples of the patch size"
        )
    # the relative position bias of the template is read from the top-left part of the search grid
    if template_size > search_size:
        raise UserError(
            f"the template ({template_size} px) may not be larger than the search region ({search_size} px); lower "
            "template_size"
        )
    return patch
