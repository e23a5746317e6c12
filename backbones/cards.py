"""The cards bench brings along."""

from __future__ import annotations

from backbones.card import BackboneCard

_HALF = (0.5, 0.5, 0.5)

VIT_NANO = BackboneCard(
    name="vit_nano",
    architecture="vit_nano_patch8_32",
    summary="ViT for small images, 0.2 M parameters, random init (ours, for digits and quick looks)",
    input_size=(3, 32, 32),
    mean=_HALF,
    std=_HALF,
    module="backbones.architectures",
)

VIT_PICO = BackboneCard(
    name="vit_pico",
    architecture="vit_pico_patch8_32",
    summary="ViT for small images, 0.05 M parameters, random init (ours, the smaller sister of vit_nano)",
    input_size=(3, 32, 32),
    mean=_HALF,
    std=_HALF,
    module="backbones.architectures",
)
