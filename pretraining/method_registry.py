"""The methods of pre-training: what each is, its recipe, and what builds it. Imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from foundation.errors import UnknownNameError
from foundation.suggest import did_you_mean

if TYPE_CHECKING:
    from pretraining.methods.method import Method
    from pretraining.recipe import PretrainRecipe


@dataclass(frozen=True)
class MethodCard:
    """A method.

    Attributes:
        name: as ``bench pretrain`` calls it.
        summary: one line.
        recipe: class in ``pretraining.recipe``.
        builder: ``module:function`` that makes it of a ``pretraining.methods.build_method.Parts``.
        teacher: whether it needs one.
        views: crops of each image.
    """

    name: str
    summary: str
    recipe: str
    builder: str
    teacher: bool = False
    views: int = 1

    def schema(self) -> type[PretrainRecipe]:
        """The recipe's type."""
        found: type[PretrainRecipe] = getattr(importlib.import_module("pretraining.recipe"), self.recipe)
        return found

    def build(self) -> Callable[[Any], Method]:
        """The builder."""
        module, _, name = self.builder.partition(":")
        found: Callable[[Any], Method] = getattr(importlib.import_module(module), name)
        return found


_ALL = (
    MethodCard("mae", "masked autoencoder (plain ViTs, Hiera)", "MaskedRecipe", "pretraining.methods.build_method:mae"),
    MethodCard(
        "mae_distill",
        "D-MAE: MAE, and a teacher's attention to match (plain ViTs, Hiera)",
        "DistillRecipe",
        "pretraining.methods.build_method:mae_distill",
        teacher=True,
    ),
    MethodCard(
        "mae_distill_d2",
        "D2-MAE: decoupled, an extra block matches the teacher (plain ViTs)",
        "DecoupledRecipe",
        "pretraining.methods.build_method:mae_distill_d2",
        teacher=True,
    ),
    MethodCard(
        "mae_cifar",
        "Tan's MAE for CIFAR: learned positions, a discounted loss on visible patches (vit_cifar)",
        "MaskedRecipe",
        "pretraining.methods.build_method:mae",
    ),
    MethodCard(
        "simmim",
        "SimMIM: masked 32-px units, raw pixels, L1 (Swin)",
        "SimmimRecipe",
        "pretraining.methods.build_method:simmim",
    ),
    MethodCard(
        "simmim_d2",
        "SimMIM with decoupled distillation (Swin)",
        "SimmimDistillRecipe",
        "pretraining.methods.build_method:simmim_d2",
        teacher=True,
    ),
    MethodCard(
        "mocov3",
        "MoCo-v3: two crops, contrastive (plain ViTs)",
        "MocoRecipe",
        "pretraining.methods.build_method:mocov3",
        views=2,
    ),
)
METHODS = {each.name: each for each in _ALL}


def get_method(name: str) -> MethodCard:
    """The method of that name.

    Raises:
        UnknownNameError: with the nearest names.
    """
    if name not in METHODS:
        close = did_you_mean(name, METHODS, hint="see: bench list pretraining")
        raise UnknownNameError(f"unknown pre-training method {name!r}{close}")
    return METHODS[name]
