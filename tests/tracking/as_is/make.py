"""Finished runs of small trackers, never trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from backbones.card import replace_normalization
from backbones.create import create_backbone
from backbones.registry import get_card
from engine.config import load_protocol
from results.records.store import write_record
from tests.results.make import make_record
from tracking.inference.tracker_factory import GIVEN_NORMALIZATION, build_tracker_model
from tracking.ostrack_checkpoint import OSTRACK_MEAN, OSTRACK_STD
from tracking.protocols import CONFIGS
from tracking.recipe import TrackingRecipe

SMALL = ("template_size=32", "search_size=64", "head_channels=16", "geometry=ostrack")


def make_run(
    folder: Path, backbone: str = "vit_micro", task: str = "mini_lasot", imagenet: bool = True, **settings: Any
) -> Path:
    """A finished run's folder with a network of random weights, off the start where norms are 1 and biases 0.

    Our small backbones are normalized otherwise than OSTrack's; the run was given ImageNet's mean and std.
    """
    recipe = load_protocol(CONFIGS / "fast64.py", TrackingRecipe, "smoke", SMALL).recipe
    content = recipe.model_dump() | {"max_items": None, "max_frames": None} | settings
    recipe = TrackingRecipe.model_validate(content)
    arguments = {"num_classes": 0, "drop_path_rate": 0.0}
    card, start = get_card(backbone), None
    if imagenet and card.mean != OSTRACK_MEAN:
        card = replace_normalization(card, OSTRACK_MEAN, OSTRACK_STD)
        # mean and std belong to a file
        start = {"uri": "start.pth", "sha256": "1" * 64, "bytes": 1, "loading_fixes": [GIVEN_NORMALIZATION]}
    torch.manual_seed(0)
    model = build_tracker_model(create_backbone(card, checkpoint="random", **arguments).model, card, recipe)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    (folder / "checkpoints").mkdir(parents=True)
    torch.save({"state_dict": model.state_dict(), "step": 2}, folder / "checkpoints" / "last_00000002.pth")
    made = make_record(
        1.0,
        task=task,
        domain="tracking",
        protocol="fast64",
        backbone={
            "name": backbone,
            "card": card.as_dict(),
            "arguments": arguments,
            "init": "checkpoint" if start else "random",
            "checkpoint": start,
        },
        config={"recipe": recipe.identity_settings()},
        non_identity_settings=recipe.non_identity_settings(),
    )
    write_record(folder, made)
    return folder
