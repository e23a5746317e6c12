"""Masked autoencoding on plain ViTs (He et al., arXiv 2111.06377; small ones: arXiv 2205.14443)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pretraining.methods.method import Method, Pictures
from pretraining.models.decoder import Decoder
from pretraining.models.patches import (
    EPSILON,
    Masking,
    mask,
    normalised,
    patchify,
    put_back,
    take,
    unpatchify,
    visible_count,
)
from pretraining.models.sincos_pos_embed import sin_cos
from pretraining.models.vit import embed, geometry, require_plain
from pretraining.recipe import MaskedRecipe


class Mae(Method):
    """Encodes the visible patches of an image and reconstructs the others.

    Args:
        backbone: a plain ViT of timm.
        feed: see ``Method``.
        recipe: mask, target, decoder.
        name: of the backbone, for messages.
        fresh: whether the backbone is random, and so is initialised as MAE does it.
    """

    def __init__(self, backbone: nn.Module, feed: nn.Module, recipe: MaskedRecipe, name: str, fresh: bool) -> None:
        super().__init__(require_plain(backbone, name), feed)
        self.recipe = recipe
        self.geometry = geometry(backbone)
        self.visible = visible_count(self.geometry.patches, recipe.mask_ratio)
        width = int(self.backbone.embed_dim)
        self.decoder = Decoder(width, recipe.decoder, self.geometry, recipe.positions)
        initialise(self.decoder)
        nn.init.normal_(self.decoder.mask_token, std=0.02)
        if fresh:
            initialise(self.backbone)
            place(self.backbone, recipe.positions == "fixed")
        self.backbone.pos_embed.requires_grad_(recipe.positions == "learned")

    def losses(self, images: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """``loss_masked``, the mean squared error over masked patches, and ``loss_visible`` where it is weighed in."""
        patches, masking = self.divide(images, seeds)
        return self.reconstruction(self.encode(images, patches, masking), patches, masking)

    def divide(self, images: Tensor, seeds: Tensor) -> tuple[Tensor, Masking]:
        """All patches of the images, (N, patches, pixels), and the masking of each."""
        masking = mask(seeds, self.geometry.patches, self.visible)
        return patchify(images, self.geometry.patch), masking

    def reconstruction(self, tokens: Tensor, patches: Tensor, masking: Masking) -> dict[str, Tensor]:
        """The losses of the decoder on encoded tokens."""
        weight = self.recipe.visible_loss
        predicted = self.decoder(tokens, masking, everything=weight > 0).float()
        target = take(patches, masking.order if weight else masking.hidden).float()
        if self.recipe.norm_pix:
            target = normalised(target)
        error = (predicted - target).square()
        if not weight:
            return {"loss_masked": error.mean()}
        seen, hidden = error[:, : masking.visible], error[:, masking.visible :]
        return {"loss_masked": hidden.mean(), "loss_visible": weight * seen.mean()}

    @torch.no_grad()
    def pictures(self, images: Tensor, seeds: Tensor) -> Pictures:
        """Images, what of them is visible (the rest mid-grey), and the reconstruction with the visible put in."""
        patches, masking = self.divide(images, seeds)
        predicted = self.decoder(self.encode(images, patches, masking), masking).float()
        target = take(patches, masking.hidden)
        if self.recipe.norm_pix:
            variance, mean = torch.var_mean(target, dim=-1, keepdim=True)
            predicted = predicted * (variance + EPSILON).sqrt() + mean
        seen = take(patches, masking.seen)
        filled = [torch.cat([seen, rest], dim=1) for rest in (torch.zeros_like(target), predicted)]
        masked, whole = (
            unpatchify(put_back(each, masking.order), self.geometry.patch, self.geometry.grid) for each in filled
        )
        return Pictures(images, masked, whole)

    def encode(self, images: Tensor, patches: Tensor, masking: Masking) -> Tensor:
        """The tokens that are reconstructed from, after the encoder's norm."""
        tokens: Tensor = self.backbone.norm(self.backbone.blocks(embed(self.backbone, patches, masking)))
        return tokens


def initialise(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases for linear layers and the patch projection, as in MAE."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(part.weight.view(part.weight.shape[0], -1))
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def place(model: Any, fixed: bool) -> None:
    """Class token from a normal distribution of 0.02; positions fixed sines and cosines, or learned from 0.02."""
    shape = geometry(model)
    with torch.no_grad():
        for token in (model.cls_token, model.reg_token):
            if token is not None:
                token.normal_(std=0.02)
        if fixed:
            model.pos_embed.copy_(sin_cos(model.embed_dim, shape.grid, shape.prefix))
        else:
            model.pos_embed.normal_(std=0.02)
