"""What a protocol's file says: its settings at every tier, and the learning rate that follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import PARAM_SCHEDULERS

from engine.config import load_protocol
from engine.lr_schedule import build_lr_schedulers
from engine.recipe import ProtocolSettings, TrainingRecipe
from results.records.identity import compute_digest
from tests.conftest import ROOT

STEPS_PER_EPOCH = 4
"""For protocols that count epochs; the real number depends on the data."""


def list_config_files(room: str) -> dict[str, Path]:
    """Return the config files of a room by their names without the suffix."""
    folder = ROOT / room / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.py")) if path.stem != "__init__"}


def describe_settings(file: Path, recipe_type: type[ProtocolSettings]) -> dict[str, Any]:
    """Return all settings that are in the ids of runs: the values of the full tier, and digests of the other tiers.

    Args:
        file: the protocol's config file.
        recipe_type: the class of its recipe.
    """
    tiers = {
        tier: load_protocol(file, recipe_type, tier, ["loggers=[]"] if issubclass(recipe_type, TrainingRecipe) else [])
        for tier in ("full", "short", "smoke")
    }
    settings = {tier: protocol.recipe.identity_settings() for tier, protocol in tiers.items()}
    return {
        "full": dict(_iter_flat(settings["full"])),
        **{tier: compute_digest(settings[tier]) for tier in ("short", "smoke")},
    }


def _iter_flat(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _iter_flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def state_learning_rate(file: Path, recipe_type: type[TrainingRecipe]) -> str:
    """Return the rate of a protocol's file as an override, so that it does not follow the small batch of a test."""
    return f"optimizer.lr={load_protocol(file, recipe_type, 'full', ['loggers=[]']).recipe.optimizer.lr!r}"


def trace_learning_rates(recipe: TrainingRecipe, base_rates: Sequence[float]) -> dict[str, Any]:
    """Step the schedule of a full training without a model, and return the learning rates at some steps.

    Args:
        recipe: the recipe of the full tier.
        base_rates: learning rate of each parameter group before the schedule.

    Returns:
        The numbers of the steps, counted from 1, and one row of learning rates per parameter group.
    """
    unit = STEPS_PER_EPOCH if recipe.by_epoch else 1
    total, warmup = recipe.length * unit, recipe.schedule.warmup * unit
    around = {1, 2, warmup, warmup + 1, warmup + 2, (warmup + total) // 2, total - 1, total}
    around |= {milestone * unit + late for milestone in recipe.schedule.milestones for late in (0, 1)}
    wanted = sorted(step for step in around if 1 <= step <= total)
    groups = [{"params": [torch.nn.Parameter(torch.zeros(()))], "lr": rate} for rate in base_rates]
    # any optimizer will do: the schedulers only write the learning rate into its groups
    optimizer = torch.optim.SGD(groups, lr=recipe.optimizer.lr)
    schedulers = [
        PARAM_SCHEDULERS.build(config, default_args={"optimizer": optimizer})
        for config in build_lr_schedulers(recipe, STEPS_PER_EPOCH)
    ]
    optimizer.step()  # without gradients it does nothing, but torch warns where schedulers step first
    rows: list[list[float]] = [[] for _ in groups]
    for step in range(1, total + 1):
        if step in wanted:
            for row, group in zip(rows, optimizer.param_groups, strict=True):
                row.append(float(group["lr"]))
        for scheduler in schedulers:
            scheduler.step()
    return {"steps": wanted, "rates": rows}
