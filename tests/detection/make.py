"""Recipes of the shipped protocols for tests."""

from __future__ import annotations

from detection.recipe import DetectionRecipe
from detection.tasks import CONFIG_DIR
from engine.config import load_protocol


def load_recipe(name: str, *changes: str, tier: str = "full") -> DetectionRecipe:
    """A shipped protocol's recipe with changes."""
    return load_protocol(CONFIG_DIR / f"{name}.py", DetectionRecipe, tier, ("loggers=[]", *changes)).recipe
