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
from engine.optimizer import Bf16OptimWrapper
from tests.perf.line import SpeedRatio
from tracking.data.crops import crop_window, make_crop_window
from tracking.data.mini_lasot import ensure_mini_lasot
from tracking.data.pair import CropSizes, SearchJitter
from tracking.data.readers.lasot import read_train_videos
from tracking.data.synthetic_pairs import PhotoPairSampler
from tracking.data.video_pairs import PairAugmentation, VideoPairSampler
from tracking.inference.backend import TorchNetwork
from tracking.inference.tracker import Tracker
from tracking.models.candidate_elimination import CandidateElimination
from tracking.models.tracker_model import TrackerModel

MEAN = STD = (0.5, 0.5, 0.5)
FAST_CROPS, FULL_CROPS = CropSizes(64, 128, 2.0, 4.0, "exact"), CropSizes(128, 256, 2.0, 4.0)


class StepTime(NamedTuple):
    """A step: its milliseconds, those of what it is compared with, and what both are."""

    name: str
    milliseconds: float
    reference: float


def time_median(call: Callable[[], object], runs: int = 7) -> float:
    """Median of some calls, after one to warm up."""
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[1:])


def time_parts(batch: int = 16) -> list[StepTime]:
    """Steps of training (per pair) and tracking (per frame), DeiT-Tiny's shape, each against what it is a part of."""
    video = read_train_videos(ensure_mini_lasot())[0]
    photos = PhotoPairSampler(photographs.load_photos(photographs.TRAIN_PHOTOS), FAST_CROPS, SearchJitter(3.0, 0.25))
    videos = VideoPairSampler([video], FULL_CROPS, SearchJitter(3.0, 0.25), 200, PairAugmentation())
    frame = video.read_frame(0)
    made, filmed = (_time_item(maker.sample_pair) for maker in (photos, videos))
    decode = time_median(lambda: video.read_frame(0), 30)
    crop = time_median(lambda: crop_window(frame, make_crop_window(video.boxes[0], 4.0), 256), 30)
    forward, both = _time_training(FAST_CROPS, batch)
    wide, narrow = (_time_training(FAST_CROPS, batch, within)[1] for within in (_engine_autocast, _autocast))
    lines = [
        StepTime("a photograph pair of fast128 / its share of a training step", made, both),
        StepTime("a video pair at 256 px / a photograph pair at 128 px", filmed, made),
        StepTime("decoding a 320 x 240 frame / a video pair", decode, filmed),
        StepTime("cutting a 256-px crop / a video pair", crop, filmed),
        StepTime("forward / forward and backward, fast128, a pair", forward, both),
        StepTime("forward and backward in bf16 as the engine does it / in fp32", wide, both),
        StepTime("forward and backward in bf16 with torch's bf16 attention / in fp32", narrow, both),
    ]
    plain = _time_update(TrackerModel(_create_backbone(), 128, 256, MEAN, STD), FULL_CROPS, frame)
    for name, model in (
        (
            "candidate elimination",
            TrackerModel(_create_backbone(), 128, 256, MEAN, STD, candidate_elimination=CandidateElimination()),
        ),
        ("remembered template", TrackerModel(_create_backbone(), 128, 256, MEAN, STD, asymmetric_attention=True)),
        ("64-channel head", TrackerModel(_create_backbone(), 128, 256, MEAN, STD, head_channels=64)),
    ):
        lines.append(
            StepTime(f"a tracked frame with {name} / without, 256 px", _time_update(model, FULL_CROPS, frame), plain)
        )
    return lines


def _create_backbone() -> torch.nn.Module:
    return create_backbone("deit_tiny", checkpoint="random", num_classes=0).model


def _time_item(make: Callable[[np.random.Generator], object], count: int = 60) -> float:
    began = time.perf_counter()
    for number in range(count):
        make(np.random.default_rng(number))
    return 1000 * (time.perf_counter() - began) / count


def _autocast(model: torch.nn.Module) -> AbstractContextManager[Any]:
    return torch.autocast("cpu", torch.bfloat16)


def _engine_autocast(model: torch.nn.Module) -> AbstractContextManager[Any]:
    """As in a run with ``precision=bf16``."""
    return Bf16OptimWrapper("cpu", optimizer=torch.optim.SGD(model.parameters())).optim_context(model)


def _time_training(
    sizes: CropSizes,
    batch: int,
    context: Callable[[torch.nn.Module], AbstractContextManager[Any]] = contextlib.nullcontext,
) -> tuple[float, float]:
    """Milliseconds a pair: forward, and forward with backward."""
    model = TrackerModel(
        _create_backbone(), sizes.template_size, sizes.search_size, MEAN, STD, box_loss_cell="center"
    ).train()
    template, search = (torch.rand(batch, 3, side, side) * 255 for side in sizes[:2])
    box = torch.tensor([[0.375, 0.375, 0.25, 0.25]] * batch)

    def loss() -> torch.Tensor:
        with context(model):
            losses = model(template, search, box, mode="loss")
        return torch.stack([value for name, value in losses.items() if "loss" in name]).sum()

    def step() -> None:
        loss().backward()

    return time_median(loss, 3) / batch, time_median(step, 3) / batch


def _time_update(model: TrackerModel, sizes: CropSizes, frame: np.ndarray) -> float:
    tracker = Tracker(TorchNetwork(model), sizes)
    tracker.init(frame, (100, 80, 40, 40))
    return time_median(lambda: tracker.update(frame))


def run_suite() -> list[SpeedRatio]:
    """Each step of training and of tracking against what it is a part of, or done without."""
    return [SpeedRatio(what, ours, other, "ms") for what, ours, other in time_parts()]
