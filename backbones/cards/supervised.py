"""Weights that saw ImageNet-1K labels; keep their scores apart from those of self-supervised weights."""

from __future__ import annotations

from backbones.card import BackboneCard, Weights
from backbones.cards.common import ARCHITECTURES, ICML, IJCV, LASOT, TEACHER, mae_lite

# Fine-tuned weights have no final norm: they average the patch tokens and normalise after.
_POOLED = {"global_pool": "avg"}

DEIT_TINY = BackboneCard(
    name="deit_tiny",
    architecture="deit_tiny_patch16_224",
    summary="timm's DeiT-Tiny, 3 heads, supervised (not the papers' reference, which has 12)",
    heads=3,
    weights=Weights(
        uri="hf-hub:timm/deit_tiny_patch16_224.fb_in1k",
        recipe="DeiT, 300 epochs, ImageNet-1K labels, no distillation",
        source="facebookresearch/deit, through timm",
        licence="Apache-2.0",
    ),
)

DEIT_TINY_12H = BackboneCard(
    name="deit_tiny_12h",
    architecture="vit_tiny_12h",
    summary="the papers' supervised reference 'DeiT-Tiny': ViT-Tiny with 12 heads",
    arguments=_POOLED,
    heads=12,
    weights=mae_lite(
        file="deit_tiny_300e.pth.tar",
        recipe="supervised, improved recipe, 300 epochs, ImageNet-1K labels, from random init",
        page="README.md",
        drive="1RvhE2HucdWYHhKmPfHQW2A4EPpCHSYN_",
    ),
    module=ARCHITECTURES,
    facts={
        "ImageNet-1K top-1, improved recipe, 300 epochs": f"75.8 ({ICML})",
        "COCO, ViTDet 640 px, 100 epochs": f"40.4 box AP, 35.5 mask AP ({ICML})",
        "ADE20K, Semantic FPN 512 px, 160k": f"38.0 mIoU ({IJCV})",
        "LaSOT, OSTrack with candidate elimination": f"64.1 {LASOT} ({IJCV})",
    },
)

MAE_D2_TINY_FT_RPE = BackboneCard(
    name="mae_d2_tiny_ft_rpe",
    architecture="vit_tiny_12h_rpe",
    summary="ViT-Tiny: decoupled distilled MAE, then fine-tuned on ImageNet-1K with relative position bias",
    arguments=_POOLED,
    heads=12,
    weights=mae_lite(
        file="mae_tiny_distill_d2_400e_ft_rpe_1000e.pth.tar",
        recipe=f"D2-MAE from {TEACHER}, 400 epochs; then improved recipe with RPE, 1000 epochs, ImageNet-1K labels",
        page="README.md",
        drive="1KRdkurYMfNxaIhjn3bELLL40Z-MEbMZj",
    ),
    module=ARCHITECTURES,
    facts={
        "ImageNet-1K top-1, as it is": f"79.4 (79.444; {IJCV})",
        "ADE20K, Semantic FPN 512 px, 160k": f"42.8 mIoU ({IJCV})",
    },
)
