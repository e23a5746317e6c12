"""The small Hiera of arXiv 2404.12210, built from timm's ``Hiera``.

It is not Meta's Hiera-T, which starts at 96 channels and is much larger.
"""

from __future__ import annotations

from typing import Any

from timm.models import register_model
from timm.models.hiera import Hiera, checkpoint_filter_fn

from backbones.architectures.build import build_timm_model

# from hiera_tiny_224 in wangsr126/MAE-Lite, projects/eval_tools/hiera.py; the rest is timm's default
_HIERA_LITE_ARGS = {"img_size": 224, "embed_dim": 46, "num_heads": 1, "stages": (1, 2, 7, 2)}


@register_model
def hiera_lite(**kwargs: Any) -> Hiera:
    """Build Hiera with 6.7 M parameters: widths 46-92-184-368, blocks 1-2-7-2, heads 1-2-4-8.

    The stem is a 7x7 convolution of stride 4, with one learned position per stem token (3136 at 224 pixels). Mask units
    have 8x8 tokens, and stages 1 and 2 attend within a mask unit. Queries are pooled at each of the three transitions
    between stages, as in fine-tuning; MAE pre-training pools at two of them (``q_pool=2``). Height and width must be
    multiples of 32 pixels.

    Source: arXiv 2404.12210; wangsr126/MAE-Lite, projects/eval_tools/hiera.py (``hiera_tiny_224``).
    """
    # Hiera's stages are slices of one list of blocks, so features_only must call forward_intermediates ("getter")
    features = {"out_indices": 4, "feature_cls": "getter"}
    return build_timm_model(
        Hiera,
        "hiera_lite",
        _HIERA_LITE_ARGS,
        kwargs,
        classifier="head.fc",
        feature_cfg=features,
        filter_fn=checkpoint_filter_fn,
    )
