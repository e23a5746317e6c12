"""Plain ViTs: timm's ``VisionTransformer`` with a class token, learned positions and a bias on q, k and v.

Blocks are pre-norm and LayerNorm has eps 1e-6, which are timm's defaults. The papers' ViT-Tiny and ViT-Small have 12
heads, like their ViT-Base teacher. timm's models of the same names have 3 and 6 (arXiv 2205.14443 and 2404.12210;
wangsr126/MAE-Lite, mae_lite/models/models_vit.py).
"""

from __future__ import annotations

from typing import Any

from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

from backbones.architectures.build import build_timm_model

# 12 heads at every width, so that the channels per head are 16, 32 and 64
VIT_TINY_ARGS = {"img_size": 224, "patch_size": 16, "embed_dim": 192, "depth": 12, "num_heads": 12}
VIT_SMALL_ARGS = {**VIT_TINY_ARGS, "embed_dim": 384}
VIT_BASE_ARGS = {**VIT_TINY_ARGS, "embed_dim": 768}
VIT_FEATURE_CFG = {"out_indices": 3, "feature_cls": "getter"}
"""By default ``features_only`` returns the last three blocks, as it does for timm's plain ViTs."""


def _build_vit(variant: str, defaults: dict[str, Any], overrides: dict[str, Any]) -> VisionTransformer:
    """Build one variant; ``overrides`` take precedence over ``defaults``."""
    return build_timm_model(
        VisionTransformer, variant, defaults, overrides, feature_cfg=VIT_FEATURE_CFG, filter_fn=checkpoint_filter_fn
    )


@register_model
def vit_tiny_12h(**kwargs: Any) -> VisionTransformer:
    """Build the papers' ViT-Tiny: width 192, 12 blocks, 12 heads of 16; 5,717,416 parameters with 1000 classes."""
    return _build_vit("vit_tiny_12h", VIT_TINY_ARGS, kwargs)


@register_model
def vit_small_12h(**kwargs: Any) -> VisionTransformer:
    """Build the papers' ViT-Small: width 384, 12 blocks, 12 heads of 32; 22,050,664 parameters with 1000 classes."""
    return _build_vit("vit_small_12h", VIT_SMALL_ARGS, kwargs)


@register_model
def vit_base(**kwargs: Any) -> VisionTransformer:
    """Build ViT-Base, the papers' teacher: width 768, 12 blocks, 12 heads; 86,567,656 parameters with 1000 classes."""
    return _build_vit("vit_base", VIT_BASE_ARGS, kwargs)


@register_model
def vit_nano_patch8_32(**kwargs: Any) -> VisionTransformer:
    """Build a ViT for 32-pixel images: 16 patch tokens, width 64, 4 blocks, 4 heads; 0.21 M parameters."""
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 4, "num_heads": 4}
    return _build_vit("vit_nano_patch8_32", size, kwargs)


@register_model
def vit_pico_patch8_32(**kwargs: Any) -> VisionTransformer:
    """Build a smaller ``vit_nano_patch8_32``: width 32, 3 blocks, 2 heads; 0.05 M parameters."""
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}
    return _build_vit("vit_pico_patch8_32", size, kwargs)


@register_model
def vit_micro_patch4_32(**kwargs: Any) -> VisionTransformer:
    """Build a ViT for 32-pixel photographs: 64 patch tokens, width 96, 6 blocks, 3 heads; 0.68 M parameters."""
    size = {"img_size": 32, "patch_size": 4, "embed_dim": 96, "depth": 6, "num_heads": 3}
    return _build_vit("vit_micro_patch4_32", size, kwargs)
