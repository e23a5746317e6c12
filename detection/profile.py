"""Measure what a complete detector costs on this machine, and its backbone apart: operations and durations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from PIL import Image

from backbones.cost.profile import TimingConfig, TimingSummary, describe_machine, time_passes
from backbones.registry import get_card
from backbones.weights import RANDOM_INIT
from detection.data.dataset import make_inference_image
from detection.models.detector import build_detector
from detection.recipe import DetectionRecipe
from detection.run import count_detector_cost
from detection.tasks import CONFIG_DIR
from engine.config import load_protocol
from engine.data import photographs
from foundation.errors import UserError

NUM_CLASSES = 80
"""Those of COCO, with masks."""

PROTOCOLS = ("vitdet", "vitdet_short", "frozen")


def load_profiled_recipe(protocol: str, overrides: Sequence[str] = ()) -> DetectionRecipe:
    """Return the recipe of a protocol of ``coco`` that is profiled.

    Args:
        protocol: ``vitdet``, ``vitdet_short`` or ``frozen``.
        overrides: changes of it, as ``key=value``.

    Raises:
        UserError: there is no such protocol.
        ConfigError: invalid settings.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"detection has no protocol {protocol!r}; choose {', '.join(PROTOCOLS)}")
    return load_protocol(CONFIG_DIR / f"coco_{protocol}.py", DetectionRecipe, "full", ("loggers=[]", *overrides)).recipe


def profile_detector(
    backbone_name: str, recipe: DetectionRecipe, device: str = "cpu", repeats: TimingConfig | None = None
) -> dict[str, Any]:
    """Measure what a complete detector costs, with random weights and the 80 classes of COCO.

    Args:
        backbone_name: registry name or ``timm/<name>`` of the backbone.
        recipe: size, network and inference.
        device: ``cpu`` or ``cuda``.
        repeats: how often it is timed.

    Returns:
        ``counts`` of the ``backbone`` and the ``whole_model`` for one image; ``backbone`` (its maps), ``network`` (all
        parts, with as many regions as inference may have) and ``end_to_end`` (a photograph, from pixels to detections
        and masks, with the regions that random weights find), in milliseconds with all single times; and ``where``.

    Raises:
        UserError: an unknown name, or no pyramid can be built on the backbone.
    """
    repeats = repeats or TimingConfig()
    card = get_card(backbone_name)
    # the values of the weights change which boxes are kept, so they are always the same
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_detector(recipe, card, NUM_CLASSES, True, checkpoint=RANDOM_INIT).eval()
    # counted on the CPU, before the model moves to its device
    counts = count_detector_cost(model, recipe.size)
    model = model.to(device)
    images = torch.zeros(1, 3, recipe.size, recipe.size, device=device)
    photo = Image.fromarray(photographs.load_photos(photographs.TEST_PHOTOS)[0])
    sample = make_inference_image(0, photo, recipe.size)
    with torch.inference_mode():
        timed = {
            "backbone": time_passes(lambda: model.backbone(images), device, repeats),
            "network": time_passes(lambda: model(images), device, repeats),
            "end_to_end": time_passes(lambda: model.detect_objects([sample]), device, repeats),
        }
    return {
        "name": backbone_name,
        "img_size": recipe.size,
        "counts": counts._asdict(),
        **{name: _describe_timing(each) for name, each in timed.items()},
        "where": {
            **describe_machine(device),
            "runtime": "torch",
            "precision": "fp32",
            "batch": 1,
            "warm_up": repeats.warmup,
            "image": f"{photo.width} x {photo.height}",
        },
    }


def _describe_timing(timing: TimingSummary) -> dict[str, Any]:
    """Return a timing as plain data, with the rate from its mean."""
    return {"unit": "ms", "images_per_second": 1000 / timing.mean, **asdict(timing)}
