"""Our architectures: timm's own classes under names of ours, registered with timm.

Importing this module is what registers them; a card names it in its ``module``.
"""

from __future__ import annotations

from typing import Any

from timm.models import build_model_with_cfg, register_model
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn


def _vit(variant: str, defaults: dict[str, Any], overrides: dict[str, Any]) -> VisionTransformer:
    """A timm ``VisionTransformer``; arguments given at creation win over the variant's own."""
    overrides.pop("pretrained", None)  # weights are loaded by backbones.create, with a report
    given = overrides.pop("pretrained_cfg", None)
    config = given or {"architecture": variant, "classifier": "head", "first_conv": "patch_embed.proj"}
    out_indices = overrides.pop("out_indices", 3)
    return build_model_with_cfg(
        VisionTransformer,
        variant,
        False,
        pretrained_cfg=config,
        pretrained_filter_fn=checkpoint_filter_fn,
        feature_cfg={"out_indices": out_indices, "feature_cls": "getter"},
        **{**defaults, **overrides},
    )


@register_model
def vit_nano_patch8_32(**kwargs: Any) -> VisionTransformer:
    """ViT for 32-px images: 16 patch tokens + class token, width 64, 4 blocks, 4 heads; 0.21 M parameters."""
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 4, "num_heads": 4}
    return _vit("vit_nano_patch8_32", size, kwargs)


@register_model
def vit_pico_patch8_32(**kwargs: Any) -> VisionTransformer:
    """As ``vit_nano_patch8_32`` with width 32, 3 blocks and 2 heads; 0.05 M parameters."""
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}
    return _vit("vit_pico_patch8_32", size, kwargs)
