"""MoCo-v3 on plain ViTs (arXiv 2104.02057), as the papers pre-train ViT-Tiny with it."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import torch
from torch import Tensor, nn

from engine.device import get_dist_info
from foundation.errors import UserError
from pretraining.methods.infonce_loss import cosine_momentum, infonce_loss
from pretraining.methods.mae import init_tokens
from pretraining.methods.method import PretrainMethod, average_parameters
from pretraining.models.vit import require_plain_vit
from pretraining.recipe import MocoRecipe


class MocoV3(PretrainMethod):
    """Two crops of an image shall be alike, and unlike the crops of all other images of the batch.

    Args:
        backbone: a plain ViT with a class token.
        preprocessor: gives two views.
        recipe: temperature, momentum, widths.
        backbone_name: of the backbone, for messages.
        random_init: whether the backbone is random; its positions are then fixed sines and cosines.
    """

    def __init__(
        self, backbone: Any, preprocessor: nn.Module, recipe: MocoRecipe, backbone_name: str, random_init: bool
    ) -> None:
        super().__init__(require_plain_vit(backbone, backbone_name), preprocessor)
        if not backbone.has_class_token:
            raise UserError(f"{backbone_name} has no class token, which mocov3 compares")
        if recipe.accumulate > 1:
            raise UserError(
                "mocov3 compares the images of a whole batch, so it cannot be taken in pieces; set accumulate=1"
            )
        self.recipe = recipe
        if random_init:
            init_tokens(backbone, fixed_positions=True)
        backbone.pos_embed.requires_grad_(False)
        if recipe.freeze_patch_embed:
            backbone.patch_embed.requires_grad_(False)
        self.projector = build_mlp([int(backbone.embed_dim), recipe.hidden_dim, recipe.hidden_dim, recipe.out_dim])
        self.predictor = build_mlp([recipe.out_dim, recipe.hidden_dim, recipe.out_dim])
        self.momentum_encoder = copy.deepcopy(self.backbone).requires_grad_(False)
        self.momentum_projector = copy.deepcopy(self.projector).requires_grad_(False)

    def compute_losses(self, images: Tensor, seeds: Tensor, second_images: Tensor | None = None) -> dict[str, Tensor]:
        """``loss_contrast``: each crop against the other's key, both ways.

        Args:
            images: (N, 3, S, S), the first crops.
            seeds: not used; crops and colours are drawn by the preprocessor.
            second_images: the second crops.
        """
        assert second_images is not None, "the preprocessor gives two views"
        views = (images, second_images)
        queries = [self.predictor(self.projector(self.backbone.forward_features(view)[:, 0])) for view in views]
        with torch.no_grad():
            keys = [self.momentum_projector(self.momentum_encoder.forward_features(view)[:, 0]) for view in views]
        terms = [infonce_loss(queries[view], keys[1 - view], self.recipe.temperature) for view in (0, 1)]
        return {"loss_contrast": terms[0] + terms[1]}

    def before_step(self, progress: float) -> None:
        """Move the momentum encoder, before the step as the authors' code does."""
        value = cosine_momentum(self.recipe.momentum, progress)
        for slow, fast in ((self.momentum_encoder, self.backbone), (self.momentum_projector, self.projector)):
            average_parameters(slow, fast, value)


def build_mlp(widths: list[int]) -> nn.Sequential:
    """Linear layers without bias, each followed by batch norm, ReLU between; the last norm has no parameters.

    Statistics are taken over all processes on GPUs; torch has no such norm for CPUs, where each process takes its own.
    """
    norm = nn.SyncBatchNorm if get_dist_info()[1] > 1 and torch.cuda.is_available() else nn.BatchNorm1d
    layers: list[nn.Module] = []
    for number, (width, out) in enumerate(itertools.pairwise(widths)):
        last = number == len(widths) - 2
        layers += [nn.Linear(width, out, bias=False), norm(out, affine=not last)]
        if not last:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
