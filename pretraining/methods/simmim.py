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

LOSS_EPSILON = 1e-5  # in the denominator of the loss, as in SimMIM's code
DECODER_STRIDE = 16  # pixels per cell of the map that the decoder of SimmimDistill reads
DECODER_HEADS = 3  # of its block


def sample_unit_masks(seeds: Tensor, grid_size: tuple[int, int], mask_ratio: float) -> Tensor:
    """Choose the masked units of each image: ``ceil(units * mask_ratio)`` of them.

    Args:
        seeds: (N,) int64, one per image.
        grid_size: rows and columns of mask units.
        mask_ratio: fraction of the units to mask.

    Returns:
        (N, rows, columns) bool, true for masked units.

    Raises:
        UserError: all units would be masked.
    """
    count = grid_size[0] * grid_size[1]
    masked = math.ceil(count * mask_ratio)
    if masked >= count:
        raise UserError(f"mask_ratio {mask_ratio:g} masks all {count} units; at least one must stay")
    chosen = sample_permutation(seeds, count, MASK_STREAM)[:, :masked]
    flags = torch.zeros(len(seeds), count, dtype=torch.bool, device=seeds.device).scatter_(1, chosen, True)
    return flags.view(-1, *grid_size)


class Simmim(PretrainMethod):
    """Replaces masked units by a mask token, predicts all pixels with one layer, and compares the masked ones.

    Args:
        backbone: timm's Swin.
        preprocessor: see ``PretrainMethod``.
        recipe: mask ratio, side of a mask unit.
        backbone_name: name of the backbone, for messages.

    Raises:
        UserError: the backbone is not a Swin, or the mask units do not fit its input.
    """

    def __init__(self, backbone: Any, preprocessor: nn.Module, recipe: SimmimRecipe, backbone_name: str) -> None:
        if not isinstance(backbone, SwinTransformer):
            raise UserError(f"{backbone_name} is a {type(backbone).__name__}; simmim is for Swin: run mae on this one")
        super().__init__(backbone, preprocessor)
        self.recipe = recipe
        patch = backbone.patch_embed.patch_size
        # a mask unit must be a whole number of patches, and the image a whole number of units
        sides = [cells * step for cells, step in zip(backbone.patch_embed.grid_size, patch, strict=True)]
        if any(side % recipe.mask_patch_size for side in sides) or any(recipe.mask_patch_size % step for step in patch):
            raise UserError(
                f"units of {recipe.mask_patch_size} px fit neither {sides[0]} x {sides[1]} px nor the patches; "
                "set mask_patch_size"
            )
        self.unit_grid = (sides[0] // recipe.mask_patch_size, sides[1] // recipe.mask_patch_size)
        # only to raise its error now if the mask ratio leaves no unit visible
        sample_unit_masks(torch.zeros(1, dtype=torch.int64), self.unit_grid, recipe.mask_ratio)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, 1, backbone.patch_embed.proj.out_channels))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        self._build_decoder(backbone)

    def _build_decoder(self, backbone: Any) -> None:
        stride = int(backbone.feature_info[-1]["reduction"])
        # each cell of the last map predicts its stride x stride pixels of 3 channels; PixelShuffle unfolds them
        self.decoder = nn.Sequential(nn.Conv2d(backbone.num_features, 3 * stride**2, 1), nn.PixelShuffle(stride))

    def compute_losses(self, images: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """Return ``loss_masked``, the mean absolute error over masked pixels.

        Args:
            images: (N, 3, S, S), normalized.
            seeds: (N,) int64, one per image.
        """
        masks = sample_unit_masks(seeds, self.unit_grid, self.recipe.mask_ratio)
        return {
            "loss_masked": masked_l1_loss(
                self.predict_pixels(images, masks), images, expand_unit_masks(masks, self.recipe.mask_patch_size)
            )
        }

    def predict_pixels(self, images: Tensor, masks: Tensor) -> Tensor:
        """Return all predicted pixels, normalized, (N, 3, S, S).

        Args:
            images: (N, 3, S, S), normalized.
            masks: (N, rows, columns) bool, true for masked units.
        """
        tokens = self.backbone.norm(self.backbone.layers(self.embed_masked_patches(images, masks)))
        found: Tensor = self.decoder(tokens.permute(0, 3, 1, 2))  # Swin's tokens are (N, rows, columns, C)
        return found

    def embed_masked_patches(self, images: Tensor, masks: Tensor) -> Tensor:
        """Return the patch tokens, (N, rows, columns, C), with the masked ones replaced by the mask token."""
        tokens = self.backbone.patch_embed(images)
        # from masks of units to masks of patches
        cells = masks.repeat_interleave(tokens.shape[1] // masks.shape[1], 1)
        cells = cells.repeat_interleave(tokens.shape[2] // masks.shape[2], 2)
        return torch.where(cells[..., None], self.mask_token.to(tokens.dtype), tokens)

    @torch.no_grad()
    def reconstruct_images(self, images: Tensor, seeds: Tensor) -> Reconstructions:
        """Return the images, their visible part (the rest is gray), and the prediction with the visible part."""
        masks = sample_unit_masks(seeds, self.unit_grid, self.recipe.mask_ratio)
        hidden = expand_unit_masks(masks, self.recipe.mask_patch_size)
        predicted = self.predict_pixels(images, masks).float()
        return Reconstructions(images, images.masked_fill(hidden, 0.0), torch.where(hidden, predicted, images))


class SimmimDistill(Simmim):
    """SimMIM with decoupled distillation: an extra block after the last stage matches the teacher's last block.

    The extra block consists only of ``norm1``, queries, keys and the position bias; its attention logits are matched
    with those of the teacher's last block. The decoder, which has a block of its own, reads the features after the
    patch merging that follows the second stage (stride 16). The last two stages therefore get no gradient from the
    reconstruction, and the final norm gets no gradient at all. The teacher sees the complete image: the paper does not
    say what it sees, and a mask token is not part of a backbone.

    Args:
        backbone, preprocessor, recipe, backbone_name: see ``Simmim``.
        teacher: a Swin with the same windows in its last stage.

    Raises:
        UserError: the teacher is not such a Swin, or the backbone has no features of stride 16 after stage 2.
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
        layouts = [(block.window_size, block.input_resolution) for block in (last, goal)]
        # Logits are compared window by window; shifted windows would also need the attention mask.
        if layouts[0] != layouts[1] or any((*last.shift_size, *goal.shift_size)):
            raise UserError(
                f"the teacher {teacher.name} has other windows in its last stage than {backbone_name}; "
                "choose another teacher"
            )
        self.extra_block = SwinTransformerBlock(
            last.dim, last.input_resolution, last.attn.num_heads, window_size=last.window_size[0], norm_layer=LayerNorm
        )
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
        width = int(self.recipe.decoder_width)
        window = third.blocks[0].window_size[0]
        self.decoder_embed = nn.Linear(third.blocks[0].dim, width)
        self.decoder_block = SwinTransformerBlock(
            width, third.output_resolution, DECODER_HEADS, window_size=window, norm_layer=LayerNorm
        )
        self.decoder = nn.Sequential(nn.Conv2d(width, 3 * DECODER_STRIDE**2, 1), nn.PixelShuffle(DECODER_STRIDE))

    def compute_losses(self, images: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """Return ``loss_masked`` from the features after stage 2 and ``loss_attention`` from the extra block."""
        masks = sample_unit_masks(seeds, self.unit_grid, self.recipe.mask_ratio)
        merged = self._encode_two_stages(images, masks)
        loss = masked_l1_loss(self._decode(merged), images, expand_unit_masks(masks, self.recipe.mask_patch_size))
        third, fourth = self.backbone.layers[2], self.backbone.layers[3]
        # timm's stages merge patches first; ``merged`` is already the output of the third stage's merging
        top = fourth(third.blocks(merged))
        model: Any = self.teacher.move_model_to(images.device)
        with torch.no_grad():
            goal = compute_teacher_logits(model, self.teacher.renormalize_images(images))
        own = compute_window_logits(self.extra_block, top)
        return {"loss_masked": loss, "loss_attention": self.recipe.attention * self.attn_adapter(own, goal)}

    def predict_pixels(self, images: Tensor, masks: Tensor) -> Tensor:
        """Return all predicted pixels, normalized, (N, 3, S, S); see ``Simmim``."""
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
    """Return the mean absolute error over masked pixels, as SimMIM computes it.

    Args:
        predicted, images: (N, 3, S, S).
        pixel_masks: (N, 1, S, S) bool, true for masked pixels.
    """
    error = (predicted.float() - images).abs() * pixel_masks
    # the mask counts pixels of one channel, hence the division by the number of channels
    return error.sum() / (pixel_masks.sum() + LOSS_EPSILON) / images.shape[1]


def expand_unit_masks(masks: Tensor, unit_size: int) -> Tensor:
    """Convert masks of units (N, rows, columns) to masks of pixels (N, 1, S, S).

    Args:
        masks: bool, true for masked units.
        unit_size: side of a unit, pixels.
    """
    return masks.repeat_interleave(unit_size, 1).repeat_interleave(unit_size, 2)[:, None]


def compute_window_logits(block: Any, tokens: Tensor) -> Tensor:
    """Return the attention logits of a block without window shift, with its position bias.

    Args:
        block: a block of timm's Swin.
        tokens: (N, rows, columns, C); rows and columns are multiples of the window's sides.

    Returns:
        (N * windows, heads, T, T), where T is the number of tokens in a window.
    """
    attention = block.attn
    windows = window_partition(block.norm1(tokens), block.window_size).flatten(1, 2)
    logits: Tensor = compute_qk_logits(windows, attention, attention.num_heads) + attention._get_rel_pos_bias()
    return logits


def compute_teacher_logits(model: Any, images: Tensor) -> Tensor:
    """Return the attention logits of a Swin's last block on complete images; later layers are not computed.

    Args:
        model: timm's Swin.
        images: (N, 3, S, S), normalized for it.
    """
    last = model.layers[-1]
    tokens = last.downsample(model.layers[:-1](model.patch_embed(images)))
    return compute_window_logits(last.blocks[-1], last.blocks[:-1](tokens))
