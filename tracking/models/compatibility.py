"""Which backbones a one-stream tracker can be made of, and why not the others."""

from __future__ import annotations

from timm.layers import Attention
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

from backbones.architectures.rpe import RelPosAttention
from foundation.errors import UserError


def require_plain_vit(backbone: nn.Module, template_size: int, search_size: int) -> int:
    """The patch side of a backbone whose blocks can run over template and search tokens in one sequence.

    Fits: a plain ViT of timm (any head count, depth, patch; LayerScale, register tokens, with or without the relative
    position bias of ``backbones.architectures.rpe``). Its class and register tokens are left out.

    Args:
        backbone: as ``create_backbone`` made it.
        template_size, search_size: sides of the two crops, pixels.

    Raises:
        UserError: it does not fit; the sentence says why.
    """
    kind = type(backbone).__name__
    if not isinstance(backbone, VisionTransformer):
        raise UserError(
            f"{kind} cannot be a one-stream tracker: template and search tokens share one sequence in every block, and "
            "a hierarchy's windows, merging or convolutions (or a foreign position code) need the tokens of one image "
            "on its own grid; take a plain ViT (bench list backbones)"
        )
    odd = {type(block).__name__ for block in backbone.blocks if type(block) is not Block}
    parts = [block.attn for block in backbone.blocks if type(block) is Block]
    odd |= {type(part).__name__ for part in parts if type(part) not in (Attention, RelPosAttention)}
    if odd:
        raise UserError(
            f"{kind} cannot be a one-stream tracker: its blocks are made of {', '.join(sorted(odd))}, and the tracker "
            "splits timm's ordinary pre-norm Block and Attention into template and search"
        )
    if backbone.pos_embed is None:
        raise UserError(f"{kind} has no learned position embeddings, which the two crops' grids are resized from")
    height, width = backbone.patch_embed.patch_size
    if height != width or template_size % height or search_size % height:
        raise UserError(
            f"crops of {template_size} and {search_size} px are not whole {height} x {width} patches of {kind}; set "
            "template_size and search_size to multiples of the patch"
        )
    if template_size > search_size:
        raise UserError(
            f"the template ({template_size} px) may not be larger than the search region ({search_size} px)"
        )
    return int(height)
