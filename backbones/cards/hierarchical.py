"""Hierarchical backbones of arXiv 2404.12210: Hiera with MAE and Swin with SimMIM, each with and without a teacher."""

from __future__ import annotations

from backbones.card import BackboneCard
from backbones.cards.common import ARCHITECTURES_MODULE, SOURCE_IJCV, mae_lite_weights

_HIERA_PAGE = "projects/mae_lite/HIERA.md"
_SWIN_PAGE = "projects/simmim/SIMMIM.md"
_UNNAMED_FILE = "the page names no file; this is its experiment's name"

# no ``heads`` in this module: the stages differ in their number of heads
MAE_HIERA = BackboneCard(
    name="mae_hiera",
    architecture="hiera_lite",
    summary="the papers' Hiera (6.7 M parameters) pre-trained with MAE",
    prefix_tokens=0,
    weights=mae_lite_weights(
        file="mae_hiera_tiny_400e.pth.tar",
        recipe="MAE, 400 epochs, batch 4096, 0.4 of the mask units dropped, ImageNet-1K",
        page=_HIERA_PAGE,
        drive_id="1dXL6lc40kuySP3aSnz0kbddmpebTENaz",
        remark=_UNNAMED_FILE,
    ),
    module=ARCHITECTURES_MODULE,
    facts={"ImageNet-1K top-1, improved recipe, 300 epochs": f"78.5 ({SOURCE_IJCV})"},
)

MAE_DISTILL_HIERA = BackboneCard(
    name="mae_distill_hiera",
    architecture="hiera_lite",
    summary="the papers' Hiera (6.7 M parameters) pre-trained with MAE and a teacher's last attention",
    prefix_tokens=0,
    weights=mae_lite_weights(
        file="mae_hiera_tiny_distill_400e.pth.tar",
        recipe="D-MAE (not decoupled), attention logits from MAE Hiera-Base, 400 epochs, ImageNet-1K",
        page=_HIERA_PAGE,
        drive_id="1s6Q6AZ0kV1YPVFjmxO12sgDr6PSJQpwq",
        remark=f"{_UNNAMED_FILE}, and it gives the same file id for the fine-tuned model without distillation",
    ),
    module=ARCHITECTURES_MODULE,
    facts={"ImageNet-1K top-1, improved recipe, 300 epochs": f"78.9 ({SOURCE_IJCV})"},
)

SIMMIM_SWIN = BackboneCard(
    name="simmim_swin",
    architecture="swin_lite",
    summary="the papers' Swin (7.3 M parameters) pre-trained with SimMIM",
    prefix_tokens=0,
    weights=mae_lite_weights(
        file="simmim_swin_tiny_400e.pth.tar",
        recipe="SimMIM, 400 epochs, batch 2048, mask 0.6 of 32-px units, raw pixels, ImageNet-1K",
        page=_SWIN_PAGE,
        drive_id="1biTTlfMau8XFmmysIaqwcqDER8iKDP-K",
        remark=_UNNAMED_FILE,
    ),
    module=ARCHITECTURES_MODULE,
    facts={"ImageNet-1K top-1, improved recipe, 300 epochs": f"77.4 ({SOURCE_IJCV})"},
)

SIMMIM_D2_SWIN = BackboneCard(
    name="simmim_d2_swin",
    architecture="swin_lite",
    summary="the papers' Swin (7.3 M parameters) pre-trained with SimMIM and decoupled distillation",
    prefix_tokens=0,
    weights=mae_lite_weights(
        file="simmim_swin_tiny_d2_distill_400e.pth.tar",
        recipe="SimMIM with decoupled distillation from their Swin-Small (embed 96), 400 epochs, ImageNet-1K",
        page=_SWIN_PAGE,
        drive_id="1ocdF-sXwhiWjPLx3uTaej65arPJApFYA",
        remark=f"{_UNNAMED_FILE}; holds a 13th block that is not used downstream",
    ),
    module=ARCHITECTURES_MODULE,
    facts={"ImageNet-1K top-1, improved recipe, 300 epochs": f"77.8 ({SOURCE_IJCV})"},
)
