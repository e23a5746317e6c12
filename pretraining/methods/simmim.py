"""SimMIM on Swin (arXiv 2111.09886), with the decoder of MAE-Lite's code (arXiv 2404.12210) or with SimMIM's own."""

from __future__ import annotations

import math
from typing import Any

import torch
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn

from foundation.errors import UserError
from pretraining.data.counter_rng import MASK_STREAM, sample_permutation
from pretraining.methods.method import PretrainMethod, Reconstructions
from pretraining.models.simmim_decoder import BlockDecoder, PixelHead
from pretraining.models.swin import INIT_STD, embed_masked_patches, set_drop_path
from pretraining.recipe import SimmimRecipe

LOSS_EPSILON = 1e-5  # in the denominator of the loss, as in SimMIM's code


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
    """Replaces masked units by a mask token, predicts all pixels, and compares the masked ones.

    The final norm of the backbone stands before the decoder and is trained and exported with the backbone. The mask
    token is exported too: a distillation shows its teacher masked images.

    Args:
        backbone: timm's Swin.
        preprocessor: see ``PretrainMethod``.
        recipe: mask ratio, side of a mask unit, decoder, stochastic depth.
        backbone_name: name of the backbone, for messages.

    Raises:
        UserError: the backbone is not a Swin, or the mask units do not fit its input.
    """

    num_extra_blocks = 0
    """Blocks that a subclass puts on top of the backbone; the stochastic depth rises up to the last of them."""

    def __init__(self, backbone: Any, preprocessor: nn.Module, recipe: SimmimRecipe, backbone_name: str) -> None:
        if not isinstance(backbone, SwinTransformer):
            raise UserError(f"{backbone_name} is a {type(backbone).__name__}; simmim is for Swin: run mae on this one")
        super().__init__(backbone, preprocessor)
        self.recipe = recipe
        self.unit_grid = _get_unit_grid(backbone, recipe.mask_patch_size)
        # only to raise its error now if the mask ratio leaves no unit visible
        sample_unit_masks(torch.zeros(1, dtype=torch.int64), self.unit_grid, recipe.mask_ratio)
        depth = sum(len(stage.blocks) for stage in self.backbone.layers)
        set_drop_path(backbone, recipe.drop_path, depth + self.num_extra_blocks)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, 1, backbone.patch_embed.proj.out_channels))
        nn.init.trunc_normal_(self.mask_token, std=INIT_STD)
        self._build_decoder(backbone)

    def _build_decoder(self, backbone: Any) -> None:
        stage, stride = backbone.layers[-1], int(backbone.feature_info[-1]["reduction"])
        window = stage.blocks[-1].window_size[0]
        self.decoder: nn.Module = (
            PixelHead(backbone.num_features, stride)
            if self.recipe.decoder == "conv"
            else BlockDecoder(backbone.num_features, self.recipe.decoder_width, stage.output_resolution, window, stride)
        )

    @property
    def exported_tokens(self) -> dict[str, Tensor]:
        """The mask token, (1, 1, C), under the name that it has in the authors' files."""
        return {"mask_token": self.mask_token.reshape(1, 1, -1)}

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
        tokens = self.backbone.layers(embed_masked_patches(self.backbone, images, masks, self.mask_token))
        found: Tensor = self.decoder(self.backbone.norm(tokens))
        return found

    @torch.no_grad()
    def reconstruct_images(self, images: Tensor, seeds: Tensor) -> Reconstructions:
        """Return the images, their visible part (the rest is gray), and the prediction with the visible part."""
        masks = sample_unit_masks(seeds, self.unit_grid, self.recipe.mask_ratio)
        hidden = expand_unit_masks(masks, self.recipe.mask_patch_size)
        predicted = self.predict_pixels(images, masks).float()
        return Reconstructions(images, images.masked_fill(hidden, 0.0), torch.where(hidden, predicted, images))


def _get_unit_grid(backbone: Any, unit_size: int) -> tuple[int, int]:
    """Return rows and columns of mask units in the input of a Swin.

    Raises:
        UserError: a unit is not a whole number of patches, or the image not a whole number of units.
    """
    patch = backbone.patch_embed.patch_size
    sides = [cells * step for cells, step in zip(backbone.patch_embed.grid_size, patch, strict=True)]
    if any(side % unit_size for side in sides) or any(unit_size % step for step in patch):
        raise UserError(
            f"units of {unit_size} px fit neither {sides[0]} x {sides[1]} px nor the patches; set mask_patch_size"
        )
    return (sides[0] // unit_size, sides[1] // unit_size)


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
