"""Learning-rate schedules of a recipe, as mmengine parameter schedulers stepped every iteration."""

from __future__ import annotations

from typing import Any

from engine.recipe import TrainingRecipe


def build_lr_schedulers(recipe: TrainingRecipe, steps_per_epoch: int) -> list[dict[str, Any]]:
    """Scheduler configurations for mmengine's Runner.

    Args:
        recipe: its ``schedule`` is in epochs or iterations, as the recipe is.
        steps_per_epoch: optimiser steps in one epoch (not used where the recipe counts iterations).

    Returns:
        Warm-up (if any) and main phase. A cosine ends at ``end_lr / lr`` of each group's own rate, so
        layer-decay ratios hold to the end; poly ends at ``end_lr`` in every group, as mmseg's does.
    """
    setting, unit = recipe.schedule, steps_per_epoch if recipe.by_epoch else 1
    total, warmup = recipe.length * unit, setting.warmup * unit
    schedulers: list[dict[str, Any]] = []
    if warmup:
        # mmengine's factor must be above 0; at 1e-8 of the rate the first step does nothing
        start = max(setting.warmup_start / recipe.optimizer.lr, 1e-8)
        schedulers.append({"type": "LinearLR", "start_factor": start, "begin": 0, "end": warmup, "by_epoch": False})
    span: dict[str, Any] = {"begin": warmup, "end": total, "by_epoch": False}
    floor = setting.end_lr / recipe.optimizer.lr
    if setting.name == "cosine":
        schedulers.append({"type": "CosineAnnealingLR", "T_max": total - warmup, "eta_min_ratio": floor, **span})
    elif setting.name == "poly":
        schedulers.append({"type": "PolyLR", "power": setting.power, "eta_min": setting.end_lr, **span})
    else:
        milestones = [milestone * unit for milestone in setting.milestones]
        schedulers.append({"type": "MultiStepLR", "milestones": milestones, "gamma": setting.gamma, "by_epoch": False})
    return schedulers
