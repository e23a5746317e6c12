"""Build a method from its parts; choose the class that fits the architecture of the backbone."""

from __future__ import annotations

from typing import Any, NamedTuple

from timm.models.hiera import Hiera
from torch import nn

from pretraining.data.gpu_augmentation import BatchPreprocessor
from pretraining.methods.mae import Mae
from pretraining.methods.mae_distill import MaeDistill, MaeDistillDecoupled
from pretraining.methods.method import PretrainMethod
from pretraining.methods.mocov3 import MocoV3
from pretraining.methods.simmim import Simmim
from pretraining.methods.simmim_distill import SimmimDistill
from pretraining.methods.teacher import Teacher
from pretraining.models.hiera import HieraMae, HieraMaeDistill


class MethodParts(NamedTuple):
    """The parts of a method.

    Attributes:
        backbone: the timm model.
        backbone_name: name of the backbone, for messages.
        random_init: whether the weights of the backbone are random.
        preprocessor: makes network input from a batch of the loader.
        recipe: the recipe of the method.
        teacher: the teacher; ``None`` if the method has none.
    """

    backbone: nn.Module
    backbone_name: str
    random_init: bool
    preprocessor: BatchPreprocessor
    recipe: Any
    teacher: Teacher | None


def build_mae(parts: MethodParts) -> PretrainMethod:
    """Build MAE on a plain ViT or on Hiera."""
    if isinstance(parts.backbone, Hiera):
        return HieraMae(parts.backbone, parts.preprocessor, parts.recipe, parts.backbone_name, parts.random_init)
    return Mae(parts.backbone, parts.preprocessor, parts.recipe, parts.backbone_name, parts.random_init)


def build_mae_distill(parts: MethodParts) -> PretrainMethod:
    """Build D-MAE on a plain ViT or on Hiera."""
    assert parts.teacher is not None, "PretrainTask requires one"
    if isinstance(parts.backbone, Hiera):
        return HieraMaeDistill(
            parts.backbone, parts.preprocessor, parts.recipe, parts.backbone_name, parts.random_init, parts.teacher
        )
    return MaeDistill(
        parts.backbone, parts.preprocessor, parts.recipe, parts.backbone_name, parts.random_init, parts.teacher
    )


def build_mae_distill_d2(parts: MethodParts) -> PretrainMethod:
    """Build D2-MAE on a plain ViT."""
    assert parts.teacher is not None, "PretrainTask requires one"
    return MaeDistillDecoupled(
        parts.backbone, parts.preprocessor, parts.recipe, parts.backbone_name, parts.random_init, parts.teacher
    )


def build_simmim(parts: MethodParts) -> PretrainMethod:
    """Build SimMIM on Swin."""
    return Simmim(parts.backbone, parts.preprocessor, parts.recipe, parts.backbone_name)


def build_simmim_d2(parts: MethodParts) -> PretrainMethod:
    """Build SimMIM with decoupled distillation on Swin."""
    assert parts.teacher is not None, "PretrainTask requires one"
    return SimmimDistill(parts.backbone, parts.preprocessor, parts.recipe, parts.backbone_name, parts.teacher)


def build_mocov3(parts: MethodParts) -> PretrainMethod:
    """Build MoCo-v3 on a plain ViT."""
    return MocoV3(parts.backbone, parts.preprocessor, parts.recipe, parts.backbone_name, parts.random_init)
