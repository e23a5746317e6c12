"""A file that goes away, or becomes shorter, while a run is at work."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.cli.main import main
from engine import training
from results.records.store import read_record

WORDS = ("run", "digits", "--backbone", "vit_nano", "--tier", "smoke", "--device", "cpu")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def check_failed(out: Path, sentence: str) -> None:
    """Check that the only record of a store says what the command has said."""
    (path,) = out.rglob("record.json")
    record = read_record(path.parent)
    assert record.status == "failed" and f"bench: {record.reason}" == sentence


@pytest.mark.parametrize("damage", [Path.unlink, cut])
def test_weights_that_go_before_the_test_are_named(
    damage: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = training.read_checkpoint

    def read(path: Path) -> dict[str, Any]:
        damage(path)
        return real(path)

    monkeypatch.setattr(training, "read_checkpoint", read)
    assert main([*WORDS, "--out", str(tmp_path)]) == 2
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert "unexpected" not in sentence and "best_0000000" in sentence
    assert "removed meanwhile" in sentence or "SHA-256" in sentence
    check_failed(tmp_path, sentence)


def test_an_image_that_goes_during_a_training_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for name in ("cat", "dog"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for number in range(8):
                Image.fromarray(random.integers(0, 255, (32, 32, 3), np.uint8)).save(folder / f"{number}.png")
    real = training.find_resume_checkpoint

    def remove_image(*words: Any) -> Path | None:
        (tmp_path / "data" / "train" / "cat" / "3.png").unlink()
        return real(*words)

    monkeypatch.setattr(training, "find_resume_checkpoint", remove_image)
    words = ["run", "imagefolder", *WORDS[2:], "--data-root", str(tmp_path / "data"), "--out", str(tmp_path / "runs")]
    assert main(words) in (1, 2)
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert "unexpected" not in sentence and "3.png" in sentence, sentence
    check_failed(tmp_path / "runs", sentence)
