"""The papers' architectures without weights: training starts from random initialization."""

from __future__ import annotations

from backbones.card import BackboneCard
from backbones.cards.common import ARCHITECTURES_MODULE, SOURCE_FIRST_RELEASE, SOURCE_ICML

VIT_TINY = BackboneCard(
    name="vit_tiny",
    architecture="vit_tiny_12h",
    summary="the papers' ViT-Tiny, 12 heads, random init (scratch)",
    heads=12,
    module=ARCHITECTURES_MODULE,
    facts={
        "ImageNet-1K top-1, improved recipe, 300 epochs": f"75.8 ({SOURCE_ICML}; its first release printed 76.1)",
        "ImageNet-1K top-1, default recipe, 300 epochs": f"74.5 ({SOURCE_FIRST_RELEASE})",
    },
)

VIT_SMALL = BackboneCard(
    name="vit_small",
    architecture="vit_small_12h",
    summary="the papers' ViT-Small, 12 heads, random init (scratch)",
    heads=12,
    module=ARCHITECTURES_MODULE,
    facts={"ImageNet-1K top-1, improved recipe, 300 epochs": f"80.2 ({SOURCE_ICML})"},
)

VIT_BASE = BackboneCard(
    name="vit_base",
    architecture="vit_base",
    summary="ViT-Base, random init (scratch); the architecture of the papers' teacher",
    heads=12,
    module=ARCHITECTURES_MODULE,
)

VIT_TINY_RPE = BackboneCard(
    name="vit_tiny_rpe",
    architecture="vit_tiny_12h_rpe",
    summary="ViT-Tiny with relative position bias in addition to absolute positions, random init",
    heads=12,
    module=ARCHITECTURES_MODULE,
)

VIT_SMALL_RPE = BackboneCard(
    name="vit_small_rpe",
    architecture="vit_small_12h_rpe",
    summary="ViT-Small with relative position bias in addition to absolute positions, random init",
    heads=12,
    module=ARCHITECTURES_MODULE,
)

# hierarchical backbones have no class token, and their stages differ in the number of heads
HIERA_LITE = BackboneCard(
    name="hiera_lite",
    architecture="hiera_lite",
    summary="the papers' Hiera of 6.7 M parameters, embed 46 (not Meta's Hiera-T), random init",
    prefix_tokens=0,
    module=ARCHITECTURES_MODULE,
)

SWIN_LITE = BackboneCard(
    name="swin_lite",
    architecture="swin_lite",
    summary="the papers' Swin of 7.3 M parameters, embed 48 (not the usual Swin-T), random init",
    prefix_tokens=0,
    module=ARCHITECTURES_MODULE,
)
