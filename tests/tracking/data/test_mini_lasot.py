"""The embedded sequences: the same each time, whole or not there, and what their labels say is what is seen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from engine.data import photographs
from foundation.environment import get_cache_dir
from tests.conftest import ROOT
from tests.limits import HANG_SECONDS
from tracking.data.mini_lasot import (
    CATEGORIES,
    FRAMES_PER_SEQUENCE,
    TEST_SEQUENCE_NUMBERS,
    TRAIN_SEQUENCE_NUMBERS,
    ensure_mini_lasot,
    render_sequence,
    write_lasot_sequence,
)
from tracking.data.readers import lasot


def test_the_same_frames_each_time(tmp_path: Path) -> None:
    frames = render_sequence("turn", 3, photographs.load_photos(photographs.TEST_PHOTOS))
    write_lasot_sequence(tmp_path / "turn-3", frames, "turn")
    made = ensure_mini_lasot() / "turn" / "turn-3"
    for path in sorted((tmp_path / "turn-3").rglob("*.*")):
        assert path.read_bytes() == (made / path.relative_to(tmp_path / "turn-3")).read_bytes()


def test_difficulties_are_what_they_are_called() -> None:
    for video in [*lasot.read_test_videos(ensure_mini_lasot()), *lasot.read_train_videos(ensure_mini_lasot())]:
        hidden, category = int((~video.visible).sum()), video.name.rpartition("-")[0]
        assert video.visible[0] and len(video.frames) == FRAMES_PER_SEQUENCE
        sides = np.sqrt(video.boxes[video.visible, 2:].prod(1))
        if category in ("occlusion", "outofview"):
            assert 3 <= hidden <= 30, video.name
        else:
            assert hidden == 0, video.name
        if category == "scale":
            assert sides.max() > 1.5 * sides.min(), video.name
    assert len(CATEGORIES) * len(TRAIN_SEQUENCE_NUMBERS + TEST_SEQUENCE_NUMBERS) == 24


def test_a_static_box_is_far_from_enough() -> None:
    from tracking.scoring import score_sequence

    videos = lasot.read_test_videos(ensure_mini_lasot())
    floor = np.mean(
        [
            score_sequence(np.repeat(v.boxes[:1], FRAMES_PER_SEQUENCE, 0), v.boxes, ~v.visible).metric_value("AUC")
            for v in videos
        ]
    )
    assert floor < 30


def test_half_written_data_are_never_used(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "from tracking.data.mini_lasot import ensure_mini_lasot; ensure_mini_lasot()"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "BENCH_CACHE": str(tmp_path)},
    )
    deadline = time.monotonic() + HANG_SECONDS
    while not list(tmp_path.glob(".mini_lasot*/whole/*/*/groundtruth.txt")):
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait(HANG_SECONDS)
    assert not list(tmp_path.glob("mini_lasot-*[0-9]")), "killed before the rename"


def test_it_is_in_the_cache_under_its_version() -> None:
    assert ensure_mini_lasot() == get_cache_dir() / "mini_lasot-1"
    assert not list(get_cache_dir().glob(".mini_lasot*"))


def test_labels_cover_what_cannot_be_seen() -> None:
    """In an occlusion sequence the target's colours are gone from its box exactly in the frames so labelled."""
    photos = photographs.load_photos(photographs.TEST_PHOTOS)
    frames = render_sequence("outofview", 3, photos)
    for frame in frames:
        assert frame.out_of_view == (frame.box == (0, 0, 0, 0))
        x, y, w, h = frame.box
        assert x >= 0 and y >= 0 and x + w <= 320 and y + h <= 240
    assert any(frame.out_of_view for frame in frames)
    assert any(frame.fully_occluded for frame in render_sequence("occlusion", 3, photos))


def test_a_missing_photograph_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from foundation.errors import DataError

    with pytest.raises(DataError, match=r"this scikit-image has no nothing\.png"):
        photographs.load_photos({"nothing.png": ("skimage", "data")})
