"""A detector that is small enough for 20 steps in double precision, and images with objects for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from backbones.create import create_backbone
from backbones.registry import get_card
from detection.data.samples import ImageTargets, TrainingImage
from detection.models.detector import Detector, build_detector
from detection.recipe import DetectionRecipe

TINY_MODEL: dict[str, Any] = {
    "channels": 8,
    "box_channels": 16,
    "box_convs": 1,
    "mask_convs": 1,
    "window": 3,
    "proposals": {"per_level": [40, 40], "per_image": [30, 20], "sampled_anchors": 16, "sampled_regions": 12},
}


def make_recipe(size: int = 64, **changes: Any) -> DetectionRecipe:
    """Return a recipe; by default of the tiny model."""
    settings: dict[str, Any] = {
        "iterations": 2,
        "batch_size": 4,
        "size": size,
        "optimizer": {"name": "AdamW", "lr": 1e-4, "weight_decay": 0.05},
        "schedule": {"name": "cosine"},
        "model": TINY_MODEL,
    }
    return DetectionRecipe.model_validate({**settings, **changes})


def make_detector(
    recipe: DetectionRecipe | None = None,
    name: str = "vit_pico",
    num_classes: int = 3,
    has_masks: bool = True,
    arguments: dict[str, Any] | None = None,
) -> Detector:
    """Return a detector with weights drawn from seed 0; its backbone has 3 blocks, 32 channels and patches of 8 px.

    Args:
        recipe, name, num_classes, has_masks: see ``build_detector``.
        arguments: with which the backbone is created, if other than usual.
    """
    torch.manual_seed(0)
    card = get_card(name)
    created = create_backbone(card, checkpoint="random", num_classes=0, **arguments) if arguments else None
    return build_detector(recipe or make_recipe(), card, num_classes, has_masks, created, checkpoint="random")


def make_image(item: int, num_objects: int, height: int = 60, width: int = 64) -> TrainingImage:
    """Return an image of noise with rectangular objects, whose masks are polygons (triangles)."""
    rng = np.random.default_rng(item)
    start = rng.uniform(0, 30, (num_objects, 2))
    boxes = np.concatenate([start, start + rng.uniform(12, 28, (num_objects, 2))], 1)
    masks: Any = [[np.array([[x0, y0], [x1, y0], [x1, y1]])] for x0, y0, x1, y1 in boxes]
    targets = ImageTargets(
        torch.tensor(boxes, dtype=torch.float32), torch.tensor(rng.integers(0, 3, num_objects)), masks
    )
    pixels = torch.tensor(rng.integers(0, 256, (3, height, width)), dtype=torch.uint8)
    return TrainingImage(item, pixels, targets)
