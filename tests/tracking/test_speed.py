"""What a whole tracker costs: counts against published ones and by hand, times against a clock."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tracking.make import tracker_model
from tracking.ahead import decoded_ahead
from tracking.crops import Image
from tracking.mini_lasot import mini_lasot
from tracking.model import TrackerModel
from tracking.pair import CropSizes
from tracking.protocols import tracker_recipe
from tracking.readers import lasot
from tracking.readers.sequence import Video
from tracking.saved import build_model, digest
from tracking.speed import WARM_UP, counts_of, speed_of
from tracking.tracked import Tracked, write_tracked


def test_vit_tiny_s_tracker_is_as_published() -> None:
    """8.08 M parameters; 2.383 G of convolutions and linear layers (2.39 with four operations a norm's element)."""
    from backbones.create import create_backbone
    from backbones.registry import get_card

    recipe = tracker_recipe("ostrack256")
    card = get_card("deit_tiny")
    with torch.device("meta"):
        trunk = create_backbone(card, checkpoint="random", num_classes=0).model
    model = build_model(trunk.to_empty(device="cpu"), card, recipe)
    counts = counts_of(model, recipe.crop_sizes())
    assert counts["parameters"] / 1e6 == pytest.approx(8.08, abs=0.005)
    assert counts["macs_without_attention"] / 1e9 == pytest.approx(2.383, abs=0.0005)


def test_a_remembered_template_is_counted_once() -> None:
    """A frame and the template together are the joint pass: by linearity of everything but attention."""
    sizes = CropSizes(64, 128, 2.0, 4.0)
    joint, own = (counts_of(tracker_model(own_template=own, head_channels=16), sizes) for own in (False, True))
    assert own["parameters"] == joint["parameters"]
    key = "macs_without_attention"
    assert own[key] + own["template"][key] == joint[key] and own["template"][key] > 0
    assert own["macs"] + own["template"]["macs"] < joint["macs"], "the template does not look at the search region"


def test_the_summary_of_times_by_hand(tmp_path: Path) -> None:
    videos = lasot.test_videos(mini_lasot())[:2]
    for number, video in enumerate(videos):
        count = len(video.frames)
        times = np.tile([10.0 + 10 * number, 5.0], (count, 1))
        times[:WARM_UP] = 1000.0
        write_tracked(tmp_path, video, Tracked(video.boxes, np.ones(count), times), processes=1 + number)
    made_by = {"runtime": "torch", "precision": "fp32", "device": "cpu", "batch": 1}
    speed = speed_of(tmp_path, videos, made_by)
    assert speed["end_to_end"] == {
        "frames": 2 * (48 - WARM_UP),
        "median_ms": 15.0,
        "p90_ms": 20.0,
        "frames_per_second": round(1000 / 15, 2),
    }
    assert speed["network"]["median_ms"] == 5.0 and speed["processes"] == [1, 2]
    first = (tmp_path / f"{videos[0].name}_times.txt").read_text().splitlines()
    assert first[0].startswith("# milliseconds") and first[1] == "1000.000,1000.000" and len(first) == 49


class Film(Video):
    """A sequence whose frames take 20 ms each to decode."""

    def read(self, number: int) -> Image:
        time.sleep(0.02)
        if number == 9:
            raise ValueError("frame 9")
        return np.full((2, 2, 3), number, np.uint8)


@pytest.fixture
def film() -> Film:
    count = 12
    return Film("film", [Path(str(number)) for number in range(count)], np.ones((count, 4)), np.ones(count, np.bool_))


def reader_threads() -> int:
    import threading

    return sum("frames of film" in thread.name for thread in threading.enumerate())


def test_frames_come_in_order_while_others_are_decoded(film: Film) -> None:
    seen = []
    with decoded_ahead(film) as frames:
        next(frames)
        time.sleep(0.15)  # enough for four further ones
        began = time.perf_counter()
        seen = [int(next(frames)[0, 0, 0]) for _ in range(4)]
        assert time.perf_counter() - began < 0.04, "they were ready"
        assert reader_threads() == 1
        seen += [int(next(frames)[0, 0, 0]) for _ in range(4)]
        with pytest.raises(ValueError, match="frame 9"):
            next(frames)
    assert seen == list(range(1, 9)) and reader_threads() == 0


@pytest.mark.parametrize("depth", [0, 1, 4])
def test_a_reader_ends_with_its_block(depth: int, film: Film) -> None:
    with pytest.raises(KeyboardInterrupt), decoded_ahead(film, depth) as frames:
        assert next(frames)[0, 0, 0] == 0
        raise KeyboardInterrupt
    assert reader_threads() == 0


def test_no_more_than_depth_frames_wait(film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    monkeypatch.setattr(Film, "read", lambda self, number: read.append(number) or np.zeros((2, 2, 3), np.uint8))
    with decoded_ahead(film, depth=3) as frames:
        next(frames)
        time.sleep(0.1)
        assert read == [0, 1, 2, 3]


def test_the_digest_is_of_names_and_values() -> None:
    def state(model: TrackerModel) -> dict[str, torch.Tensor]:
        return dict(model.state_dict())

    model = tracker_model("vit_pico", 32, 64, head_channels=16)
    first = digest(state(model))
    assert first == digest(dict(reversed(state(model).items())))
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1e-6
    assert digest(state(model)) != first
