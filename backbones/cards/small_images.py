"""ViTs for small images: our own for digits, CIFAR and quick tests, and Tan's for CIFAR (arXiv 2402.03752)."""

from __future__ import annotations

from backbones.card import BackboneCard, PretrainedWeights
from backbones.cards.common import ARCHITECTURES_MODULE, HALF_MEAN_STD

# mean and std of 0.5 in all of them are our choice: the images are not ImageNet's
VIT_NANO = BackboneCard(
    name="vit_nano",
    architecture="vit_nano_patch8_32",
    summary="ViT for small images, 0.2 M parameters, random init (ours, for digits and quick tests)",
    input_size=(3, 32, 32),
    mean=HALF_MEAN_STD,
    std=HALF_MEAN_STD,
    heads=4,
    module=ARCHITECTURES_MODULE,
)

VIT_PICO = BackboneCard(
    name="vit_pico",
    architecture="vit_pico_patch8_32",
    summary="ViT for small images, 0.05 M parameters, random init (ours, a smaller vit_nano)",
    input_size=(3, 32, 32),
    mean=HALF_MEAN_STD,
    std=HALF_MEAN_STD,
    heads=2,
    module=ARCHITECTURES_MODULE,
)

VIT_MICRO = BackboneCard(
    name="vit_micro",
    architecture="vit_micro_patch4_32",
    summary="ViT for CIFAR on a CPU, patches of 4, 0.7 M parameters, random init (ours)",
    input_size=(3, 32, 32),
    mean=HALF_MEAN_STD,
    std=HALF_MEAN_STD,
    heads=3,
    module=ARCHITECTURES_MODULE,
)

VIT_CIFAR = BackboneCard(
    name="vit_cifar",
    architecture="vit_cifar",
    summary="Tan's ViT for CIFAR at 36 px, dummy patch as class token, random init (heads and mean/std are ours)",
    input_size=(3, 36, 36),
    mean=HALF_MEAN_STD,
    std=HALF_MEAN_STD,
    heads=12,
    module=ARCHITECTURES_MODULE,
)

# no public file exists: the card names the file that the user's own pre-training is expected to give
MAE_VIT_CIFAR = BackboneCard(
    name="mae_vit_cifar",
    architecture="vit_cifar",
    summary="Tan's ViT for CIFAR, pre-trained with MAE on the CIFAR set it is used on",
    input_size=(3, 36, 36),
    mean=HALF_MEAN_STD,
    std=HALF_MEAN_STD,
    heads=12,
    weights=PretrainedWeights(
        uri="file:mae_vit_cifar.pth",
        recipe="MAE on CIFAR at 36 px, mask 0.75, loss on masked and, discounted, on visible patches",
        source="arXiv 2402.03752 came with neither weights nor code; pre-train vit_cifar yourself",
        licence="yours",
    ),
    module=ARCHITECTURES_MODULE,
    facts={
        "CIFAR-10 top-1": "96.41 (claim listed for arXiv 2402.03752 on PapersWithCode, marked unverified there)",
        "CIFAR-100 top-1": "78.27 (claim listed for arXiv 2402.03752 on PapersWithCode, marked unverified there)",
    },
)
