"""The small Swin of arXiv 2404.12210, built from timm's ``SwinTransformer``.

Its teacher, which the paper calls "Swin-Small", is the usual Swin-T.
"""

from __future__ import annotations

from typing import Any

from timm.models import register_model
from timm.models.swin_transformer import SwinTransformer, checkpoint_filter_fn

from backbones.architectures.build import build_timm_model

# from swin_tiny_224 in wangsr126/MAE-Lite, projects/eval_tools/swin_transformer.py
_SWIN_LITE_ARGS = {
    "img_size": 224,
    "patch_size": 4,
    "window_size": 7,
    "embed_dim": 48,
    "depths": (2, 2, 6, 2),
    "num_heads": (3, 6, 12, 24),
    "drop_path_rate": 0.0,  # timm's class has 0.1; here the protocol chooses the regularization
}


@register_model
def swin_lite(**kwargs: Any) -> SwinTransformer:
    """Build Swin with 7.3 M parameters: widths 48-96-192-384, blocks 2-2-6-2, heads 3-6-12-24, window 7, patch 4.

    Source: arXiv 2404.12210; wangsr126/MAE-Lite, projects/eval_tools/swin_transformer.py (``swin_tiny_224``).
    """
    # timm's own Swin variants use the same: four stages, found inside the sequential container "layers"
    features = {"out_indices": (0, 1, 2, 3), "flatten_sequential": True}
    return build_timm_model(
        SwinTransformer,
        "swin_lite",
        _SWIN_LITE_ARGS,
        kwargs,
        classifier="head.fc",
        feature_cfg=features,
        filter_fn=checkpoint_filter_fn,
    )
