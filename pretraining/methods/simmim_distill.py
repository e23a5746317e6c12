"""SimMIM on Swin with decoupled distillation (arXiv 2404.12210)."""

from __future__ import annotations

from typing import Any

import torch
from timm.models.swin_transformer import SwinTransformer, SwinTransformerBlock
from torch import Tensor, nn

from foundation.errors import UserError
from pretraining.methods.distill import LogitsAdapter
from pretraining.methods.simmim import Simmim, expand_unit_masks, masked_l1_loss, sample_unit_masks
from pretraining.methods.teacher import Teacher
from pretraining.models.simmim_decoder import BlockDecoder
from pretraining.models.swin import (
    compute_last_logits,
    compute_window_logits,
    embed_masked_patches,
    initialize_linear_layers,
)
from pretraining.recipe import SimmimDistillRecipe

DECODER_STRIDE = 16
"""Pixels per cell of the map that the decoder reads."""


class SimmimDistill(Simmim):
    """SimMIM with decoupled distillation: an extra block after the last stage matches the teacher's last block.

    The extra block consists only of ``norm1``, queries, keys and the position bias; its attention logits are matched
    with those of the teacher's last block. The decoder reads the features after the patch merging that follows the
    second stage (stride 16), through a norm of their width. The last two stages therefore get no gradient from the
    reconstruction, and the final norm of the backbone gets no gradient at all: it is exported as it was initialized,
    and the authors' fine-tuning starts it anew, too. The teacher sees the same masked image, with a mask token of its
    own, so its weights must be those of a SimMIM.

    Args:
        backbone, preprocessor, recipe, backbone_name: see ``Simmim``.
        teacher: a Swin with a mask token and the same windows in its last stage.

    Raises:
        UserError: the teacher is not such a Swin, or the backbone has no features of stride 16 after stage 2.
    """

    recipe: SimmimDistillRecipe
    num_extra_blocks = 1

    def __init__(
        self, backbone: Any, preprocessor: nn.Module, recipe: SimmimDistillRecipe, backbone_name: str, teacher: Teacher
    ) -> None:
        super().__init__(backbone, preprocessor, recipe, backbone_name)
        self.teacher = teacher
        self.teacher_token = _get_teacher_token(teacher)
        other: Any = teacher.model
        last, goal = backbone.layers[-1].blocks[-1], other.layers[-1].blocks[-1]
        layouts = [(block.window_size, block.input_resolution) for block in (last, goal)]
        # Logits are compared window by window; shifted windows would also need the attention mask.
        if layouts[0] != layouts[1] or any((*last.shift_size, *goal.shift_size)):
            raise UserError(
                f"the teacher {teacher.name} has other windows in its last stage than {backbone_name}; "
                "choose another teacher"
            )
        self.extra_block = SwinTransformerBlock(
            last.dim, last.input_resolution, last.attn.num_heads, window_size=last.window_size[0]
        )
        initialize_linear_layers(self.extra_block)
        # unused parameters would get no gradient, which DistributedDataParallel treats as an error
        del self.extra_block.mlp, self.extra_block.norm2, self.extra_block.attn.proj
        self.attn_adapter = LogitsAdapter(last.attn.num_heads, goal.attn.num_heads)
        backbone.norm.requires_grad_(False)  # not on the path of either loss

    def _build_decoder(self, backbone: Any) -> None:
        third = backbone.layers[2]
        if backbone.feature_info[2]["reduction"] != DECODER_STRIDE:
            raise UserError(
                f"the decoder reads features of stride {DECODER_STRIDE}, which this Swin does not have after stage 2; "
                "choose another backbone, or run simmim"
            )
        first = third.blocks[0]
        self.decoder_norm = nn.LayerNorm(first.dim)
        self.decoder = BlockDecoder(
            first.dim, self.recipe.decoder_width, third.output_resolution, first.window_size[0], DECODER_STRIDE
        )

    def compute_losses(self, images: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """Return ``loss_masked`` from the features after stage 2 and ``loss_attention`` from the extra block."""
        masks = sample_unit_masks(seeds, self.unit_grid, self.recipe.mask_ratio)
        merged = self._encode_two_stages(images, masks)
        loss = masked_l1_loss(self._decode(merged), images, expand_unit_masks(masks, self.recipe.mask_patch_size))
        third, fourth = self.backbone.layers[2], self.backbone.layers[3]
        # timm's stages merge patches first; ``merged`` is already the output of the third stage's merging
        own = compute_window_logits(self.extra_block, fourth(third.blocks(merged)))
        goal = self.compute_teacher_logits(images, masks)
        return {"loss_masked": loss, "loss_attention": self.recipe.attention * self.attn_adapter(own, goal)}

    @torch.no_grad()
    def compute_teacher_logits(self, images: Tensor, masks: Tensor) -> Tensor:
        """Return the attention logits of the teacher's last block, (N * windows, heads, T, T).

        Args:
            images: (N, 3, S, S), normalized for the student.
            masks: (N, rows, columns) bool, true for masked units.
        """
        model: Any = self.teacher.move_model_to(images.device)
        tokens = embed_masked_patches(model, self.teacher.renormalize_images(images), masks, self.teacher_token)
        return compute_last_logits(model, tokens)

    def predict_pixels(self, images: Tensor, masks: Tensor) -> Tensor:
        """Return all predicted pixels, normalized, (N, 3, S, S); see ``Simmim``."""
        return self._decode(self._encode_two_stages(images, masks))

    def _encode_two_stages(self, images: Tensor, masks: Tensor) -> Tensor:
        tokens = embed_masked_patches(self.backbone, images, masks, self.mask_token)
        merged: Tensor = self.backbone.layers[2].downsample(self.backbone.layers[:2](tokens))
        return merged

    def _decode(self, merged: Tensor) -> Tensor:
        found: Tensor = self.decoder(self.decoder_norm(merged))
        return found


def _get_teacher_token(teacher: Teacher) -> Tensor:
    """Return the mask token of a teacher, C values in any shape.

    Raises:
        UserError: the teacher is not a Swin, or its weights have no mask token of its width, or a damaged one.
    """
    model = teacher.model
    if not isinstance(model, SwinTransformer):
        raise UserError(f"the teacher {teacher.name} is a {type(model).__name__}; a Swin learns from a Swin")
    token, width = teacher.mask_token, model.patch_embed.proj.out_channels
    found = None
    if token is None or token.numel() != width:
        found = "no mask token" if token is None else f"a mask token of {token.numel()} channels, not {width}"
    elif not torch.isfinite(token).all():
        found = "a mask token with values that are not finite numbers"
    if token is None or found is not None:
        raise UserError(
            f"the weights of the teacher {teacher.name} have {found}, and in simmim_d2 the teacher sees masked images; "
            "name weights that simmim has pre-trained with --teacher-checkpoint (a run of version 2, or the authors')"
        )
    return token
