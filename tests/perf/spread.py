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
from benchmarks.cli.output import columns, write
from tests.perf.line import Line
from tracking.data.mini_lasot import mini_lasot
from tracking.data.pair_dataset import PairIou, PairItems
from tracking.data.readers import lasot
from tracking.data.readers.sequence import Video
from tracking.inference.multiprocess import one_thread
from tracking.inference.sequential import track
from tracking.inference.test_set import track_set
from tracking.inference.tracker_factory import SavedTracker, build_model
from tracking.models.candidate_elimination import Ways
from tracking.profile import WARM_UP, synthetic_video
from tracking.protocols import tracker_recipe
from tracking.recipe import TrackingRecipe
from tracking.training_sets import training_sources

MODEL, STEPS, DROPPED = "deit_tiny", 12, 3


def suite() -> list[Line]:
    """All lines."""
    with tempfile.TemporaryDirectory() as folder:
        saved = _saved(Path(folder) / "weights.pth")
        return [*processes(saved, Path(folder)), *ahead(saved), waiting(Path(folder))]


def processes(saved: SavedTracker, folder: Path, copies: str = "abc") -> list[Line]:
    """The same 24 sequences three times over, 3,456 frames: seconds of the whole, and while all processes track.

    ``ours`` is two processes, the alternative one; twice as fast is a ratio of 0.50, 1.7 times is 0.59. A process needs
    seconds to start; LaSOT's test set takes hours, so the second line is the one that counts there.
    """
    once = [*lasot.test_videos(mini_lasot()), *lasot.train_videos(mini_lasot())]
    videos = [replace(video, name=f"{video.name}{copy}") for copy in copies for video in once]
    frames = sum(len(video.frames) for video in videos)
    whole, steady = {}, {}
    for number in (1, 2):
        out = folder / f"by_{number}"
        began = time.perf_counter()
        speed = track_set(saved, videos, out, f"{number} processes", Ways(processes=number))
        whole[number] = time.perf_counter() - began
        steady[number] = frames / (number * speed["end_to_end"]["frames_per_second"])
    return [
        Line(f"tracking {frames} frames, fast128, 2 processes / 1, start included", whole[2], whole[1], "s"),
        Line(f"tracking {frames} frames, fast128, 2 processes / 1, once started", steady[2], steady[1], "s"),
    ]


def ahead(saved: SavedTracker) -> list[Line]:
    """A frame of 640 x 360 end to end, its decoding in a thread or in line; network on one thread, one core is free."""
    tracker = saved()
    with synthetic_video() as video, one_thread():
        rounds = [[_frame_ms(tracker, video, way) for way in (True, False)] for _ in range(3)]
    ours, other = (float(value) for value in np.median(rounds, axis=0))
    return [Line("a tracked 360p frame, fast128, decoded ahead / in line", ours, other, "ms")]


def _frame_ms(tracker: Any, video: Video, way: bool) -> float:
    return float(np.mean(track(tracker, video, ahead=way).milliseconds[WARM_UP:, 0]))


class Wait(Hook):
    """Seconds in the loader and in all, from the end of one step to the end of the next, the first steps dropped."""

    def __init__(self) -> None:
        self.waited = self.whole = 0.0
        self.last = 0.0

    def after_train_iter(self, runner: Any, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        """The step is over."""
        now = time.perf_counter()
        if batch_idx >= DROPPED:
            self.whole += now - self.last
        self.last = now

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """The batch is there."""
        if batch_idx >= DROPPED:
            self.waited += time.perf_counter() - self.last


def waiting(folder: Path) -> Line:
    """The share of training time that waits for the loader's one process: fast128 as it is, batch 32."""
    from engine.training import Job, train

    changes = ("epochs=1", "schedule.warmup=0", f"pairs={32 * STEPS}", "trackers=[]")
    recipe = tracker_recipe("fast128", changes)
    items = PairItems(training_sources(recipe, folder), recipe.pairs)
    job = Job(
        label="perf",
        folder=folder / "training",
        model=_model(recipe),
        train=items,
        val=None,
        test=None,
        metric=PairIou,
        select="pairs/iou",
        unit="%",
        higher_is_better=True,
        recipe=recipe,
        seed=0,
        device="cpu",
        choose=False,
        hooks=(wait := Wait(),),
    )
    train(job)
    return Line("fast128 training: waiting for one loader process / all", wait.waited, wait.whole, "s")


def _model(recipe: TrackingRecipe) -> Any:
    card = get_card(MODEL)
    return build_model(create_backbone(card, checkpoint="random", num_classes=0).model, card, recipe)


def _saved(path: Path) -> SavedTracker:
    recipe = tracker_recipe("fast128")
    torch.save({"state_dict": _model(recipe).state_dict()}, path)
    return SavedTracker(MODEL, {"num_classes": 0}, recipe, path)


if __name__ == "__main__":
    write(columns([("what", "ours", "alternative", "ratio"), *(line.cells() for line in suite())]))
