"""SimMIM on Swin (arXiv 2111.09886), and decoupled distillation on top of it (arXiv 2404.12210)."""

from __future__ import annotations

import math
from typing import Any

import torch
from timm.layers import LayerNorm
from timm.models.swin_transformer import SwinTransformer, SwinTransformerBlock, window_partition
from torch import Tensor, nn

from foundation.errors import UserError
from pretraining.data.counter_rng import MASK_STREAM, sample_permutation
from pretraining.methods.distill import LogitsAdapter
from pretraining.methods.method import PretrainMethod, Reconstructions
from pretraining.methods.teacher import Teacher
from pretraining.models.vit import compute_qk_logits
from pretraining.recipe import SimmimDistillRecipe, SimmimRecipe

LOSS_EPSILON = 1e-5
DECODER_STRIDE = 16
DECODER_HEADS = 3


def sample_unit_masks(seeds: Tensor, grid_size: tuple[int, int], mask_ratio: float) -> Tensor:
    """Which units of each image are masked, (N, rows, columns) bool: ``ceil(units * mask_ratio)`` of them.

    Raises:
        UserError: none would be left.
    """
    count = grid_size[0] * grid_size[1]
    masked = math.ceil(count * mask_ratio)
    if masked >= count:
        raise UserError(f"mask_ratio {mask_ratio:g} masks all {count} units; at least one must stay")
    chosen = sample_permutation(seeds, count, MASK_STREAM)[:, :masked]
    flags = torch.zeros(len(seeds), count, dtype=torch.bool, device=seeds.device).scatter_(1, chosen, True)
    return flags.view(-1, *grid_size)


