"""Make a method of its parts: which class serves which architecture."""

from __future__ import annotations

from typing import Any, NamedTuple

from timm.models.hiera import Hiera
from torch import nn

from pretraining.data.gpu_augmentation import Feed
from pretraining.methods.mae import Mae
from pretraining.methods.mae_distill import MaeDistill, MaeDistillDecoupled
from pretraining.methods.method import Method
from pretraining.methods.mocov3 import MocoV3
from pretraining.methods.simmim import Simmim, SimmimDistill
from pretraining.methods.teacher import Teacher
from pretraining.models.hiera import HieraMae, HieraMaeDistill


class Parts(NamedTuple):
    """What a method is made of.

    Attributes:
        backbone: the timm model.
        name: of the backbone.
        fresh: whether it is random.
        feed: of the input.
        recipe: the method's.
        teacher: where the method has one.
    """

    backbone: nn.Module
    name: str
    fresh: bool
    feed: Feed
    recipe: Any
    teacher: Teacher | None


def mae(parts: Parts) -> Method:
    """MAE on a plain ViT or on Hiera."""
    if isinstance(parts.backbone, Hiera):
        return HieraMae(parts.backbone, parts.feed, parts.recipe, parts.name)
    return Mae(parts.backbone, parts.feed, parts.recipe, parts.name, parts.fresh)


def mae_distill(parts: Parts) -> Method:
    """D-MAE on a plain ViT or on Hiera."""
    assert parts.teacher is not None, "the command line asks for one"
    if isinstance(parts.backbone, Hiera):
        return HieraMaeDistill(parts.backbone, parts.feed, parts.recipe, parts.name, parts.teacher)
    return MaeDistill(parts.backbone, parts.feed, parts.recipe, parts.name, parts.fresh, parts.teacher)


def mae_distill_d2(parts: Parts) -> Method:
    """D2-MAE on a plain ViT."""
    assert parts.teacher is not None, "the command line asks for one"
    return MaeDistillDecoupled(parts.backbone, parts.feed, parts.recipe, parts.name, parts.fresh, parts.teacher)


def simmim(parts: Parts) -> Method:
    """SimMIM on Swin."""
    return Simmim(parts.backbone, parts.feed, parts.recipe, parts.name)


def simmim_d2(parts: Parts) -> Method:
    """SimMIM with decoupled distillation on Swin."""
    assert parts.teacher is not None, "the command line asks for one"
    return SimmimDistill(parts.backbone, parts.feed, parts.recipe, parts.name, parts.teacher)


def mocov3(parts: Parts) -> Method:
    """MoCo-v3 on a plain ViT."""
    return MocoV3(parts.backbone, parts.feed, parts.recipe, parts.name, parts.fresh)
