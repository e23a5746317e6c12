"""Segmenting an image by batched windows against mmseg's ``slide_inference``: CPU seconds, memory of one process.

``python -m tests.perf.slide WAY HEIGHT WIDTH`` segments one image once, for its memory.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
from mmengine.config import ConfigDict
from torch import Tensor

from backbones.registry import get_card
from engine.config import load_protocol
from segmentation.models.mmseg_imports import EncoderDecoder
from segmentation.models.segmentor import Segmentor, build_segmentor
from segmentation.recipe import SegmentationRecipe
from segmentation.tasks import CONFIG_DIR
from tests.perf.line import SpeedRatio
from tests.perf.table import measure_process

SIZES = {"2 windows": (512, 683), "3 windows": (512, 1024), "4 windows": (683, 683)}
ROUNDS = 3
Way = Callable[[Segmentor, Tensor], Tensor]


def run_suite() -> list[SpeedRatio]:
    """UperNet on ADE20K (ViT-Tiny, 512/341), one thread: from the image to its labels, which must be equal."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model, lines = _build_model(), []
    for name, (height, width) in SIZES.items():
        image = _make_image(height, width)
        ours, theirs = (way(model, image) for way in WAYS.values())
        assert torch.equal(ours, theirs), "both must choose the same classes"
        rounds = [[_time_way(way, model, image) for way in WAYS.values()] for _ in range(ROUNDS)]
        lines.append(SpeedRatio(f"slide, {name}, batched windows / mmseg", *map(min, zip(*rounds, strict=True)), "s"))  # type: ignore[arg-type]
        memory = [measure_process("-m", "tests.perf.slide", way, str(height), str(width))[1] for way in WAYS]
        lines.append(SpeedRatio("its peak memory", memory[0], memory[1], "MiB"))
    torch.set_num_threads(threads)
    return lines


@torch.no_grad()
def segment_batched(model: Segmentor, image: Tensor) -> Tensor:
    """As ``bench`` does it."""
    return model.classify_image(image, (image.shape[1], image.shape[2])).labels


@torch.no_grad()
def segment_by_mmseg(model: Segmentor, image: Tensor) -> Tensor:
    """All logits of the image, and then the highest of each pixel."""
    meta = {"ori_shape": tuple(image.shape[1:]), "img_shape": tuple(image.shape[1:])}
    return EncoderDecoder.slide_inference(model, model.normalize(image)[None], [meta]).argmax(1)[0]  # type: ignore[no-any-return]


WAYS: dict[str, Way] = {"ours": segment_batched, "mmseg": segment_by_mmseg}


def _build_model() -> Segmentor:
    torch.manual_seed(0)
    recipe = load_protocol(CONFIG_DIR / "ade20k_upernet.py", SegmentationRecipe, "full").recipe
    model = build_segmentor(recipe, get_card("mae_tiny"), 150, "BN", checkpoint="random").eval()
    side, stride = recipe.crop, recipe.test.stride
    model.test_cfg = ConfigDict(mode="slide", crop_size=(side, side), stride=(stride, stride))
    return model


def _make_image(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _time_way(way: Way, model: Segmentor, image: Tensor) -> float:
    began = time.process_time()
    way(model, image)
    return time.process_time() - began


if __name__ == "__main__":
    torch.set_num_threads(1)
    WAYS[sys.argv[1]](_build_model(), _make_image(int(sys.argv[2]), int(sys.argv[3])))
