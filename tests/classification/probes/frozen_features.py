"""Frozen backbones on digits, as the protocols make them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from backbones.registry import get_card
from backbones.weights import locate_weights
from classification.digits_task import DIGITS
from classification.probes.feature_extraction import FrozenBackbone, make_frozen_backbone
from classification.recipe import FrozenRecipe
from engine.data import digits as digits_data
from engine.task import RunPlan, RunRequest


def make_request(protocol: str = "knn", **changes: Any) -> RunRequest:
    """A cell of digits on the CPU; ``backbone`` and ``checkpoint`` by name, the rest as in ``Request``."""
    card = get_card(changes.pop("backbone", "vit_pico"))
    base = RunRequest(
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


def make_frozen(task_request: RunRequest | None = None, fingerprint: str = "f" * 64, **settings: Any) -> FrozenBackbone:
    """A frozen backbone; ``settings`` are the recipe's."""
    task_request = task_request or make_request()
    recipe = FrozenRecipe(**{"img_size": 32, **settings})
    arguments = {"img_size": recipe.img_size, "num_classes": 0, "global_pool": recipe.pool}
    plan = RunPlan(1, {}, {}, arguments, 359, ())
    digits = digits_data.load_digits_data()
    splits = {
        split: digits_data.DigitsDataset(digits, split, recipe.img_size, task_request.card.mean, task_request.card.std)
        for split in ("train", "val", "test")
    }
    return make_frozen_backbone(task_request, plan, recipe, splits, fingerprint, DIGITS)
