"""Tan's ViT for CIFAR (arXiv 2402.03752), which has a dummy patch instead of a class token."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import resample_abs_pos_embed
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from backbones.architectures.build import build_timm_model
from backbones.architectures.plain import VIT_FEATURE_CFG

_CIFAR_ARGS = {
    "img_size": 36,
    "patch_size": 3,
    "embed_dim": 192,  # not stated; inferred from the paper's bound of 3.65 M parameters
    "depth": 12,
    "num_heads": 12,  # our choice: the paper does not state the number of heads
    "mlp_ratio": 2.0,
}


class DummyPatchViT(VisionTransformer):
    """timm's ViT with a dummy patch: a patch of zeros, embedded like any other, whose output is the class feature.

    The dummy token is the first of the sequence, where timm expects prefix tokens, and has its own row in the position
    embedding. There is no learned class token.
    """

    def __init__(self, **kwargs: Any) -> None:
        if not kwargs.setdefault("class_token", True):
            raise ValueError("the dummy patch is the class token of this model; class_token=False removes it")
        super().__init__(**kwargs)
        # built with a class token, so that timm counts one prefix token and adds a row to pos_embed; the learned
        # parameter itself is then removed
        self.cls_token = None

    def embed_dummy_token(self) -> Tensor:
        """Return the embedded patch of zeros, shape (1, 1, width). Its value is the projection's bias."""
        projection = self.patch_embed.proj
        zeros = projection.weight.new_zeros(1, *projection.weight.shape[1:])
        # embedded like any patch: (1, 3, 3, 3) pixels -> (1, width, 1, 1) -> (1, 1, width)
        token: Tensor = self.patch_embed.norm(projection(zeros).flatten(2).transpose(1, 2))
        return token

    def _pos_embed(self, x: Tensor) -> Tensor:
        """Prepend the dummy token and add the positions. timm calls this between patch embedding and blocks.

        Args:
            x: patch tokens, shape (batch, tokens, channels); with ``dynamic_img_size`` shape (batch, grid height, grid
                width, channels).

        Returns:
            All tokens, shape (batch, 1 + tokens, channels).
        """
        positions = self.pos_embed
        if self.dynamic_img_size:
            # the input may have another size than the model: resample the position of every patch, keep the dummy's
            grid = (x.shape[1], x.shape[2])
            positions = resample_abs_pos_embed(positions, grid, self.patch_embed.grid_size, num_prefix_tokens=1)
        patches = x.reshape(x.shape[0], -1, x.shape[-1])
        tokens = torch.cat([self.embed_dummy_token().to(x.dtype).expand(len(x), -1, -1), patches], dim=1)
        embedded: Tensor = self.pos_drop(tokens + positions)
        return embedded


@register_model
def vit_cifar(**kwargs: Any) -> DummyPatchViT:
    """Build Tan's ViT: 36-pixel images, 144 patches of 3x3 and the dummy patch, width 192, 12 blocks, MLP ratio 2.

    It has 3,599,818 parameters with 10 classes. The width is inferred from the paper's bound of 3.65 M parameters. The
    number of heads is our choice.
    """
    return build_timm_model(DummyPatchViT, "vit_cifar", _CIFAR_ARGS, kwargs, feature_cfg=VIT_FEATURE_CFG)
