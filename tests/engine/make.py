"""Recipes and tiny trainings made up for tests."""

from __future__ import annotations

from typing import Any

from engine.recipe import TrainingRecipe


def make_recipe(**changes: Any) -> TrainingRecipe:
    """A small AdamW + cosine recipe of 10 epochs, with changes at the top level."""
    content: dict[str, Any] = {
        "epochs": 10,
        "batch_size": 8,
        "optimizer": {"name": "AdamW", "lr": 1e-2, "weight_decay": 0.05},
        "schedule": {"name": "cosine", "warmup": 2, "end_lr": 1e-5},
    }
    return TrainingRecipe.model_validate(content | changes)
