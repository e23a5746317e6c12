"""MoCo-v3 on plain ViTs (arXiv 2104.02057), as the papers use it to pre-train ViT-Tiny."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn

from foundation.errors import UserError
from pretraining.methods.infonce_loss import cosine_momentum, infonce_loss
from pretraining.methods.method import PretrainMethod, average_parameters
from pretraining.models.sincos_pos_embed import sincos_pos_embed
from pretraining.models.vit import get_patch_geometry, require_plain_vit
from pretraining.recipe import MocoRecipe


class MocoV3(PretrainMethod):
    """Trains the features of two crops of an image to be similar, and different from those of all other images.

    Args:
        backbone: a plain ViT with a class token.
        preprocessor: gives two crops per image.
        recipe: temperature, momentum, widths.
        backbone_name: name of the backbone, for messages.
        random_init: whether the weights of the backbone are random; they are then initialized again as in MoCo-v3.

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
            init_moco_weights(backbone)
        backbone.pos_embed.requires_grad_(False)
        if recipe.freeze_patch_embed:
            backbone.patch_embed.requires_grad_(False)
        # projector and predictor keep torch's own initialization, as in the authors' code
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


def init_moco_weights(model: Any) -> None:
    """Initialize a plain ViT as MoCo-v3 does: Xavier-uniform weights, biases of zero and fixed positions.

    A layer of fan-in a and fan-out b gets weights from -limit to limit with limit = sqrt(6 / (a + b)). The joint layer
    for queries, keys and values is three layers, so its fan-out is a third of its rows; the patch projection is a
    linear layer on the pixels of a patch.

    Args:
        model: a plain ViT of timm.

    Source: facebookresearch/moco-v3, ``vits.py``, from which wangsr126/MAE-Lite took projects/mocov3/vits.py.
    """
    projection = model.patch_embed.proj
    for name, layer in model.named_modules():
        if not isinstance(layer, nn.Linear) and layer is not projection:
            continue
        # (fan-out, fan-in): the kernel of the projection is (C, channels, height, width)
        fan_out, fan_in = layer.weight.flatten(1).shape
        limit = math.sqrt(6 / ((fan_out // 3 if name.endswith("qkv") else fan_out) + fan_in))
        nn.init.uniform_(layer.weight, -limit, limit)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for token in (model.cls_token, model.reg_token):
        if token is not None:
            nn.init.normal_(token, std=1e-6)
    shape = get_patch_geometry(model)
    with torch.no_grad():
        model.pos_embed.copy_(
            sincos_pos_embed(model.embed_dim, shape.grid_size, shape.num_prefix_tokens, rows_first=True)
        )


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
