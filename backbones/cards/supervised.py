"""Weights that were trained with ImageNet-1K labels.

Compare their results only with each other, not with those of self-supervised weights.
"""

from __future__ import annotations

from backbones.card import BackboneCard, PretrainedWeights
from backbones.cards.common import (
    ARCHITECTURES_MODULE,
    LASOT_METRIC,
    SOURCE_ICML,
    SOURCE_IJCV,
    TEACHER_NAME,
    mae_lite_weights,
)

# Fine-tuned weights average the patch tokens and normalize the mean (fc_norm), so they have no norm before the pooling.
_AVG_POOL_ARGS = {"global_pool": "avg"}

# with 3 heads it is another model than the papers' "DeiT-Tiny", although every shape is the same
DEIT_TINY = BackboneCard(
    name="deit_tiny",
    architecture="deit_tiny_patch16_224",
    summary="timm's DeiT-Tiny, 3 heads, supervised (not the papers' reference, which has 12)",
    heads=3,
    weights=PretrainedWeights(
        uri="hf-hub:timm/deit_tiny_patch16_224.fb_in1k",
        recipe="DeiT, 300 epochs, ImageNet-1K labels, no distillation",
        source="facebookresearch/deit, through timm",
        licence="Apache-2.0",
    ),
)

# the papers' supervised reference, with the architecture and the head count of their MAE models
DEIT_TINY_12H = BackboneCard(
    name="deit_tiny_12h",
    architecture="vit_tiny_12h",
    summary="the papers' supervised reference 'DeiT-Tiny': ViT-Tiny with 12 heads",
    arguments=_AVG_POOL_ARGS,
    heads=12,
    weights=mae_lite_weights(
        file="deit_tiny_300e.pth.tar",
        recipe="supervised, improved recipe, 300 epochs, ImageNet-1K labels, from random init",
        page="README.md",
        drive_id="1RvhE2HucdWYHhKmPfHQW2A4EPpCHSYN_",
    ),
    module=ARCHITECTURES_MODULE,
    facts={
        "ImageNet-1K top-1, improved recipe, 300 epochs": f"75.8 ({SOURCE_ICML})",
        "COCO, ViTDet 640 px, 100 epochs": f"40.4 box AP, 35.5 mask AP ({SOURCE_ICML})",
        "ADE20K, Semantic FPN 512 px, 160k": f"38.0 mIoU ({SOURCE_IJCV})",
        "LaSOT, OSTrack with candidate elimination": f"64.1 {LASOT_METRIC} ({SOURCE_IJCV})",
    },
)

MAE_D2_TINY_FT_RPE = BackboneCard(
    name="mae_d2_tiny_ft_rpe",
    architecture="vit_tiny_12h_rpe",
    summary="ViT-Tiny: decoupled distilled MAE, then fine-tuned on ImageNet-1K with relative position bias",
    arguments=_AVG_POOL_ARGS,
    heads=12,
    weights=mae_lite_weights(
        file="mae_tiny_distill_d2_400e_ft_rpe_1000e.pth.tar",
        recipe=f"D2-MAE from {TEACHER_NAME}, 400 epochs; "
        "then improved recipe with RPE, 1000 epochs, ImageNet-1K labels",
        page="README.md",
        drive_id="1KRdkurYMfNxaIhjn3bELLL40Z-MEbMZj",
    ),
    module=ARCHITECTURES_MODULE,
    facts={
        "ImageNet-1K top-1, as it is": f"79.4 (79.444; {SOURCE_IJCV})",
        "ADE20K, Semantic FPN 512 px, 160k": f"42.8 mIoU ({SOURCE_IJCV})",
    },
)
