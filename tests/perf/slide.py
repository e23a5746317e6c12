"""Segmenting an image by batched windows against mmseg's ``slide_inference``."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from tests.perf.line import SpeedRatio


def run_suite() -> list[SpeedRatio]:
    """Windows of an image batched, against mmseg's slide_inference, on one model and image (logits and argmax)."""
    import torch
    from mmengine.config import ConfigDict

    from backbones.registry import get_card
    from engine.config import load_protocol
    from segmentation.models.mmseg_imports import EncoderDecoder
    from segmentation.models.segmentor import build_segmentor
    from segmentation.recipe import SegmentationRecipe
    from segmentation.tasks import CONFIG_DIR

    lines = []
    for task, card, size in (("mini_ade", "vit_nano", (96, 128)), ("camvid", "vit_tiny", (360, 480))):
        recipe = load_protocol(CONFIG_DIR / f"{task}_semantic_fpn.py", SegmentationRecipe, "full").recipe
        model = build_segmentor(recipe, get_card(card), 150, "BN").eval()
        crop, stride = recipe.crop, recipe.test.stride
        model.test_cfg = ConfigDict(mode="slide", crop_size=(crop, crop), stride=(stride, stride))
        image = torch.randn(1, 3, *size)

        def ours(model: Any = model, image: Any = image) -> Any:
            return model.logits(image).argmax(1)

        def theirs(model: Any = model, image: Any = image) -> Any:
            return EncoderDecoder.slide_inference(model, image, [{}]).argmax(1)

        with torch.inference_mode():
            ours(), theirs()
            pairs = [(_time_call(ours), _time_call(theirs)) for _ in range(5)]
        times = [statistics.median(column) for column in zip(*pairs, strict=True)]
        lines.append(SpeedRatio(f"slide {task} {card}, batched windows / mmseg", times[0], times[1], "s"))
    return lines


def _time_call(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
