"""Build the learning-rate schedule of a recipe from mmengine's parameter schedulers, stepped every iteration."""

from __future__ import annotations

from typing import Any

from engine.recipe import TrainingRecipe
from foundation.errors import UserError

MIN_START_FACTOR = 1e-8
"""mmengine requires a factor above 0; at 1e-8 of the rate the first step changes nothing."""

ONE_STEP_WARMUP = "one_step_warmup"
"""Marks runs with a warm-up of one step, which earlier versions trained at the start rate to their end."""


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
        # mmengine's LinearLR reaches the full rate at step ``end - 1``, counted from 0. The main phase changes nothing
        # at its own first step, number ``warmup``, so that step may still belong to the warm-up.
        # With ``last_step``, a warm-up of a single step would stay at its start; and since mmengine's schedulers
        # multiply the current rate, so would the rest of the run. So there, too, the second step has the full rate.
        end = warmup + 1 if setting.warmup_peak == "next_step" else max(warmup, 2)
        start = _get_start_factor(recipe)
        schedulers.append({"type": "LinearLR", "start_factor": start, "begin": 0, "end": end, "by_epoch": False})
    span: dict[str, Any] = {"begin": warmup, "end": total, "by_epoch": False}
    # as a ratio, because every parameter group has its own rate
    floor = setting.end_lr / recipe.optimizer.lr
    milestones = [milestone * unit for milestone in setting.milestones]
    main_phases: dict[str, dict[str, Any]] = {
        "cosine": {"type": "CosineAnnealingLR", "T_max": total - warmup, "eta_min_ratio": floor, **span},
        "poly": {"type": "PolyLR", "power": setting.power, "eta_min": setting.end_lr, **span},
        # without ``span``: milestones count from the first iteration of the run, not from the end of the warm-up
        "step": {"type": "MultiStepLR", "milestones": milestones, "gamma": setting.gamma, "by_epoch": False},
    }
    return [*schedulers, main_phases[setting.name]]


def count_epoch_steps(num_items: int, batch_size: int, drop_last: bool) -> int:
    """Return the number of batches in one pass over items: at least one, also where the incomplete batch is dropped.

    Args:
        num_items: number of items.
        batch_size: items of a batch.
        drop_last: whether the incomplete batch at the end is left out if there is a complete one.

    >>> [count_epoch_steps(items, 512, drop_last=True) for items in (2040, 512, 511, 40)]
    [3, 1, 1, 1]
    >>> [count_epoch_steps(items, 512, drop_last=False) for items in (2040, 512, 511, 40)]
    [4, 1, 1, 1]
    """
    # -(-a // b) rounds a / b up
    return max(1, num_items // batch_size) if drop_last else -(-num_items // batch_size)


def drops_last_batch(recipe: TrainingRecipe, num_items: int) -> bool:
    """Return whether the incomplete batch at the end of each epoch is left out.

    A set that is smaller than one batch is one batch: without it an epoch would have no step.

    Args:
        recipe: counts epochs or iterations (a stream that is counted in iterations has no end).
        num_items: number of training items.
    """
    return recipe.by_epoch and recipe.drop_last and num_items >= recipe.batch_size


def require_complete_batch(recipe: TrainingRecipe, num_items: int) -> None:
    """Require a complete batch where the recipe takes no other.

    Args:
        recipe: gives the batch size, and whether its batches must be complete.
        num_items: number of training items.

    Raises:
        UserError: there are fewer items than that.
    """
    if recipe.needs_complete_batches and num_items < recipe.batch_size:
        raise UserError(
            f"there are {num_items} training items, fewer than one batch of {recipe.batch_size}; set "
            f"batch_size to {num_items} or less"
        )


def count_steps_per_epoch(recipe: TrainingRecipe, num_items: int) -> int:
    """Return the number of optimizer steps in one pass over the training items, with any number of processes.

    Args:
        recipe: gives the batch size, and whether the incomplete batch at the end is dropped.
        num_items: number of training items.
    """
    return count_epoch_steps(num_items, recipe.batch_size, recipe.drop_last)


def count_last_batch(recipe: TrainingRecipe, num_items: int) -> int:
    """Return the number of items in the incomplete batch at the end of each epoch; 0 without one.

    Args:
        recipe: counts epochs or iterations.
        num_items: number of training items.
    """
    return num_items % recipe.batch_size if recipe.by_epoch and not drops_last_batch(recipe, num_items) else 0


def count_repeated_items(recipe: TrainingRecipe, num_items: int, num_processes: int) -> int:
    """Return how many training items each epoch repeats so that each process has one of its last batch.

    They weigh more than others and change the number, so plans put them into the identity of a run. With at least one
    item per process nothing is repeated: an incomplete batch is shared out unevenly.

    Args:
        recipe: gives the batch size, and whether the incomplete batch at the end is dropped.
        num_items: number of training items.
        num_processes: number of processes.
    """
    last = count_last_batch(recipe, num_items)
    return num_processes - last if 0 < last < num_processes else 0


def list_schedule_fixes(recipe: TrainingRecipe, steps_per_epoch: int) -> list[str]:
    """Return the corrections of the schedule that change the rates of this run, compared with earlier versions.

    They are part of the identity, so that a number of an earlier version is not taken for this run's.

    Args:
        recipe: the recipe of the training.
        steps_per_epoch: optimizer steps per epoch (not used if the recipe counts iterations).
    """
    warmup = recipe.schedule.warmup * (steps_per_epoch if recipe.by_epoch else 1)
    # ``next_step`` is younger than the fix, and a warm-up that starts at the full rate had the right rates before, too
    has_changed = recipe.schedule.warmup_peak == "last_step" and _get_start_factor(recipe) < 1
    return [ONE_STEP_WARMUP] if warmup == 1 and has_changed else []


def _get_start_factor(recipe: TrainingRecipe) -> float:
    return max(recipe.schedule.warmup_start / recipe.optimizer.lr, MIN_START_FACTOR)
