"""MoCo-v3 on plain ViTs (arXiv 2104.02057), as the papers use it to pre-train ViT-Tiny."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import torch
from torch import Tensor, nn

from foundation.errors import UserError
from pretraining.methods.infonce_loss import cosine_momentum, infonce_loss
from pretraining.methods.mae import init_tokens
from pretraining.methods.method import PretrainMethod, average_parameters
from pretraining.models.vit import require_plain_vit
from pretraining.recipe import MocoRecipe


class MocoV3(PretrainMethod):
    """Trains the features of two crops of an image to be similar, and different from those of all other images.

    Args:
        backbone: a plain ViT with a class token.
        preprocessor: gives two crops per image.
        recipe: temperature, momentum, widths.
        backbone_name: name of the backbone, for messages.
        random_init: whether the weights of the backbone are random; its positions are then fixed sines and cosines.

    Raises:
        UserError: the backbone is not a plain ViT with a class token, or ``accumulate`` is above 1.
    """

    def __init__(
        self, backbone: Any, preprocessor: nn.Module, recipe: MocoRecipe, backbone_name: str, random_init: bool
    ) -> None:
        super().__init__(require_plain_vit(backbone, backbone_name), preprocessor)
        if not backbone.has_class_token:
            raise UserError(f"{backbone_name} has no class token, which mocov3 compares")
        if recipe.accumulate > 1:
            raise UserError(
                "mocov3 compares all images of a batch, so it cannot be split into micro-batches; set accumulate=1"
            )
        self.recipe = recipe
        if random_init:
            init_tokens(backbone, fixed_positions=True)
        backbone.pos_embed.requires_grad_(False)
        if recipe.freeze_patch_embed:
            backbone.patch_embed.requires_grad_(False)
        self.projector = build_mlp([int(backbone.embed_dim), recipe.hidden_dim, recipe.hidden_dim, recipe.out_dim])
        self.predictor = build_mlp([recipe.out_dim, recipe.hidden_dim, recipe.out_dim])
        # queries pass through backbone, projector and predictor; keys through slowly moving copies of the first two
        self.momentum_encoder = copy.deepcopy(self.backbone).requires_grad_(False)
        self.momentum_projector = copy.deepcopy(self.projector).requires_grad_(False)

    def compute_losses(self, images: Tensor, seeds: Tensor, second_images: Tensor | None = None) -> dict[str, Tensor]:
        """Return ``loss_contrast``: the queries of each crop against the keys of the other crop, in both directions.

        Args:
            images: (N, 3, S, S), the first crops.
            seeds: not used; the preprocessor draws crops and colors.
            second_images: (N, 3, S, S), the second crops.
        """
        assert second_images is not None, "the preprocessor gives two views"
        views = (images, second_images)
        # index 0 of the tokens is the class token
        queries = [self.predictor(self.projector(self.backbone.forward_features(view)[:, 0])) for view in views]
        with torch.no_grad():
            keys = [self.momentum_projector(self.momentum_encoder.forward_features(view)[:, 0]) for view in views]
        terms = [infonce_loss(queries[view], keys[1 - view], self.recipe.temperature) for view in (0, 1)]
        return {"loss_contrast": terms[0] + terms[1]}

    def before_step(self, progress: float) -> None:
        """Update the momentum encoder, before the optimizer step as in the authors' code.

        Args:
            progress: fraction of the training that is done, 0 to 1.
        """
        value = cosine_momentum(self.recipe.momentum, progress)
        for slow, fast in ((self.momentum_encoder, self.backbone), (self.momentum_projector, self.projector)):
            average_parameters(slow, fast, value)


def build_mlp(widths: list[int]) -> nn.Sequential:
    """Build linear layers without bias, each followed by batch norm, and ReLU between; the last norm is not affine.

    The engine makes the batch statistics those of all processes (``engine.processes.batch_norm``).

    Args:
        widths: width of the input, of each hidden layer, and of the output.
    """
    layers: list[nn.Module] = []
    for index, (width, out) in enumerate(itertools.pairwise(widths)):
        last = index == len(widths) - 2
        layers += [nn.Linear(width, out, bias=False), nn.BatchNorm1d(out, affine=not last)]
        if not last:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
