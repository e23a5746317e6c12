"""Where the time of a tracking run goes: pairs made, network forward and backward, frames tracked."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import torch

from backbones.create import create_backbone
from engine.data import photographs
from engine.optimizer import AutocastOptimWrapper
from tests.perf.line import Line
from tracking.data.crops import cut, window
from tracking.data.mini_lasot import mini_lasot
from tracking.data.pair import CropSizes, Jitter
from tracking.data.readers.lasot import train_videos
from tracking.data.synthetic_pairs import PhotoPairs
from tracking.data.video_pairs import Augmentation, VideoPairs
from tracking.inference.backend import TorchNetwork
from tracking.inference.tracker import Tracker
from tracking.models.candidate_elimination import Elimination
from tracking.models.tracker_model import TrackerModel

MEAN = STD = (0.5, 0.5, 0.5)
FAST, FULL = CropSizes(64, 128, 2.0, 4.0, "exact"), CropSizes(128, 256, 2.0, 4.0)


class Part(NamedTuple):
    """A step: its milliseconds, those of what it is compared with, and what both are."""

    what: str
    milliseconds: float
    other: float


def median_ms(call: Callable[[], object], runs: int = 7) -> float:
    """Median of some calls, after one to warm up."""
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[1:])


def parts(batch: int = 16) -> list[Part]:
    """Steps of training (per pair) and tracking (per frame), DeiT-Tiny's shape, each against what it is a part of."""
    video = train_videos(mini_lasot())[0]
    photos = PhotoPairs(photographs.load(photographs.TRAIN), FAST, Jitter(3.0, 0.25))
    videos = VideoPairs([video], FULL, Jitter(3.0, 0.25), 200, Augmentation())
    frame = video.read(0)
    made, filmed = (_per_item(maker.make) for maker in (photos, videos))
    decode = median_ms(lambda: video.read(0), 30)
    crop = median_ms(lambda: cut(frame, window(video.boxes[0], 4.0), 256), 30)
    forward, both = _training(FAST, batch)
    wide, narrow = (_training(FAST, batch, within)[1] for within in (_as_the_engine, _autocast))
    lines = [
        Part("a photograph pair of fast128 / its share of a training step", made, both),
        Part("a video pair at 256 px / a photograph pair at 128 px", filmed, made),
        Part("decoding a 320 x 240 frame / a video pair", decode, filmed),
        Part("cutting a 256-px crop / a video pair", crop, filmed),
        Part("forward / forward and backward, fast128, a pair", forward, both),
        Part("forward and backward in bf16 as the engine does it / in fp32", wide, both),
        Part("forward and backward in bf16 with torch's bf16 attention / in fp32", narrow, both),
    ]
    plain = _tracked(TrackerModel(_trunk(), 128, 256, MEAN, STD), FULL, frame)
    for name, model in (
        ("candidate elimination", TrackerModel(_trunk(), 128, 256, MEAN, STD, elimination=Elimination())),
        ("remembered template", TrackerModel(_trunk(), 128, 256, MEAN, STD, own_template=True)),
        ("64-channel head", TrackerModel(_trunk(), 128, 256, MEAN, STD, head_channels=64)),
    ):
        lines.append(Part(f"a tracked frame with {name} / without, 256 px", _tracked(model, FULL, frame), plain))
    return lines


def _trunk() -> torch.nn.Module:
    return create_backbone("deit_tiny", checkpoint="random", num_classes=0).model


def _per_item(make: Callable[[np.random.Generator], object], count: int = 60) -> float:
    began = time.perf_counter()
    for number in range(count):
        make(np.random.default_rng(number))
    return 1000 * (time.perf_counter() - began) / count


def _autocast(model: torch.nn.Module) -> AbstractContextManager[Any]:
    return torch.autocast("cpu", torch.bfloat16)


def _as_the_engine(model: torch.nn.Module) -> AbstractContextManager[Any]:
    """As in a run with ``precision=bf16``."""
    return AutocastOptimWrapper("cpu", optimizer=torch.optim.SGD(model.parameters())).optim_context(model)


def _training(
    sizes: CropSizes,
    batch: int,
    within: Callable[[torch.nn.Module], AbstractContextManager[Any]] = contextlib.nullcontext,
) -> tuple[float, float]:
    """Milliseconds a pair: forward, and forward with backward."""
    model = TrackerModel(_trunk(), sizes.template_size, sizes.search_size, MEAN, STD, supervise="centre").train()
    template, search = (torch.rand(batch, 3, side, side) * 255 for side in sizes[:2])
    box = torch.tensor([[0.375, 0.375, 0.25, 0.25]] * batch)

    def loss() -> torch.Tensor:
        with within(model):
            losses = model(template, search, box, mode="loss")
        return torch.stack([value for name, value in losses.items() if "loss" in name]).sum()

    def step() -> None:
        loss().backward()

    return median_ms(loss, 3) / batch, median_ms(step, 3) / batch


def _tracked(model: TrackerModel, sizes: CropSizes, frame: np.ndarray) -> float:
    tracker = Tracker(TorchNetwork(model), sizes)
    tracker.init(frame, (100, 80, 40, 40))
    return median_ms(lambda: tracker.update(frame))


def suite() -> list[Line]:
    """Each step of training and of tracking against what it is a part of, or done without."""
    return [Line(what, ours, other, "ms") for what, ours, other in parts()]
