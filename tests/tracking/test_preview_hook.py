"""Previews of a training: when they are drawn, what they say, and that they change nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tracking.make import make_tracker_model
from tracking.data.pair import CropSizes
from tracking.data.readers.sequence import Video
from tracking.preview_hook import MAX_COST, PREVIEW_FILE, PREVIEW_INTERVAL_SECONDS, PreviewHook, compute_mean_overlap

SIZES = CropSizes(64, 128, 2.0, 4.0, "exact")


def test_a_preview_is_written_and_leaves_the_training_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = make_tracker_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    drawn = torch.get_rng_state(), np.random.get_state()[1].copy()
    text = PreviewHook(tmp_path, SIZES).draw_preview(model, "after 5 of 9 steps")
    assert text.startswith("after 5 of 9 steps: mean IoU 0.") and text.endswith("made of training photographs")
    with Image.open(tmp_path / PREVIEW_FILE) as picture:
        # two strips of four columns and two rows below each other, with a line of text
        assert picture.width > 4 * 240 and picture.height > 4 * 180
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(drawn[0], torch.get_rng_state())
    assert np.array_equal(drawn[1], np.random.get_state()[1])


def test_it_is_drawn_when_it_is_time_and_once_more_at_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock, moments = [100.0], []
    monkeypatch.setattr("tracking.preview_hook.time.monotonic", lambda: clock[0])
    hook = PreviewHook(tmp_path, SIZES)

    def draw(model: object, moment: str) -> str:
        moments.append(moment)
        clock[0] += 7.0  # 7 s are 2 % of 350 s, which is longer than the interval
        return moment

    monkeypatch.setattr(hook, "draw_preview", draw)
    runner = SimpleNamespace(model=torch.nn.Identity(), iter=0, max_iters=4)
    hook.after_train(runner)
    hook.after_train_iter(runner, 0)
    assert moments == []  # a short training has none, not even at its end
    clock[0] += 60
    hook.after_train_iter(runner, 0)
    clock[0] += max(PREVIEW_INTERVAL_SECONDS, 7 / MAX_COST) - 1
    runner.iter = 1
    hook.after_train_iter(runner, 1)
    clock[0] += 2
    hook.after_train_iter(runner, 1)
    runner.iter = 4
    hook.after_train(runner)
    assert moments == ["after 1 of 4 steps", "after 2 of 4 steps", "after 4 of 4 steps"]


def test_a_preview_that_fails_does_not_stop_the_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hook, calls = PreviewHook(tmp_path, SIZES), []
    monkeypatch.setattr(hook, "_next_time", 0.0)

    def fail(model: object, moment: str) -> str:
        calls.append(moment)
        raise OSError("no space left")

    monkeypatch.setattr(hook, "draw_preview", fail)
    runner = SimpleNamespace(model=torch.nn.Identity(), iter=0, max_iters=4)
    hook.after_train_iter(runner, 0)
    hook.after_train_iter(runner, 1)
    hook.after_train(runner)
    assert len(calls) == 1
    assert "no more previews of this training: no space left" in capsys.readouterr().err


def test_the_mean_overlap_leaves_out_the_first_frame_and_absent_targets() -> None:
    truth = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 0, 0], [20, 0, 10, 10]], float)
    found = np.array([[90, 90, 1, 1], [0, 0, 10, 5], [0, 0, 10, 10], [25, 0, 10, 10]], float)
    video = Video("a", [], truth, np.array([True, True, False, True]))
    # 50 of 100 pixels, and 50 of 150
    assert compute_mean_overlap([video], [found]) == pytest.approx((1 / 2 + 1 / 3) / 2)
