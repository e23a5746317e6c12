"""Frozen backbones on digits, as the protocols make them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from backbones.registry import get_card
from backbones.weights import locate_weights
from classification.digits_task import DIGITS
from classification.probes.feature_extraction import Frozen, freeze
from classification.recipe import FrozenRecipe
from engine.data import digits as digits_data
from engine.task import Plan, Request


def request(protocol: str = "knn", **changes: Any) -> Request:
    """A cell of digits on the CPU; ``backbone`` and ``checkpoint`` by name, the rest as in ``Request``."""
    card = get_card(changes.pop("backbone", "vit_pico"))
    base = Request(
        card=card,
        start=locate_weights(card, changes.pop("checkpoint", None)),
        protocol=protocol,
        tier="smoke",
        seed=0,
        overrides=(),
        data_root=Path("data"),
        device="cpu",
    )
    return replace(base, **changes)


def frozen(asked: Request | None = None, fingerprint: str = "f" * 64, **settings: Any) -> Frozen:
    """A frozen backbone; ``settings`` are the recipe's."""
    asked = asked or request()
    recipe = FrozenRecipe(**{"img_size": 32, **settings})
    arguments = {"img_size": recipe.img_size, "num_classes": 0, "global_pool": recipe.pool}
    plan = Plan(1, {}, {}, arguments, 359, ())
    digits = digits_data.load()
    splits = {
        split: digits_data.DigitItems(digits, split, recipe.img_size, asked.card.mean, asked.card.std)
        for split in ("train", "val", "test")
    }
    return freeze(asked, plan, recipe, splits, fingerprint, DIGITS)