class Simmim(PretrainMethod):
    """Masked units are replaced by a mask token; all pixels are predicted by one layer, masked ones compared.

    Args:
        backbone: timm's Swin.
        preprocessor: see ``PretrainMethod``.
        recipe: mask ratio, side of a unit.
        backbone_name: of the backbone, for messages.
    """

    def __init__(self, backbone: Any, preprocessor: nn.Module, recipe: SimmimRecipe, backbone_name: str) -> None:
        if not isinstance(backbone, SwinTransformer):
            raise UserError(f"{backbone_name} is a {type(backbone).__name__}; simmim is for Swin: run mae on this one")
        super().__init__(backbone, preprocessor)
        self.recipe = recipe
        patch = backbone.patch_embed.patch_size
        sides = [cells * step for cells, step in zip(backbone.patch_embed.grid_size, patch, strict=True)]
        if any(side % recipe.mask_patch_size for side in sides) or any(recipe.mask_patch_size % step for step in patch):
            raise UserError(
                f"units of {recipe.mask_patch_size} px fit neither {sides[0]} x {sides[1]} px nor the patches; "
                "set mask_patch_size"
            )
        self.unit_grid = (sides[0] // recipe.mask_patch_size, sides[1] // recipe.mask_patch_size)
        sample_unit_masks(torch.zeros(1, dtype=torch.int64), self.unit_grid, recipe.mask_ratio)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, 1, backbone.patch_embed.proj.out_channels))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        self._build_decoder(backbone)

    def _build_decoder(self, backbone: Any) -> None:
        stride = int(backbone.feature_info[-1]["reduction"])
        self.decoder = nn.Sequential(nn.Conv2d(backbone.num_features, 3 * stride**2, 1), nn.PixelShuffle(stride))

    def compute_losses(self, images: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """``loss_masked``: the mean absolute error over masked pixels."""
        masks = sample_unit_masks(seeds, self.unit_grid, self.recipe.mask_ratio)
        return {
            "loss_masked": masked_l1_loss(
                self.predict_pixels(images, masks), images, expand_unit_masks(masks, self.recipe.mask_patch_size)
            )
        }

    def predict_pixels(self, images: Tensor, masks: Tensor) -> Tensor:
        """All pixels, normalised, (N, 3, S, S)."""
        tokens = self.backbone.norm(self.backbone.layers(self.embed_masked_patches(images, masks)))
        found: Tensor = self.decoder(tokens.permute(0, 3, 1, 2))
        return found

    def embed_masked_patches(self, images: Tensor, masks: Tensor) -> Tensor:
        """Patch tokens (N, rows, columns, C), the masked ones replaced."""
        tokens = self.backbone.patch_embed(images)
        cells = masks.repeat_interleave(tokens.shape[1] // masks.shape[1], 1)
        cells = cells.repeat_interleave(tokens.shape[2] // masks.shape[2], 2)
        return torch.where(cells[..., None], self.mask_token.to(tokens.dtype), tokens)

    @torch.no_grad()
    def reconstruct_images(self, images: Tensor, seeds: Tensor) -> Reconstructions:
        """Images, what of them is visible (the rest mid-grey), and the prediction with the visible put in."""
        masks = sample_unit_masks(seeds, self.unit_grid, self.recipe.mask_ratio)
        hidden = expand_unit_masks(masks, self.recipe.mask_patch_size)
        predicted = self.predict_pixels(images, masks).float()
        return Reconstructions(images, images.masked_fill(hidden, 0.0), torch.where(hidden, predicted, images))


class SimmimDistill(Simmim):
    """The last stage has a block more, of which only ``norm1``, queries, keys and position bias are left; its logits
    are matched with those of the teacher's last block. Pixels are read off after the merging that follows the second
    stage (stride 16), through a block of the decoder's own, so the last two stages get no gradient of the
    reconstruction. The final norm gets no gradient at all. The teacher sees the whole image: the text does not say
    what it sees, and its mask token is not part of a backbone.
    """

    recipe: SimmimDistillRecipe

    def __init__(
        self, backbone: Any, preprocessor: nn.Module, recipe: SimmimDistillRecipe, backbone_name: str, teacher: Teacher
    ) -> None:
        super().__init__(backbone, preprocessor, recipe, backbone_name)
        self.teacher = teacher
        other: Any = teacher.model
        if not isinstance(other, SwinTransformer):
            raise UserError(f"the teacher {teacher.name} is a {type(other).__name__}; a Swin learns from a Swin")
        last, goal = backbone.layers[-1].blocks[-1], other.layers[-1].blocks[-1]
        alone = [(block.window_size, block.input_resolution) for block in (last, goal)]
        if alone[0] != alone[1] or any((*last.shift_size, *goal.shift_size)):
            raise UserError(f"the teacher {teacher.name} has other windows in its last stage than {backbone_name}")
        self.extra_block = SwinTransformerBlock(
            last.dim, last.input_resolution, last.attn.num_heads, window_size=last.window_size[0], norm_layer=LayerNorm
        )
        del self.extra_block.mlp, self.extra_block.norm2, self.extra_block.attn.proj
        self.attn_adapter = LogitsAdapter(last.attn.num_heads, goal.attn.num_heads)
        backbone.norm.requires_grad_(False)

    def _build_decoder(self, backbone: Any) -> None:
        third = backbone.layers[2]
        if backbone.feature_info[2]["reduction"] != DECODER_STRIDE:
            raise UserError(f"the decoder reads features of stride {DECODER_STRIDE}; this Swin has none after stage 2")
        width = int(self.recipe.decoder_width)
        window = third.blocks[0].window_size[0]
        self.decoder_embed = nn.Linear(third.blocks[0].dim, width)
        self.decoder_block = SwinTransformerBlock(
            width, third.output_resolution, DECODER_HEADS, window_size=window, norm_layer=LayerNorm
        )
        self.decoder = nn.Sequential(nn.Conv2d(width, 3 * DECODER_STRIDE**2, 1), nn.PixelShuffle(DECODER_STRIDE))

    def compute_losses(self, images: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """``loss_masked`` from the middle, ``loss_attention`` from the extra block."""
        masks = sample_unit_masks(seeds, self.unit_grid, self.recipe.mask_ratio)
        merged = self._encode_two_stages(images, masks)
        loss = masked_l1_loss(self._decode(merged), images, expand_unit_masks(masks, self.recipe.mask_patch_size))
        third, fourth = self.backbone.layers[2], self.backbone.layers[3]
        top = fourth(third.blocks(merged))
        model: Any = self.teacher.move_model_to(images.device)
        with torch.no_grad():
            goal = compute_teacher_logits(model, self.teacher.renormalize_images(images))
        own = compute_window_logits(self.extra_block, top)
        return {"loss_masked": loss, "loss_attention": self.recipe.attention * self.attn_adapter(own, goal)}

    def predict_pixels(self, images: Tensor, masks: Tensor) -> Tensor:
        """All pixels, normalised, (N, 3, S, S)."""
        return self._decode(self._encode_two_stages(images, masks))

    def _encode_two_stages(self, images: Tensor, masks: Tensor) -> Tensor:
        tokens: Tensor = self.backbone.layers[:2](self.embed_masked_patches(images, masks))
        merged: Tensor = self.backbone.layers[2].downsample(tokens)
        return merged

    def _decode(self, merged: Tensor) -> Tensor:
        values: Tensor = self.decoder_block(self.decoder_embed(merged))
        found: Tensor = self.decoder(values.permute(0, 3, 1, 2))
        return found


def masked_l1_loss(predicted: Tensor, images: Tensor, pixel_masks: Tensor) -> Tensor:
    """Mean absolute error over hidden pixels (N, 1, S, S), as SimMIM counts it (with its 1e-5)."""
    error = (predicted.float() - images).abs() * pixel_masks
    return error.sum() / (pixel_masks.sum() + LOSS_EPSILON) / images.shape[1]


def expand_unit_masks(masks: Tensor, unit_size: int) -> Tensor:
    """Masks of units as masks of pixels, (N, 1, S, S)."""
    return masks.repeat_interleave(unit_size, 1).repeat_interleave(unit_size, 2)[:, None]


def compute_window_logits(block: Any, tokens: Tensor) -> Tensor:
    """Attention logits of a block without shift, its position bias added, (N * windows, heads, T, T).

    Args:
        block: of timm's Swin.
        tokens: (N, rows, columns, C); whole windows.
    """
    attention = block.attn
    windows = window_partition(block.norm1(tokens), block.window_size).flatten(1, 2)
    logits: Tensor = compute_qk_logits(windows, attention, attention.num_heads) + attention._get_rel_pos_bias()
    return logits


def compute_teacher_logits(model: Any, images: Tensor) -> Tensor:
    """Logits of a Swin's last block on whole images; nothing is computed beyond."""
    last = model.layers[-1]
    tokens = last.downsample(model.layers[:-1](model.patch_embed(images)))
    return compute_window_logits(last.blocks[-1], last.blocks[:-1](tokens))
