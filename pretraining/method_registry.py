"""The pre-training methods: their names, recipes and builders. Imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from foundation.errors import UnknownNameError
from foundation.suggest import did_you_mean

if TYPE_CHECKING:
    from pretraining.methods.method import PretrainMethod
    from pretraining.recipe import PretrainRecipe


@dataclass(frozen=True)
class MethodCard:
    """A pre-training method.

    Attributes:
        name: as ``bench pretrain`` takes it.
        summary: one line for listings.
        recipe_class_name: name of its recipe class in ``pretraining.recipe``.
        builder_path: ``module:function`` that builds it from a ``pretraining.methods.build_method.MethodParts``.
        needs_teacher: whether it needs a teacher.
        num_views: number of crops of each image.
    """

    # Class and builder are named by text, so that listing the methods imports neither pydantic nor torch.

    name: str
    summary: str
    recipe_class_name: str
    builder_path: str
    needs_teacher: bool = False
    num_views: int = 1

    def load_recipe_class(self) -> type[PretrainRecipe]:
        """Import and return the recipe class."""
        found: type[PretrainRecipe] = getattr(importlib.import_module("pretraining.recipe"), self.recipe_class_name)
        return found

    def load_builder(self) -> Callable[[Any], PretrainMethod]:
        """Import and return the builder."""
        module, _, name = self.builder_path.partition(":")
        found: Callable[[Any], PretrainMethod] = getattr(importlib.import_module(module), name)
        return found


_METHOD_CARDS = (
    MethodCard(
        "mae", "masked autoencoder (plain ViTs, Hiera)", "MaskedRecipe", "pretraining.methods.build_method:build_mae"
    ),
    MethodCard(
        "mae_distill",
        "D-MAE: MAE that also matches a teacher's attention (plain ViTs, Hiera)",
        "DistillRecipe",
        "pretraining.methods.build_method:build_mae_distill",
        needs_teacher=True,
    ),
    MethodCard(
        "mae_distill_d2",
        "D2-MAE: decoupled, an extra block matches the teacher (plain ViTs)",
        "DecoupledRecipe",
        "pretraining.methods.build_method:build_mae_distill_d2",
        needs_teacher=True,
    ),
    MethodCard(
        "mae_cifar",
        "Tan's MAE for CIFAR: learned positions, a discounted loss on visible patches (vit_cifar)",
        "MaskedRecipe",
        "pretraining.methods.build_method:build_mae",
    ),
    MethodCard(
        "simmim",
        "SimMIM: masked 32-px units, raw pixels, L1 (Swin)",
        "SimmimRecipe",
        "pretraining.methods.build_method:build_simmim",
    ),
    MethodCard(
        "simmim_d2",
        "SimMIM with decoupled distillation (Swin)",
        "SimmimDistillRecipe",
        "pretraining.methods.build_method:build_simmim_d2",
        needs_teacher=True,
    ),
    MethodCard(
        "mocov3",
        "MoCo-v3: two crops, contrastive (plain ViTs)",
        "MocoRecipe",
        "pretraining.methods.build_method:build_mocov3",
        num_views=2,
    ),
)
METHOD_CARDS = {each.name: each for each in _METHOD_CARDS}


def get_method_card(name: str) -> MethodCard:
    """Return the method with the given name.

    Raises:
        UnknownNameError: there is no such method; names the nearest ones.
    """
    if name not in METHOD_CARDS:
        close = did_you_mean(name, METHOD_CARDS, hint="see: bench list pretraining")
        raise UnknownNameError(f"unknown pre-training method {name!r}{close}")
    return METHOD_CARDS[name]
