"""Show every few minutes of a training what the tracker can do by now: a film strip in the run's folder."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.hooks import Hook

from engine.checkpoints import unwrap_model
from engine.device import get_dist_info
from engine.pictures.layout import draw_text_lines, stack_images
from engine.progress_bar import log_message
from foundation.files import write_atomic
from tracking.data.mini_lasot import ensure_mini_lasot
from tracking.data.pair import CropSizes
from tracking.data.readers.lasot import read_train_videos
from tracking.data.readers.sequence import Video
from tracking.inference.backend import TorchNetwork
from tracking.inference.sequential import track_sequence
from tracking.inference.tracker import Tracker
from tracking.scoring.metrics import compute_iou
from tracking.video.film_strip import draw_film_strip

PREVIEW_FILE = "preview.png"
PREVIEW_SEQUENCES = ("drift-1", "turn-1")
"""Of the training split of ``mini_lasot``: nothing of a test set is looked at before the training has ended."""
FIRST_PREVIEW_SECONDS = 60.0
"""A training that is over before has no preview: its pictures of the test sequences follow at once."""
PREVIEW_INTERVAL_SECONDS = 180.0
MAX_COST = 0.02
"""Largest share of the time that previews may take, which matters for large trackers on a CPU."""


class PreviewHook(Hook):
    """Tracks two embedded sequences with the weights of the moment and draws them; never changes the training.

    The first process draws. Tracking uses no random numbers, and evaluation mode moves no statistics, so a run with
    previews has the very weights of a run without. Whatever goes wrong costs the previews, not the run.

    Args:
        folder: the run's folder.
        crop_sizes: how the tracker cuts its crops.
    """

    priority = "LOW"  # before the hook that shows the progress

    def __init__(self, folder: Path, crop_sizes: CropSizes) -> None:
        self.folder, self.crop_sizes = folder, crop_sizes
        # the hook of another process than the first is never due
        self._next_time = time.monotonic() + FIRST_PREVIEW_SECONDS if get_dist_info()[0] == 0 else float("inf")
        self._has_drawn = False

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Draw if it is time to."""
        if time.monotonic() >= self._next_time:
            # mmengine increases its counter after this hook
            self._draw(runner, runner.iter + 1)

    def after_train(self, runner: Any) -> None:
        """Draw the final weights, if the training was long enough for previews."""
        if self._has_drawn:
            self._draw(runner, runner.iter)

    def _draw(self, runner: Any, step: int) -> None:
        began = time.monotonic()
        try:
            text = self.draw_preview(unwrap_model(runner.model), f"after {step:,} of {runner.max_iters:,} steps")
        except Exception as error:  # noqa: BLE001 - a picture is no reason to lose hours of training
            log_message(f"no more previews of this training: {error}")
            self._next_time, self._has_drawn = float("inf"), False
            return
        self._has_drawn = True
        now = time.monotonic()
        self._next_time = now + max(PREVIEW_INTERVAL_SECONDS, (now - began) / MAX_COST)
        log_message(f"preview {text}: {self.folder / PREVIEW_FILE}")

    def draw_preview(self, model: Any, moment: str) -> str:
        """Track the sequences and write the picture; return one line about it.

        Args:
            model: the tracker's network, which is in training mode afterwards if it was before.
            moment: when this is, in words.
        """
        was_training = model.training
        try:
            tracker = Tracker(TorchNetwork(model), self.crop_sizes)
            videos = [video for video in read_train_videos(ensure_mini_lasot()) if video.name in PREVIEW_SEQUENCES]
            boxes = [track_sequence(tracker, video).boxes for video in videos]
        finally:
            model.train(was_training)
        overlap = compute_mean_overlap(videos, boxes)
        text = f"{moment}: mean IoU {overlap:.2f} on {len(videos)} sequences made of training photographs"
        strips = [draw_film_strip(video, found) for video, found in zip(videos, boxes, strict=True)]
        picture = io.BytesIO()
        stack_images([draw_text_lines([text], strips[0].width), *strips], gap=8).save(picture, "PNG")
        write_atomic(self.folder / PREVIEW_FILE, picture.getvalue())
        return text


def compute_mean_overlap(videos: Sequence[Video], boxes: Sequence[Any]) -> float:
    """Return the mean IoU over all frames but the first, whose box is given, in which the target is there.

    Args:
        videos: the sequences.
        boxes: predicted boxes of each, shape (frames, 4).
    """
    overlaps = [
        compute_iou(found[1:], video.boxes[1:])[video.visible[1:]] for video, found in zip(videos, boxes, strict=True)
    ]
    return float(np.concatenate(overlaps).mean())
