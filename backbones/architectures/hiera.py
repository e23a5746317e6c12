"""The papers' small Hiera, on timm's ``Hiera``. Meta's Hiera-T (embed 96) is another, far larger model."""

from __future__ import annotations

from typing import Any

from timm.models import register_model
from timm.models.hiera import Hiera, checkpoint_filter_fn

from backbones.architectures.build import build_timm_model

_HIERA_LITE_ARGS = {"img_size": 224, "embed_dim": 46, "num_heads": 1, "stages": (1, 2, 7, 2)}


@register_model
def hiera_lite(**kwargs: Any) -> Hiera:
    """Hiera of 6.7 M parameters: widths 46-92-184-368, blocks 1-2-7-2, heads 1-2-4-8.

    Mask units of 8x8 tokens, attention within them in stages 1 and 2, 7x7 stem of stride 4, and one learned position
    a token of the stem (3136 at 224 px). Queries are pooled at each of the three stage changes, as in fine-tuning;
    MAE pre-training pools at two (``q_pool=2``). Input sides must be multiples of 32.

    Source: arXiv 2404.12210; wangsr126/MAE-Lite, projects/eval_tools/hiera.py (``hiera_tiny_224``).
    """
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
