"""What a whole tracker costs: counts against published ones and by hand, times against a clock."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backbones.memory_modules.module_hash import hash_state_dict
from foundation.errors import DataError
from tests.limits import HANG_SECONDS
from tests.tracking.make import make_tracker_model
from tracking.data.crops import ImageArray
from tracking.data.mini_lasot import ensure_mini_lasot
from tracking.data.pair import CropSizes
from tracking.data.readers import lasot
from tracking.data.readers.sequence import Video
from tracking.inference.result_files import TrackedSequence, write_tracked_sequence
from tracking.inference.sequential import track_sequence
from tracking.inference.timing import WARMUP_FRAMES, summarize_speed
from tracking.inference.tracker_factory import build_tracker_model
from tracking.models.tracker_model import TrackerModel
from tracking.profile import count_tracker_cost
from tracking.protocols import load_protocol_recipe


def test_vit_tiny_s_tracker_is_as_published() -> None:
    """8.08 M parameters; 2.383 G of convolutions and linear layers (2.39 with four operations a norm's element)."""
    from backbones.create import create_backbone
    from backbones.registry import get_card

    recipe = load_protocol_recipe("ostrack256")
    card = get_card("deit_tiny")
    with torch.device("meta"):
        trunk = create_backbone(card, checkpoint="random", num_classes=0).model
    model = build_tracker_model(trunk.to_empty(device="cpu"), card, recipe)
    counts = count_tracker_cost(model, recipe.crop_sizes())
    assert counts["parameters"] / 1e6 == pytest.approx(8.08, abs=0.005)
    assert counts["macs_without_attention"] / 1e9 == pytest.approx(2.383, abs=0.0005)


def test_a_remembered_template_is_counted_once() -> None:
    """A frame and the template together are the joint pass: by linearity of everything but attention."""
    sizes = CropSizes(64, 128, 2.0, 4.0)
    joint, own = (
        count_tracker_cost(make_tracker_model(asymmetric_attention=own, head_channels=16), sizes)
        for own in (False, True)
    )
    assert own["parameters"] == joint["parameters"]
    key = "macs_without_attention"
    assert own[key] + own["template"][key] == joint[key] and own["template"][key] > 0
    assert own["macs"] + own["template"]["macs"] < joint["macs"], "the template does not look at the search region"


def test_the_summary_of_times_by_hand(tmp_path: Path) -> None:
    videos = lasot.read_test_videos(ensure_mini_lasot())[:2]
    for number, video in enumerate(videos):
        count = len(video.frames)
        times = np.tile([10.0 + 10 * number, 5.0], (count, 1))
        times[:WARMUP_FRAMES] = 1000.0
        write_tracked_sequence(
            tmp_path, video, TrackedSequence(video.boxes, np.ones(count), times), num_processes=1 + number
        )
    made_by = {"runtime": "torch", "precision": "fp32", "device": "cpu", "batch": 1}
    speed = summarize_speed(tmp_path, videos, made_by)
    assert speed["end_to_end"] == {
        "frames": 2 * (48 - WARMUP_FRAMES),
        "median_ms": 15.0,
        "p90_ms": 20.0,
        "frames_per_second": round(1000 / 15, 2),
    }
    assert speed["network"]["median_ms"] == 5.0 and speed["processes"] == [1, 2]
    first = (tmp_path / f"{videos[0].name}_times.txt").read_text().splitlines()
    assert first[0].startswith("# milliseconds") and first[1] == "1000.000,1000.000" and len(first) == 49


STARTED: list[int] = []  # frames whose decoding began


class Film(Video):
    """A sequence that notes which frames were asked for; the tenth cannot be read."""

    def read_frame(self, index: int) -> ImageArray:
        STARTED.append(index)
        if index == 9:
            raise DataError("the frame 9 is missing")
        return np.full((2, 2, 3), index, np.uint8)


@pytest.fixture
def film() -> Film:
    count = 12
    STARTED.clear()
    return Film("film", [Path(str(number)) for number in range(count)], np.ones((count, 4)), np.ones(count, np.bool_))


class Watcher:
    """A tracker that notes what it saw, and which frames were asked for while it looked at one."""

    confidence, network_seconds = 0.5, 0.02

    def __init__(self, waits: bool = False) -> None:
        self.seen: list[int] = []
        self.ahead: list[bool] = []
        self.waits = waits

    def init(self, image: ImageArray, box: np.ndarray) -> None:
        self.update(image)

    def update(self, image: ImageArray) -> np.ndarray:
        index = int(image[0, 0, 0])
        deadline = time.monotonic() + HANG_SECONDS
        while self.waits and index + 1 not in STARTED and time.monotonic() < deadline:
            time.sleep(0.001)
        self.ahead.append(index + 1 in STARTED)
        self.seen.append(index)
        return np.ones(4)


def reader_threads() -> int:
    return sum("frames ahead" in thread.name for thread in threading.enumerate())


def test_frames_are_decoded_ahead_in_order_and_errors_come_in_their_place(film: Film) -> None:
    for prefetch in (False, True):
        STARTED.clear()
        tracker: Any = Watcher(waits=prefetch)
        with pytest.raises(DataError, match="frame 9 is missing"):
            track_sequence(tracker, film, prefetch=prefetch)
        assert tracker.seen == list(range(9))
        # each frame was asked for while the network still worked on the one before it
        assert tracker.ahead == [prefetch] * 9
        assert reader_threads() == 0


def test_no_reader_outlives_its_sequence(film: Film) -> None:
    tracker: Any = Watcher()
    for _ in range(5):
        track_sequence(tracker, replace(film, frames=film.frames[:1], boxes=film.boxes[:1]))
        assert reader_threads() == 0
    tracker.update = lambda image: _interrupt()
    with pytest.raises(KeyboardInterrupt):
        track_sequence(tracker, film)
    assert reader_threads() == 0


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_the_digest_is_of_names_and_values() -> None:
    def state(model: TrackerModel) -> dict[str, torch.Tensor]:
        return dict(model.state_dict())

    model = make_tracker_model("vit_pico", 32, 64, head_channels=16)
    first = hash_state_dict(state(model))
    assert first == hash_state_dict(dict(reversed(state(model).items())))
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1e-6
    assert hash_state_dict(state(model)) != first
