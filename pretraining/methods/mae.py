"""Masked autoencoding on plain ViTs (He et al., arXiv 2111.06377; small ViTs: arXiv 2205.14443)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pretraining.methods.method import PretrainMethod, Reconstructions
from pretraining.models.decoder import MaeDecoder
from pretraining.models.patches import (
    VARIANCE_EPSILON,
    Masking,
    count_visible_patches,
    gather_tokens,
    normalize_patches,
    patchify,
    sample_masking,
    scatter_tokens,
    unpatchify,
)
from pretraining.models.sincos_pos_embed import sincos_pos_embed
from pretraining.models.vit import embed_patches, get_patch_geometry, require_plain_vit
from pretraining.recipe import MaskedRecipe


class Mae(PretrainMethod):
    """Encodes the visible patches of an image and reconstructs the masked ones.

    Args:
        backbone: a plain ViT of timm.
        preprocessor: see ``PretrainMethod``.
        recipe: mask ratio, targets, decoder.
        backbone_name: name of the backbone, for messages.
        random_init: whether the weights of the backbone are random; they are then initialized again as in MAE.

    Raises:
        UserError: the backbone is not a plain ViT, or mask ratio or decoder do not fit it.
    """

    def __init__(
        self, backbone: nn.Module, preprocessor: nn.Module, recipe: MaskedRecipe, backbone_name: str, random_init: bool
    ) -> None:
        super().__init__(require_plain_vit(backbone, backbone_name), preprocessor)
        self.recipe = recipe
        self.patch_geometry = get_patch_geometry(backbone)
        self.num_visible = count_visible_patches(self.patch_geometry.num_patches, recipe.mask_ratio)
        width = int(self.backbone.embed_dim)
        self.decoder = MaeDecoder(width, recipe.decoder, self.patch_geometry, recipe.positions)
        init_xavier_weights(self.decoder)
        nn.init.normal_(self.decoder.mask_token, std=0.02)
        if random_init:  # loaded weights, for example of an earlier pre-training, stay as they are
            init_xavier_weights(self.backbone)
            init_tokens(self.backbone, recipe.positions == "fixed")
        self.backbone.pos_embed.requires_grad_(recipe.positions == "learned")

    def compute_losses(self, images: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """Return ``loss_masked``, the mean squared error over masked patches, and ``loss_visible`` if it has a weight.

        Args:
            images: (N, 3, S, S), normalized.
            seeds: (N,) int64, one per image.
        """
        patches, masking = self.patchify_and_mask(images, seeds)
        return self.compute_reconstruction_losses(self.encode_visible(images, patches, masking), patches, masking)

    def patchify_and_mask(self, images: Tensor, seeds: Tensor) -> tuple[Tensor, Masking]:
        """Return all patches of the images, (N, patches, pixels per patch), and the maskings."""
        masking = sample_masking(seeds, self.patch_geometry.num_patches, self.num_visible)
        return patchify(images, self.patch_geometry.patch_size), masking

    def compute_reconstruction_losses(self, tokens: Tensor, patches: Tensor, masking: Masking) -> dict[str, Tensor]:
        """Decode tokens and compare the result with the target pixels.

        Args:
            tokens: output of the encoder, (N, prefix + visible, C).
            patches: all patches, (N, patches, pixels per patch).
            masking: which patches are visible.

        Returns:
            ``loss_masked``, and the weighted ``loss_visible`` if its weight is not 0.
        """
        weight = self.recipe.visible_loss
        predicted = self.decoder(tokens, masking, predict_visible=weight > 0).float()
        # the decoder predicts in the order of the masking (visible patches first), so the targets are put in that order
        target = gather_tokens(patches, masking.permutation if weight else masking.masked_indices).float()
        if self.recipe.norm_pix:
            target = normalize_patches(target)
        error = (predicted - target).square()
        if not weight:
            return {"loss_masked": error.mean()}
        seen, hidden = error[:, : masking.num_visible], error[:, masking.num_visible :]
        return {"loss_masked": hidden.mean(), "loss_visible": weight * seen.mean()}

    @torch.no_grad()
    def reconstruct_images(self, images: Tensor, seeds: Tensor) -> Reconstructions:
        """Return the images, their visible part (the rest is gray), and the reconstruction with the visible part.

        Args:
            images: (N, 3, S, S), normalized.
            seeds: (N,) int64, one per image.
        """
        patches, masking = self.patchify_and_mask(images, seeds)
        predicted = self.decoder(self.encode_visible(images, patches, masking), masking).float()
        target = gather_tokens(patches, masking.masked_indices)
        if self.recipe.norm_pix:
            # the inverse of normalize_patches, with the statistics of the true patch, which the prediction lacks
            variance, mean = torch.var_mean(target, dim=-1, keepdim=True)
            predicted = predicted * (variance + VARIANCE_EPSILON).sqrt() + mean
        seen = gather_tokens(patches, masking.visible_indices)
        # 0 in normalized pixels is the mean color of the data
        filled = [torch.cat([seen, rest], dim=1) for rest in (torch.zeros_like(target), predicted)]
        masked, complete = (
            unpatchify(
                scatter_tokens(each, masking.permutation), self.patch_geometry.patch_size, self.patch_geometry.grid_size
            )
            for each in filled
        )
        return Reconstructions(images, masked, complete)

    def encode_visible(self, images: Tensor, patches: Tensor, masking: Masking) -> Tensor:
        """Return the tokens that the decoder reads, after the norm of the encoder, (N, prefix + visible, C).

        Args:
            images: (N, 3, S, S); not used here, subclasses need them.
            patches: all patches, (N, patches, pixels per patch).
            masking: which patches are visible.
        """
        tokens: Tensor = self.backbone.norm(self.backbone.blocks(embed_patches(self.backbone, patches, masking)))
        return tokens


def init_xavier_weights(module: nn.Module) -> None:
    """Initialize linear layers and the patch projection as MAE's code does.

    All weights are Xavier-uniform. The biases of linear layers are 0; that of the patch projection is drawn like the
    bias of any convolution of torch, uniformly within 1 / sqrt(pixels per patch), because MAE's code leaves it alone.
    """
    for part in module.modules():
        if not isinstance(part, nn.Linear | nn.Conv2d):
            continue
        # the view makes a linear layer of the patch projection, as in MAE: its fan-out is C, not C * patch area
        weight = part.weight.view(part.weight.shape[0], -1)
        nn.init.xavier_uniform_(weight)
        if part.bias is not None:
            # drawn here, because timm's constructors may change how they initialize a convolution
            bound = weight.shape[1] ** -0.5 if isinstance(part, nn.Conv2d) else 0.0
            nn.init.uniform_(part.bias, -bound, bound)


def init_tokens(model: Any, fixed_positions: bool) -> None:
    """Initialize the prefix tokens and the position embeddings.

    Tokens and learned positions are drawn from a normal distribution with standard deviation 0.02.

    Args:
        model: a plain ViT of timm.
        fixed_positions: set the positions to fixed sines and cosines.
    """
    shape = get_patch_geometry(model)
    with torch.no_grad():
        for token in (model.cls_token, model.reg_token):
            if token is not None:
                token.normal_(std=0.02)
        if fixed_positions:
            model.pos_embed.copy_(sincos_pos_embed(model.embed_dim, shape.grid_size, shape.num_prefix_tokens))
        else:
            model.pos_embed.normal_(std=0.02)
