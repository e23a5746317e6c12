"""Tan's ViT for CIFAR (arXiv 2402.03752): a dummy patch in the place of the class token."""

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
    "embed_dim": 192,
    "depth": 12,
    "num_heads": 12,  # ours: the paper states none
    "mlp_ratio": 2.0,
}


class DummyPatchViT(VisionTransformer):
    """timm's ViT whose class feature is the output of one patch of zeros, embedded like any other patch.

    The dummy patch stands first in the sequence, where timm keeps prefix tokens, and has a position embedding of its
    own; there is no learned class token.
    """

    def __init__(self, **kwargs: Any) -> None:
        if not kwargs.setdefault("class_token", True):
            raise ValueError("the dummy patch is the class token of this model; class_token=False removes it")
        super().__init__(**kwargs)
        self.cls_token = None

    def embed_dummy_token(self) -> Tensor:
        """The zero patch as embedded: 1 x 1 x width (the projection's bias)."""
        projection = self.patch_embed.proj
        zeros = projection.weight.new_zeros(1, *projection.weight.shape[1:])
        token: Tensor = self.patch_embed.norm(projection(zeros).flatten(2).transpose(1, 2))
        return token

    def _pos_embed(self, x: Tensor) -> Tensor:
        """timm's hook between patch embedding and blocks: prepend the dummy token, add positions.

        Args:
            x: patch tokens, batch x tokens x width, or batch x height x width x channels with ``dynamic_img_size``.

        Returns:
            Batch x (1 + tokens) x width.
        """
        positions = self.pos_embed
        if self.dynamic_img_size:
            grid = (x.shape[1], x.shape[2])
            positions = resample_abs_pos_embed(positions, grid, self.patch_embed.grid_size, num_prefix_tokens=1)
        patches = x.reshape(x.shape[0], -1, x.shape[-1])
        tokens = torch.cat([self.embed_dummy_token().to(x.dtype).expand(len(x), -1, -1), patches], dim=1)
        embedded: Tensor = self.pos_drop(tokens + positions)
        return embedded


@register_model
def vit_cifar(**kwargs: Any) -> DummyPatchViT:
    """Tan's ViT: 36-px images, 144 patches of 3x3 + the dummy patch, width 192, 12 blocks, MLP of twice the width.

    3,599,818 parameters with 10 classes. Width is inferred from the paper's bound of 3.65 M parameters; the number of
    heads is our choice.
    """
    return build_timm_model(DummyPatchViT, "vit_cifar", _CIFAR_ARGS, kwargs, feature_cfg=VIT_FEATURE_CFG)
