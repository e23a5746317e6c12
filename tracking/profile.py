"""How fast tracking is: the summary of a run's own times, and a tracker's cost on this machine."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from backbones.create import create_backbone
from backbones.flop_counter import count
from backbones.profile import Repeats, Timings, describe_machine, time_passes
from backbones.registry import get_card
from backbones.weights import RANDOM
from engine.data import photographs
from tracking.data.boxes import Floats
from tracking.data.crops import cut, window
from tracking.data.pair import CropSizes
from tracking.data.readers.sequence import Numbered, Video
from tracking.inference.result_files import beside
from tracking.inference.sequential import track
from tracking.inference.tracker import Tracker
from tracking.inference.tracker_factory import build_model
from tracking.models.one_stream_vit import Remembered
from tracking.models.tracker_model import TrackerModel
from tracking.recipe import TrackingRecipe

WARM_UP = 5
"""Frames at the beginning of each sequence that no summary counts; the first has no search region at all."""

WIDTH, HEIGHT, FRAMES = 640, 360, 90


def speed_of(folder: Path, videos: Sequence[Video], made_by: Mapping[str, Any]) -> dict[str, Any]:
    """The times of tracked sequences, summarised over frames; every single one is in ``<sequence>_times.txt``.

    Returns:
        Runtime, precision, device, batch, threads and processes; ``end_to_end`` (decoding, as far as it was waited
        for, crop, network, box) and ``network`` (its maps in hand) with median and p90 in ms, and frames a second of
        one process by the mean.
    """
    times, processes = [np.empty((0, 2))], set()
    for video in videos:
        path = beside(folder, video, "times")
        times.append(np.loadtxt(path, delimiter=",", ndmin=2)[WARM_UP:])
        with path.open() as file:
            processes |= {int(number) for number in re.findall(r"processes at a time: (\d+)", file.readline())}
    values = np.concatenate(times)
    keys = ("runtime", "precision", "device", "batch")
    machine = describe_machine(made_by["device"])
    return {
        **{key: made_by[key] for key in keys},
        "chip": machine["chip"],
        "threads": 1 if made_by["device"] == "cpu" else torch.get_num_threads(),
        "processes": sorted(processes),
        "synchronised": True,
        "warm_up": f"the first {WARM_UP} frames of each sequence are not counted",
        "end_to_end": _summary(values[:, 0]),
        "network": _summary(values[:, 1]),
        "raw": f"{folder.name}/<sequence>_times.txt",
    }


def _summary(milliseconds: Floats) -> dict[str, Any] | None:
    """Median, p90 and rate; ``None`` where nothing was measured."""
    if not len(milliseconds):
        return None
    return {
        "frames": len(milliseconds),
        "median_ms": round(float(np.median(milliseconds)), 3),
        "p90_ms": round(float(np.percentile(milliseconds, 90)), 3),
        "frames_per_second": round(1000 / float(milliseconds.mean()), 2),
    }


def profile_tracker(
    name: str,
    recipe: TrackingRecipe,
    device: str = "cpu",
    repeats: Repeats | None = None,
) -> dict[str, Any]:
    """What a whole tracker costs on this machine: backbone and head, randomly initialised.

    Args:
        name: backbone, registry name or ``timm/<name>``.
        recipe: crops, network and runtime (other runtimes than torch compute on the CPU, with torch's threads).
        device: ``cpu`` or ``cuda``.
        repeats: how often the network is timed.

    Returns:
        ``counts`` (of a frame; ``template`` where it is computed once), ``network`` (one search region, maps in hand)
        and ``end_to_end`` (a video of 640 x 360, JPEG decoded by a thread ahead), batch 1, milliseconds with the raw
        ones, and ``where``.

    Raises:
        UserError: unknown name, a backbone that cannot be a one-stream tracker, or a runtime that is not here.
    """
    from tracking.deployment.export import behind  # it reads finished runs, and so imports this module

    repeats = repeats or Repeats()
    card = get_card(name)
    torch.manual_seed(0)
    model = build_model(create_backbone(card, checkpoint=RANDOM, num_classes=0).model, card, recipe).eval()
    counts = counts_of(model, recipe.crop_sizes())
    network = behind(
        model.to(device), recipe.crop_sizes(), recipe.runtime, recipe.runtime_precision, torch.get_num_threads()
    )
    with synthetic_video() as video:
        tracker = Tracker(network, recipe.crop_sizes(), name)
        frame = video.read(0)
        tracker.init(frame, video.boxes[0])
        crop = cut(frame, window(video.boxes[0], recipe.search_factor), recipe.search_size, recipe.geometry)
        alone = time_passes(lambda: network.look([tracker.memory], [crop]), device, repeats)
        whole = Timings.of(track(tracker, video).milliseconds[WARM_UP:, 0].tolist())
    return {
        "name": name,
        "crops": recipe.crop_sizes()._asdict(),
        "counts": counts,
        "network": _timed(alone),
        "end_to_end": {**_timed(whole), "video": f"{WIDTH} x {HEIGHT}, {FRAMES} frames, JPEG"},
        "where": {
            **describe_machine(device),
            "runtime": network.runtime,
            "precision": network.precision,
            "batch": 1,
            "processes": 1,
            "synchronised": True,
            "warm_up": {"network": repeats.warmup, "end_to_end": WARM_UP},
        },
    }


def _timed(timings: Timings) -> dict[str, Any]:
    return {"unit": "ms", "frames_per_second": 1000 / timings.mean, **asdict(timings)}


def counts_of(model: TrackerModel, sizes: CropSizes) -> dict[str, Any]:
    """Parameters of the whole tracker, and what a frame costs (``backbones.flop_counter``).

    Where the template attends to itself only it is computed once; ``template`` then says what for.
    """
    template = torch.zeros(1, 3, sizes.template_size, sizes.template_size)
    search = torch.zeros(1, 3, sizes.search_size, sizes.search_size)
    if not model.backbone.own:
        return count(model, [template, search]).as_dict()
    with torch.no_grad():
        memory = model.remember(template)
    flat = [tensor for block in memory for tensor in block]
    frame, once = count(_Recall(model), [search, *flat]), count(_Remember(model), [template])
    return {**frame.as_dict(), "template": {key: asdict(once)[key] for key in ("macs", "macs_without_attention")}}


class _Remember(nn.Module):
    """A tracker's work on a template."""

    def __init__(self, model: TrackerModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, template: Tensor) -> Any:
        return self.model.remember(template)


class _Recall(_Remember):
    """A tracker's work on a search region, the template remembered."""

    def forward(self, search: Tensor, *memory: Tensor) -> Any:
        size = len(Remembered._fields)
        blocks = [Remembered(*memory[start : start + size]) for start in range(0, len(memory), size)]
        return self.model.recall(blocks, search)


@contextmanager
def synthetic_video() -> Iterator[Video]:
    """A video of 640 x 360 for timing: JPEG files of a photograph that moves. It is gone after the block."""
    photo = cv2.resize(photographs.load(photographs.TEST)[1], (WIDTH + 2 * FRAMES, HEIGHT + FRAMES))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(FRAMES):
            frame = photo[number // 2 : number // 2 + HEIGHT, number : number + WIDTH, ::-1]
            cv2.imwrite(f"{folder}/{number + 1:08d}.jpg", frame)
        boxes = np.tile([WIDTH / 2 - 40.0, HEIGHT / 2 - 30.0, 80.0, 60.0], (FRAMES, 1))
        frames = Numbered(Path(folder), "{:08d}.jpg", FRAMES)
        yield Video("synthetic", frames, boxes, np.ones(FRAMES, np.bool_))
