"""Measure what a complete tracker costs on this machine: operations, time of the network, and frames per second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from backbones.cost.flop_counter import compute_complexity
from backbones.cost.profile import TimingConfig, TimingSummary, describe_machine, time_passes
from backbones.create import create_backbone
from backbones.registry import get_card
from backbones.weights import RANDOM_INIT
from engine.data import photographs
from engine.pictures.image_files import write_image
from foundation.storage.leftovers import open_scratch_folder
from tracking.data.crops import crop_window, make_crop_window
from tracking.data.pair import CropSizes
from tracking.data.readers.sequence import NumberedFiles, Video
from tracking.deployment.export import build_runtime_network
from tracking.fit_crops import fit_crop_sizes
from tracking.inference.sequential import track_sequence
from tracking.inference.timing import WARMUP_FRAMES
from tracking.inference.tracker import Tracker
from tracking.inference.tracker_factory import build_tracker_model
from tracking.models.one_stream_vit import TemplateKV
from tracking.models.tracker_model import TrackerModel
from tracking.recipe import TrackingRecipe

BENCHMARK_WIDTH, BENCHMARK_HEIGHT, BENCHMARK_FRAMES = 640, 360, 90


def profile_tracker(
    backbone_name: str,
    recipe: TrackingRecipe,
    device: str = "cpu",
    repeats: TimingConfig | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Measure what a complete tracker costs: backbone and head with random weights.

    Args:
        backbone_name: registry name or ``timm/<name>`` of the backbone.
        recipe: crops, network and runtime. Runtimes other than torch compute on the CPU, with as many threads as torch.
        device: ``cpu`` or ``cuda``.
        repeats: how often the network is timed.
        overrides: what the user set in the recipe, as ``key=value``; other crop sizes follow the backbone's patches.

    Returns:
        ``counts`` for a frame (and ``template``, if it is encoded once), ``network`` (one search region until its maps
        are available) and ``end_to_end`` (a video of 640 x 360 with JPEG decoding in a thread), both in milliseconds
        with batch 1 and with all single times, and ``where``.

    Raises:
        UserError: an unknown name, a backbone that does not fit into a one-stream tracker, or a missing runtime.
    """
    repeats = repeats or TimingConfig()
    model, recipe = _build_random_tracker(backbone_name, recipe, overrides)
    # counted on the CPU, before the model moves to its device
    counts = count_tracker_cost(model, recipe.crop_sizes())
    network = build_runtime_network(
        model.to(device), recipe.crop_sizes(), recipe.runtime, recipe.runtime_precision, torch.get_num_threads()
    )
    with make_synthetic_video() as video:
        tracker = Tracker(network, recipe.crop_sizes(), backbone_name)
        frame = video.read_frame(0)
        tracker.init(frame, video.boxes[0])
        crop = crop_window(
            frame, make_crop_window(video.boxes[0], recipe.search_factor), recipe.search_size, recipe.geometry
        )
        alone = time_passes(lambda: network.predict_maps([tracker.encoded_template], [crop]), device, repeats)
        whole = TimingSummary.from_samples(track_sequence(tracker, video).times_ms[WARMUP_FRAMES:, 0].tolist())
    return {
        "name": backbone_name,
        "crops": recipe.crop_sizes()._asdict(),
        "counts": counts,
        "network": _describe_timings(alone),
        "end_to_end": {
            **_describe_timings(whole),
            "video": f"{BENCHMARK_WIDTH} x {BENCHMARK_HEIGHT}, {BENCHMARK_FRAMES} frames, JPEG",
        },
        "where": {
            **describe_machine(device),
            "runtime": network.runtime,
            "precision": network.precision,
            "batch": 1,
            "processes": 1,
            "synchronised": True,
            "warm_up": {"network": repeats.warmup, "end_to_end": WARMUP_FRAMES},
        },
    }


def _build_random_tracker(
    backbone_name: str, recipe: TrackingRecipe, overrides: Sequence[str]
) -> tuple[TrackerModel, TrackingRecipe]:
    """Build a tracker with random weights, on whose values the cost does not depend, and fit the recipe's crops."""
    card = get_card(backbone_name)
    torch.manual_seed(0)
    backbone = create_backbone(card, checkpoint=RANDOM_INIT, num_classes=0).model
    recipe = fit_crop_sizes(recipe, backbone, overrides).recipe
    return build_tracker_model(backbone, card, recipe).eval(), recipe


def _describe_timings(timings: TimingSummary) -> dict[str, Any]:
    """Return timings as plain data, with the rate from their mean."""
    return {"unit": "ms", "frames_per_second": 1000 / timings.mean, **asdict(timings)}


def count_tracker_cost(model: TrackerModel, sizes: CropSizes) -> dict[str, Any]:
    """Count the parameters of the complete tracker, and the operations per frame (``backbones.cost.flop_counter``).

    With asymmetric attention the template is encoded only once; ``template`` then has the operations for that.

    Args:
        model: the network.
        sizes: sizes of its crops.
    """
    template = torch.zeros(1, 3, sizes.template_size, sizes.template_size)
    search = torch.zeros(1, 3, sizes.search_size, sizes.search_size)
    if not model.backbone.asymmetric_attention:
        return compute_complexity(model, [template, search]).as_dict()
    with torch.no_grad():
        # only its shapes are needed
        memory = model.encode_template(template)
    flat = [tensor for block in memory for tensor in block]
    frame, once = (
        compute_complexity(_CachedForward(model), [search, *flat]),
        compute_complexity(_TemplateEncoder(model), [template]),
    )
    return {**frame.as_dict(), "template": {key: asdict(once)[key] for key in ("macs", "macs_without_attention")}}


class _TemplateEncoder(nn.Module):
    """Encodes a template, as a module whose operations can be counted."""

    def __init__(self, model: TrackerModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, template: Tensor) -> Any:
        return self.model.encode_template(template)


class _CachedForward(_TemplateEncoder):
    """Computes the maps of a search region with an encoded template."""

    def forward(self, search: Tensor, *memory: Tensor) -> Any:
        # the counter takes tensors only, so the entries of all blocks arrive as a flat list
        size = len(TemplateKV._fields)
        blocks = [TemplateKV(*memory[start : start + size]) for start in range(0, len(memory), size)]
        return self.model.forward_cached(blocks, search)


@contextmanager
def make_synthetic_video() -> Iterator[Video]:
    """Yield a video of 640 x 360 for timing: JPEG files of a moving photograph, which are removed after the block."""
    # larger than a frame by the distance that the view moves over all frames
    photo = cv2.resize(
        photographs.load_photos(photographs.TEST_PHOTOS)[1],
        (BENCHMARK_WIDTH + 2 * BENCHMARK_FRAMES, BENCHMARK_HEIGHT + BENCHMARK_FRAMES),
    )
    with open_scratch_folder("frames") as folder:
        for number in range(BENCHMARK_FRAMES):
            # one pixel to the right per frame, and half a pixel down
            frame = photo[number // 2 : number // 2 + BENCHMARK_HEIGHT, number : number + BENCHMARK_WIDTH, ::-1]
            write_image(folder / f"{number + 1:08d}.jpg", frame)
        boxes = np.tile([BENCHMARK_WIDTH / 2 - 40.0, BENCHMARK_HEIGHT / 2 - 30.0, 80.0, 60.0], (BENCHMARK_FRAMES, 1))
        frames = NumberedFiles(folder, "{:08d}.jpg", BENCHMARK_FRAMES)
        yield Video("synthetic", frames, boxes, np.ones(BENCHMARK_FRAMES, np.bool_))
