"""Self-supervised plain ViTs that were trained without a teacher, and the teacher of the distilled ones."""

from __future__ import annotations

from backbones.card import BackboneCard, PretrainedWeights
from backbones.cards.common import ARCHITECTURES_MODULE, SOURCE_FIRST_RELEASE, SOURCE_ICML, mae_lite_weights

MAE_TINY = BackboneCard(
    name="mae_tiny",
    architecture="vit_tiny_12h",
    summary="MAE-Lite: ViT-Tiny pre-trained with MAE",
    heads=12,
    weights=mae_lite_weights(
        file="mae_tiny_400e.pth.tar",
        recipe="MAE, 400 epochs, batch 4096, mask 0.75, decoder 96-d of 1 block, ImageNet-1K",
        page="README.md",
        drive_id="1ZQYlvCPLZrJDqn2lp4GCIVL246WPqgEf",
    ),
    module=ARCHITECTURES_MODULE,
    facts={
        "ImageNet-1K top-1, improved recipe, 300 epochs": (
            f"78.0 (77.978; {SOURCE_ICML}; its first release printed 78.1)"
        ),
        "ImageNet-1K top-1, default recipe, 300 epochs": f"76.1 ({SOURCE_FIRST_RELEASE})",
        "ImageNet-1K top-1, improved recipe, 1000 epochs": f"78.5 ({SOURCE_FIRST_RELEASE})",
        "ImageNet-1K top-1, improved recipe with RPE, 1000 epochs": f"79.0 (79.002; {SOURCE_ICML})",
        "COCO, ViTDet 640 px, 100 epochs": f"39.9 box AP, 35.4 mask AP ({SOURCE_ICML})",
    },
)

MAE_SMALL = BackboneCard(
    name="mae_small",
    architecture="vit_small_12h",
    summary="ViT-Small pre-trained with MAE",
    heads=12,
    weights=mae_lite_weights(
        file="mae_small_400e.pth.tar",
        recipe="MAE, 400 epochs, batch 4096, mask 0.75, decoder 192-d of 1 block, ImageNet-1K",
        page="projects/mae_lite/SMALL.md",
        drive_id="16polFU68dOe4YrmpgL9I1ekStzFG8XV5",
    ),
    module=ARCHITECTURES_MODULE,
    facts={"ImageNet-1K top-1, improved recipe, 300 epochs": f"82.1 ({SOURCE_ICML})"},
)

MAE_BASE = BackboneCard(
    name="mae_base",
    architecture="vit_base",
    summary="ViT-Base pre-trained with MAE: the teacher of the distilled backbones",
    heads=12,
    weights=PretrainedWeights(
        uri="hf-hub:timm/vit_base_patch16_224.mae",
        recipe="MAE, ImageNet-1K (Meta's encoder)",
        source="facebookresearch/mae (mae_pretrain_vit_base.pth), through timm; the distillers' own copy is "
        "mae_base_1600e.pth.tar, linked in wangsr126/MAE-Lite, projects/mae_lite/DISTILL.md: "
        "Google Drive file 1SPTjHIvw-yTOmw2ll-9cCiVyqR8NdPrX",
        licence="CC-BY-NC-4.0",
    ),
    module=ARCHITECTURES_MODULE,
)

BEIT_TINY = BackboneCard(
    name="beit_tiny",
    architecture="vit_tiny_12h",
    summary="ViT-Tiny pre-trained with BEiT (LayerScale)",
    arguments={"init_values": 0.1},  # any value gives the model LayerScale; the checkpoint overwrites it
    heads=12,
    weights=mae_lite_weights(
        file="beit_tiny_400e.pth.tar",
        recipe="BEiT, 400 epochs, ImageNet-1K (the rest is not stated)",
        page="projects/eval_tools/TRANSFER.md",
        drive_id="13n_hY-DEheBAnheHWUoaYLS-cuCff1vX",
        remark="has a bias on q and v only, and is used without relative position bias (scripts/transfer.sh)",
    ),
    module=ARCHITECTURES_MODULE,
)

BOOTMAE_TINY = BackboneCard(
    name="bootmae_tiny",
    architecture="vit_tiny_12h",
    summary="ViT-Tiny pre-trained with BootMAE",
    heads=12,
    weights=mae_lite_weights(
        file="bootmae_tiny_400e.pth.tar",
        recipe="BootMAE, 400 epochs, ImageNet-1K (the rest is not stated)",
        page="projects/eval_tools/TRANSFER.md",
        drive_id="11Oa9xH-6O1clrmWI5Vxyvk8DcHJ36c5P",
        remark="has a bias on q and v only, and is used without relative position bias (scripts/transfer.sh)",
    ),
    module=ARCHITECTURES_MODULE,
)

MASKFEAT_TINY = BackboneCard(
    name="maskfeat_tiny",
    architecture="vit_tiny_12h",
    summary="ViT-Tiny pre-trained with MaskFeat",
    heads=12,
    weights=mae_lite_weights(
        file="maskfeat_tiny_400e.pth.tar",
        recipe="MaskFeat, 400 epochs, ImageNet-1K (the rest is not stated)",
        page="projects/eval_tools/TRANSFER.md",
        drive_id="1Zbez38J0wn4qLR-ReoE6ey4LnCA2p2i6",
    ),
    module=ARCHITECTURES_MODULE,
)

MOCOV3_TINY = BackboneCard(
    name="mocov3_tiny",
    architecture="vit_tiny_12h",
    summary="ViT-Tiny pre-trained with MoCo-v3 (contrastive)",
    heads=12,
    weights=mae_lite_weights(
        file="mocov3_tiny_400e.pth.tar",
        recipe="MoCo-v3, 400 epochs, batch 1024, temperature 0.2, ImageNet-1K",
        page="projects/mocov3/MOCOV3.md",
        drive_id="1RI0mU-PweAVIXs_hNOx-Xw3VRhN7w6un",
        remark="TRANSFER.md there calls the same file mocov3_tiny_300e.pth.tar",
    ),
    module=ARCHITECTURES_MODULE,
    facts={
        "ImageNet-1K top-1, improved recipe, 300 epochs": f"76.8 ({SOURCE_ICML})",
        "COCO, ViTDet 640 px, 100 epochs": f"39.7 box AP, 35.1 mask AP ({SOURCE_ICML})",
    },
)
