"""MAE that also matches a teacher's attention: D-MAE (arXiv 2205.14443) and decoupled D2-MAE (arXiv 2404.12210)."""

from __future__ import annotations

from backbones.card import BackboneCard
from backbones.cards.common import (
    ARCHITECTURES_MODULE,
    LASOT_METRIC,
    SOURCE_FIRST_RELEASE,
    SOURCE_ICML,
    SOURCE_IJCV,
    TEACHER_NAME,
    mae_lite_weights,
)

# the student's last block learns the attention logits of the teacher's last block
MAE_DISTILL_TINY = BackboneCard(
    name="mae_distill_tiny",
    architecture="vit_tiny_12h",
    summary="D-MAE: ViT-Tiny pre-trained with MAE and a teacher's last attention",
    heads=12,
    weights=mae_lite_weights(
        file="mae_tiny_distill_400e.pth.tar",
        recipe=f"D-MAE, attention logits of the last block from {TEACHER_NAME}, 400 epochs, ImageNet-1K",
        page="projects/mae_lite/DISTILL.md",
        drive_id="1OCDMUEdcPhwoCPWGN0kahsHST7tbQmFe",
        remark="TRACKING.md there saves it as deit_tiny_300e.pth.tar, which is another model's name",
    ),
    module=ARCHITECTURES_MODULE,
    facts={
        "ImageNet-1K top-1, improved recipe, 300 epochs": f"78.4 ({SOURCE_ICML})",
        "ImageNet-1K top-1, default recipe, 300 epochs": f"76.5 ({SOURCE_FIRST_RELEASE})",
        "COCO, ViTDet 640 px, 100 epochs": f"42.3 box AP, 37.4 mask AP ({SOURCE_ICML}; 37.3 in the IJCV state)",
        "LaSOT, OSTrack with candidate elimination": f"65.8 {LASOT_METRIC} ({SOURCE_IJCV})",
    },
)

MAE_DISTILL_SMALL = BackboneCard(
    name="mae_distill_small",
    architecture="vit_small_12h",
    summary="D-MAE: ViT-Small pre-trained with MAE and a teacher's last attention",
    heads=12,
    weights=mae_lite_weights(
        file="mae_small_distill_400e.pth.tar",
        recipe=f"D-MAE, attention logits of the last block from {TEACHER_NAME}, 400 epochs, ImageNet-1K",
        page="projects/mae_lite/SMALL.md",
        drive_id="1-O7uuEnRrgKobETv54Z5T4isdS_WXOmK",
        remark="the page names no file; this is its experiment's name",
    ),
    module=ARCHITECTURES_MODULE,
    facts={"ImageNet-1K top-1, improved recipe, 300 epochs": f"82.5 ({SOURCE_ICML})"},
)

# "decoupled": distillation and reconstruction act on different blocks
MAE_D2_TINY = BackboneCard(
    name="mae_d2_tiny",
    architecture="vit_tiny_12h",
    summary="D2-MAE: ViT-Tiny pre-trained with MAE and decoupled distillation",
    heads=12,
    weights=mae_lite_weights(
        file="mae_tiny_distill_d2_400e.pth.tar",
        recipe=f"D2-MAE, a 13th block matches {TEACHER_NAME}, reconstruction from block 8, 400 epochs, ImageNet-1K",
        page="projects/mae_lite/DISTILL.md",
        drive_id="1gOKB8lSQ3IlOLNbi5Uc7saZO2mMClXNU",
        remark="holds a 13th block that is not used downstream, and a final norm that was trained after block 8",
    ),
    module=ARCHITECTURES_MODULE,
    facts={
        "ImageNet-1K top-1, improved recipe, 300 epochs": f"78.7 ({SOURCE_IJCV})",
        "COCO, ViTDet 640 px, 100 epochs": f"42.5 box AP, 37.5 mask AP ({SOURCE_IJCV})",
        "ADE20K, Semantic FPN 512 px, 160k": f"39.0 mIoU ({SOURCE_IJCV})",
        "LaSOT, OSTrack with candidate elimination": f"66.1 {LASOT_METRIC} ({SOURCE_IJCV})",
    },
)
