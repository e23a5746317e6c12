"""Build the learning-rate schedule of a recipe from mmengine's parameter schedulers, stepped every iteration."""

from __future__ import annotations

from typing import Any

from engine.recipe import TrainingRecipe


def build_lr_schedulers(recipe: TrainingRecipe, steps_per_epoch: int) -> list[dict[str, Any]]:
    """Return the scheduler configurations for mmengine's Runner.

    Args:
        recipe: its ``schedule`` is in epochs or iterations, like the length of the recipe.
        steps_per_epoch: optimizer steps per epoch (not used if the recipe counts iterations).

    Returns:
        The warm-up (if any) and the main phase. A cosine ends at ``end_lr / lr`` times the rate of each parameter
        group, so the ratios of layer decay hold until the end; poly ends at ``end_lr`` in every group, as in mmseg.
    """
    # All lengths are converted to iterations, the unit in which the schedulers are stepped.
    setting, unit = recipe.schedule, steps_per_epoch if recipe.by_epoch else 1
    total, warmup = recipe.length * unit, setting.warmup * unit
    schedulers: list[dict[str, Any]] = []
    if warmup:
        # mmengine requires a factor above 0; at 1e-8 of the rate the first step changes nothing
        start = max(setting.warmup_start / recipe.optimizer.lr, 1e-8)
        schedulers.append({"type": "LinearLR", "start_factor": start, "begin": 0, "end": warmup, "by_epoch": False})
    span: dict[str, Any] = {"begin": warmup, "end": total, "by_epoch": False}
    # as a ratio, because every parameter group has its own rate
    floor = setting.end_lr / recipe.optimizer.lr
    if setting.name == "cosine":
        schedulers.append({"type": "CosineAnnealingLR", "T_max": total - warmup, "eta_min_ratio": floor, **span})
    elif setting.name == "poly":
        schedulers.append({"type": "PolyLR", "power": setting.power, "eta_min": setting.end_lr, **span})
    else:
        # without ``span``: milestones count from the first iteration of the run, not from the end of the warm-up
        milestones = [milestone * unit for milestone in setting.milestones]
        schedulers.append({"type": "MultiStepLR", "milestones": milestones, "gamma": setting.gamma, "by_epoch": False})
    return schedulers
