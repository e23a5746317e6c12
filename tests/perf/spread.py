"""Tracking a test set by two processes against one, decoding ahead against in line, and what training waits for.

The first two need both cores idle. Run alone: ``python -m tests.perf.spread``.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook

from backbones.create import create_backbone
from backbones.registry import get_card
from benchmarks.cli.output import align_columns, write_stdout
from tests.perf.line import SpeedRatio
from tracking.data.mini_lasot import ensure_mini_lasot
from tracking.data.pair_dataset import PairDataset, PairIouMetric
from tracking.data.readers import lasot
from tracking.data.readers.sequence import Video
from tracking.inference.multiprocess import use_one_thread
from tracking.inference.options import TrackingOptions
from tracking.inference.sequential import track_sequence
from tracking.inference.test_set import track_test_set
from tracking.inference.timing import WARMUP_FRAMES
from tracking.inference.tracker_factory import TorchTrackerFactory, build_tracker_model
from tracking.profile import make_synthetic_video
from tracking.protocols import load_protocol_recipe
from tracking.recipe import TrackingRecipe
from tracking.training_sets import make_pair_samplers

MODEL, STEPS, WARM_UP_STEPS = "deit_tiny", 12, 3


def run_suite() -> list[SpeedRatio]:
    """All lines."""
    with tempfile.TemporaryDirectory() as folder:
        saved = _save_tracker(Path(folder) / "weights.pth")
        return [*time_processes(saved, Path(folder)), *time_prefetch(saved), time_loader_wait(Path(folder))]


def time_processes(saved: TorchTrackerFactory, folder: Path, copies: str = "abc") -> list[SpeedRatio]:
    """The same 24 sequences three times over, 3,456 frames: seconds of the whole, and while all processes track.

    ``ours`` is two processes, the alternative one; twice as fast is a ratio of 0.50, 1.7 times is 0.59. A process needs
    seconds to start; LaSOT's test set takes hours, so the second line is the one that counts there.
    """
    once = [*lasot.read_test_videos(ensure_mini_lasot()), *lasot.read_train_videos(ensure_mini_lasot())]
    videos = [replace(video, name=f"{video.name}{copy}") for copy in copies for video in once]
    frames = sum(len(video.frames) for video in videos)
    whole, steady = {}, {}
    for number in (1, 2):
        out = folder / f"by_{number}"
        began = time.perf_counter()
        speed = track_test_set(saved, videos, out, f"{number} processes", TrackingOptions(num_processes=number))
        whole[number] = time.perf_counter() - began
        steady[number] = frames / (number * speed["end_to_end"]["frames_per_second"])
    return [
        SpeedRatio(f"tracking {frames} frames, fast128, 2 processes / 1, start included", whole[2], whole[1], "s"),
        SpeedRatio(f"tracking {frames} frames, fast128, 2 processes / 1, once started", steady[2], steady[1], "s"),
    ]


def time_prefetch(saved: TorchTrackerFactory) -> list[SpeedRatio]:
    """A frame of 640 x 360 end to end, its decoding in a thread or in line; network on one thread, one core is free."""
    tracker = saved()
    with make_synthetic_video() as video, use_one_thread():
        rounds = [[_time_frame(tracker, video, way) for way in (True, False)] for _ in range(3)]
    ours, other = (float(value) for value in np.median(rounds, axis=0))
    return [SpeedRatio("a tracked 360p frame, fast128, decoded ahead / in line", ours, other, "ms")]


def _time_frame(tracker: Any, video: Video, prefetch: bool) -> float:
    return float(np.mean(track_sequence(tracker, video, prefetch=prefetch).times_ms[WARMUP_FRAMES:, 0]))


class LoaderWaitHook(Hook):
    """Seconds in the loader and in all, from the end of one step to the end of the next, the first steps dropped."""

    def __init__(self) -> None:
        self.waited = self.whole = 0.0
        self.last = 0.0

    def after_train_iter(self, runner: Any, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        """The step is over."""
        now = time.perf_counter()
        if batch_idx >= WARM_UP_STEPS:
            self.whole += now - self.last
        self.last = now

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """The batch is there."""
        if batch_idx >= WARM_UP_STEPS:
            self.waited += time.perf_counter() - self.last


def time_loader_wait(folder: Path) -> SpeedRatio:
    """The share of training time that waits for the loader's one process: fast128 as it is, batch 32."""
    from engine.training import TrainingJob, train_model

    changes = ("epochs=1", "schedule.warmup=0", f"pairs={32 * STEPS}", "loggers=[]")
    recipe = load_protocol_recipe("fast128", changes)
    items = PairDataset(make_pair_samplers(recipe, folder), recipe.pairs)
    job = TrainingJob(
        label="perf",
        folder=folder / "training",
        model=_build_model(recipe),
        train_dataset=items,
        val_dataset=None,
        test_dataset=None,
        build_metric=PairIouMetric,
        selection_metric="pairs/iou",
        metric_unit="%",
        higher_is_better=True,
        recipe=recipe,
        seed=0,
        device="cpu",
        select_best=False,
        hooks=(wait := LoaderWaitHook(),),
    )
    train_model(job)
    return SpeedRatio("fast128 training: waiting for one loader process / all", wait.waited, wait.whole, "s")


def _build_model(recipe: TrackingRecipe) -> Any:
    card = get_card(MODEL)
    return build_tracker_model(create_backbone(card, checkpoint="random", num_classes=0).model, card, recipe)


def _save_tracker(path: Path) -> TorchTrackerFactory:
    recipe = load_protocol_recipe("fast128")
    torch.save({"state_dict": _build_model(recipe).state_dict()}, path)
    return TorchTrackerFactory(MODEL, {"num_classes": 0}, recipe, path)


if __name__ == "__main__":
    write_stdout(align_columns([("what", "ours", "alternative", "ratio"), *(line.to_cells() for line in run_suite())]))
