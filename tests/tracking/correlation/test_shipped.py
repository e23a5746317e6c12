"""The shipped tracker: its file is that of its card, follows what the card says, and is what ``bench track`` takes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.cli.main import main
from foundation.errors import DataError, UserError
from foundation.files import sha256_file
from tests.tracking.video.test_frame_source import write_folder
from tracking.correlation.shipped import (
    CARD_FILE,
    SHIPPED_FOLDER,
    WEIGHTS_FILE,
    load_shipped_tracker,
    read_tracker_card,
)
from tracking.data.mini_lasot import ensure_mini_lasot
from tracking.data.readers.lasot import read_test_videos
from tracking.inference.sequential import track_sequence
from tracking.scoring import LASOT_OFFICIAL, score_sequence

CARD = json.loads((SHIPPED_FOLDER / CARD_FILE).read_text())


def test_the_file_is_that_of_the_card_and_small() -> None:
    path = SHIPPED_FOLDER / WEIGHTS_FILE
    assert sha256_file(path) == CARD["sha256"]
    assert path.stat().st_size < 3_000_000
    assert CARD["licence"] == "Apache-2.0"
    # the card names what it was made of, which is no foreign weights and none of the photographs of the test
    assert CARD["start_weights"] is None and "TRAIN_PHOTOS" in CARD["training_data"]


def test_it_follows_two_test_sequences_as_the_card_says() -> None:
    """The mean of all twelve is in the card; two are recomputed here, and the mean is that of the card's numbers."""
    tracker, stated = load_shipped_tracker(), CARD["mini_lasot_auc"]
    for video in read_test_videos(ensure_mini_lasot()):
        if video.name in ("scale-4", "turn-3"):
            boxes = track_sequence(tracker, video).boxes.round(3)
            score = score_sequence(boxes, video.boxes, ~video.visible, LASOT_OFFICIAL, name=video.name)
            # another order of additions moves a box by 1e-4 px, rarely across one of the 21 thresholds
            assert score.metric_values()["AUC"] == pytest.approx(stated["sequences"][video.name], abs=2.0)
    assert len(stated["sequences"]) == 12
    assert sum(stated["sequences"].values()) / 12 == pytest.approx(stated["mean"], abs=0.01)
    assert stated["mean"] >= 30


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED_FOLDER, tmp_path / "shipped")
    path = tmp_path / "shipped" / WEIGHTS_FILE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"first_tracker.safetensors is not the file of its card"):
        load_shipped_tracker(folder=tmp_path / "shipped")


def test_the_command_takes_it_and_says_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(Path("walk"))
    words = ["track", "walk", "--init", "20,15,16,12", "--init", "4,4,20,12", "--no-video", "--device", "cpu"]
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "tracking with first_tracker" in said and "bench run mini_lasot --backbone deit_tiny" in said
    data = json.loads(Path("runs/track/walk/track.json").read_text())
    assert data["weights"] == {"shipped": "first_tracker", "sha256": CARD["sha256"]}
    assert data["targets"][0]["confidence"]["low"] == read_tracker_card().lost_threshold == CARD["lost_threshold"]
    # each target has the boxes that it has alone, with the shape of its own first box
    assert main([*words[:4], *words[6:]]) == 0
    assert Path("runs/track/walk/boxes_1.txt").read_text() == Path("runs/track/walk.2/boxes.txt").read_text()
    assert main(["track", "walk", "--precision", "int8", "--init", "20,15,16,12"]) == 2
    assert "--precision belongs to a tracker that you name" in capsys.readouterr().err


def test_a_backbone_alone_is_refused() -> None:
    from tracking.track_command import load_requested_tracker
    from tracking.video.request import TrackVideoRequest

    with pytest.raises(UserError, match="backbone belongs to a tracker that you name"):
        load_requested_tracker(TrackVideoRequest("walk", backbone="vit_pico"), None)
