"""The learning rate at every step against the closed form, through mmengine's own scheduler classes."""

from __future__ import annotations

from math import cos, pi
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS

from engine.lr_schedule import build_lr_schedulers, list_schedule_fixes
from engine.recipe import TrainingRecipe
from tests.engine.make import make_recipe

STEPS = 7  # an epoch


def trajectory(chosen: TrainingRecipe, scales: tuple[float, ...] = (1.0,)) -> list[list[float]]:
    """Learning rate of each group at each step."""
    lr = chosen.optimizer.lr
    groups: list[dict[str, Any]] = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr * s} for s in scales]
    wrapper = OptimWrapper(torch.optim.SGD(groups, lr=lr))
    schedulers = [
        PARAM_SCHEDULERS.build({**setting, "optimizer": wrapper}) for setting in build_lr_schedulers(chosen, STEPS)
    ]
    rates = []
    for _ in range(chosen.length * (STEPS if chosen.by_epoch else 1)):
        rates.append([group["lr"] for group in wrapper.param_groups])
        wrapper.optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return rates


def test_cosine_with_warmup_in_epochs() -> None:
    rates = trajectory(make_recipe())
    warmup, total = 2 * STEPS, 10 * STEPS
    for step, (rate,) in enumerate(rates):
        if step < warmup:
            expected = 1e-2 * step / (warmup - 1)  # mmengine reaches the full rate at the last warm-up step
        else:
            t = (step - warmup) / (total - warmup)
            expected = 1e-5 + (1e-2 - 1e-5) * (1 + cos(pi * t)) / 2
        assert rate == pytest.approx(expected, rel=1e-6, abs=1e-9), step
    assert rates[0][0] == pytest.approx(0, abs=1e-9)
    assert max(rate for (rate,) in rates) == pytest.approx(1e-2)


@pytest.mark.parametrize("warmup", [1, 2])
def test_the_peak_after_the_warmup(warmup: int) -> None:
    """Step t of n has start + (rate - start) t / n, and the cosine starts at its own first step (MAE's formula)."""
    setting = {"name": "cosine", "warmup": warmup, "warmup_start": 1e-6, "end_lr": 1e-5, "warmup_peak": "next_step"}
    chosen = make_recipe(epochs=None, iterations=10, schedule=setting)
    for step, (low, high, *_) in enumerate(trajectory(chosen, scales=(0.5, 1.0))):
        if step < warmup:
            expected = 1e-6 + (1e-2 - 1e-6) * step / warmup
        else:
            expected = 1e-5 + (1e-2 - 1e-5) * (1 + cos(pi * (step - warmup) / (10 - warmup))) / 2
        assert high == pytest.approx(expected, rel=1e-6), step
        assert low == pytest.approx(0.5 * expected, rel=1e-6), step
    assert list_schedule_fixes(chosen, 1) == [], "no earlier version had this warm-up"


def test_layer_decay_ratio_holds_to_the_end_of_a_cosine() -> None:
    for low, high, *_ in trajectory(make_recipe(), scales=(0.1, 1.0)):  # mmengine appends a group with the base rate
        assert low == pytest.approx(0.1 * high, rel=1e-6, abs=1e-12)


def test_poly_in_iterations_as_mmseg() -> None:
    chosen = make_recipe(
        epochs=None,
        iterations=100,
        schedule={"name": "poly", "warmup": 10, "warmup_start": 1e-8, "power": 1.0},
    )
    rates = trajectory(chosen)
    assert rates[0][0] == pytest.approx(1e-8, rel=1e-3)
    for step in range(10, 100):
        # mmengine ends on the last step (89 intervals), so the rate there is 0
        assert rates[step][0] == pytest.approx(1e-2 * (1 - (step - 10) / 89), rel=1e-6, abs=1e-12)


def test_steps() -> None:
    chosen = make_recipe(schedule={"name": "step", "milestones": [4, 8], "gamma": 0.1})
    rates = [rate for (rate,) in trajectory(chosen)]
    assert rates[0] == rates[4 * STEPS - 1] == 1e-2
    assert rates[4 * STEPS] == rates[8 * STEPS - 1] == pytest.approx(1e-3)
    assert rates[8 * STEPS] == pytest.approx(1e-4)
