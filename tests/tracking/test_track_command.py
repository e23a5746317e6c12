"""``bench track`` as a person meets it: what is written and said, and one sentence for what is wrong."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from backbones.create import create_backbone
from backbones.registry import get_card
from benchmarks.cli.main import main
from engine.config import load_protocol
from foundation.errors import UserError
from foundation.files import sha256_file
from results.records.store import read_record, write_record
from tests.results.make import make_record
from tests.tracking.ostrack_file import CE_NAME, save_ostrack_file
from tests.tracking.test_ostrack_checkpoint import made_up
from tests.tracking.video.test_frame_source import find_payload, picture, write_folder, write_uneven_video, write_video
from tracking.deployment import export
from tracking.deployment.parity import load_parity_videos
from tracking.evaluate_run import load_tracker
from tracking.inference.backend import TorchNetwork
from tracking.protocols import CONFIGS, build_tracker_model
from tracking.recipe import TrackingRecipe
from tracking.track_command import run_track_command
from tracking.video import first_boxes, select_box
from tracking.video.request import TrackVideoRequest
from tracking.video.select_box import WindowBox

Text = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that name a tracker, made up."""
    path = tmp_path_factory.mktemp("weights") / "OSTrack.pth.tar"
    torch.save({"net": made_up(128, 256)}, path)
    return ["--checkpoint", str(path), "--backbone", "vit_pico", "--protocol", "ostrack256"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def track(*words: object) -> int:
    return main(["track", *map(str, words), "--device", "cpu"])


def test_a_video_from_end_to_end(weights: list[str], capsys: Text) -> None:
    write_video(Path("walk.avi"), fps=25.0)
    assert track("walk.avi", "--init", "20,15,16.5,12", *weights) == 0
    out = Path("runs/track/walk")
    said = capsys.readouterr().out
    assert said.startswith("12 frames tracked\n") and "frames/s end to end" in said
    assert f"{out}: boxes.txt, confidence.txt, frame_times.txt, annotated.mp4, track.json" in said
    data = json.loads((out / "track.json").read_text())
    assert data["status"] == "complete" and data["frames"] == 12 and data["first_box"] == [20.0, 15.0, 16.5, 12.0]
    assert data["first_box_from"] == "--init" and data["video"] == {
        "file": "annotated.mp4",
        "fps": 25.0,
        "fps_of_source": True,
    }
    assert data["weights"]["sha256"] == sha256_file(Path(weights[1])) and data["protocol"] == "ostrack256"
    assert (data["runtime"], data["precision"], data["device"]) == ("torch", "fp32", "cpu")
    assert min(data["speed"].values()) > 0 and data["packages"]["torch"] and data["command"][:2] == ["bench", "track"]
    capture = cv2.VideoCapture(str(out / "annotated.mp4"))
    assert (capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)) == (12, 25)
    first = (out / "boxes.txt").read_text()
    assert track("walk.avi", "--init", "20,15,16.5,12", *weights, "--frames", "5", "--no-video", "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["folder"] == "runs/track/walk.2" and again["video"] is None
    lines = Path("runs/track/walk.2/boxes.txt").read_text().splitlines()
    assert lines == first.splitlines()[:5] and (out / "boxes.txt").read_text() == first


def test_a_folder_with_ground_truth_needs_no_box(weights: list[str], capsys: Text) -> None:
    write_folder(Path("bag-1/img"))
    Path("bag-1/groundtruth.txt").write_text("1,2,30,20\n" * 3 + "4,5,30,20\n" * 9)
    assert track("bag-1", *weights, "--start", "3", "--out", "here") == 0
    said = capsys.readouterr()
    assert "the first box is that of bag-1/groundtruth.txt, line 4" in said.err
    assert Path("here/boxes.txt").read_text().startswith("4.000,5.000,30.000,20.000\n")
    assert json.loads(Path("here/track.json").read_text())["source"]["start"] == 3
    assert track("bag-1", *weights, "--out", "here") == 2
    assert "here has files in it already" in capsys.readouterr().err


def test_what_is_wrong_is_one_sentence(weights: list[str], capsys: Text) -> None:
    write_folder(Path("walk"))
    box = ("--init", "1,2,3,4")
    for words, message in (
        (("walk", *weights), "the box of the target in the first frame is missing"),
        (("walk", *weights, "--init", "1,2,3"), "must be four numbers"),
        (("walk", *weights, "--init", "1,2,3,4,5"), "must be four numbers"),
        (("walk", *weights, "--init", "a cat"), "must be four numbers x,y,w,h, or select, not 'a cat'"),
        (("walk", *weights, "--init", "1,2,nan,4"), "must be four numbers"),
        (("walk", *weights, "--init", "1,2,0,4"), "has no area"),
        (("walk", *weights, "--init", "0,0,1e30,1e30"), "far larger than the frame of 64 x 48 px"),
        (("walk", *weights, "--init", "1e30,0,5,5"), "outside the frame"),
        (("walk", *weights, *box, "--init", "100,2,3,4"), "walk, target 2: the first box (100, 2, 3, 4) lies outside"),
        (("walk", *weights, *box, *box, *box, *("--lost-threshold", "0.5") * 2), "is given 2 times for 3 targets"),
        (("walk", *weights, *box, "--precision", "bf16"), "the runtime torch tracks in f32 only"),
        (("walk", *weights, "--init", "100,2,3,4"), "outside the frame of 64 x 48 px"),
        (("walk", *box, "--runtime", "openvino"), "--runtime belongs to a tracker that you name"),
        (("walk", *box, "--run", "x", *weights), "give one trained tracker"),
        (("walk", *box, *weights[:2]), "--checkpoint needs --backbone"),
        (("walk", *box, "--run", "x", *weights[2:]), "leave --backbone and --protocol out"),
        (("walk", *box, "--run", "x"), "cannot read x/record.json"),
        (("walk", *box, *weights, "--lost-threshold", "1.5"), "--lost-threshold 1.5"),
        (("walk", *box, *weights, "--start", "-1"), "0 or above"),
        (("nothing", *box, *weights), "there is no video file or folder"),
    ):
        assert track(*words) == 2, words
        said = capsys.readouterr().err
        assert message in said and "Traceback" not in said, said
    assert not Path("runs/track/walk").exists(), "nothing half-made is left"


def test_a_request_needs_no_command_line(weights: list[str]) -> None:
    """From Python: what is not said is as the command has it."""
    write_folder(Path("walk"))
    checkpoint, backbone = Path(weights[1]), weights[3]
    request = TrackVideoRequest("walk", ((20, 15, 16, 12),), checkpoint=checkpoint, backbone=backbone, device="cpu")
    report = run_track_command(request)
    assert (report.folder, report.interrupted) == (Path("runs/track/walk"), False)
    assert track("walk", "--init", "20,15,16,12", *weights) == 0
    texts = [Path(f"runs/track/{name}/boxes.txt").read_text() for name in ("walk", "walk.2")]
    assert texts[0] == texts[1]
    assert report.data["protocol"] == "ostrack256" and report.data["command"] == []
    with pytest.raises(UserError, match="--lost-threshold 1 cannot be compared"):
        run_track_command(replace(request, lost_thresholds=(1.0,)))


def test_a_checkpoint_is_tracked_with_what_it_states(capsys: Text) -> None:
    """Before, a tracker with candidate elimination was followed without it, and nobody said so."""
    sizes = {"output_sz": {"template": 128, "search": 256}, "search_area_factor": {"template": 2.0, "search": 4.0}}
    path = save_ostrack_file(Path("OSTrack.pth.tar"), made_up(128, 256), config_name=CE_NAME, **sizes)
    write_folder(Path("walk"))
    words = ("walk", "--init", "20,15,16,12", "--checkpoint", path, "--backbone", "vit_pico", "--frames", "2")
    assert track(*words) == 0
    assert "the file's own settings are used: " in capsys.readouterr().err
    data = json.loads(Path("runs/track/walk/track.json").read_text())
    assert data["protocol"] == "ostrack256_ce" and data["tracker"]["ce"] == {"blocks": [3, 6, 9], "keep_ratio": 0.7}
    assert track(*words, "--protocol", "ostrack256") == 2
    assert "the checkpoint says ce=true" in capsys.readouterr().err
    assert not Path("runs/track/walk.2").exists()


def test_a_bad_frame_is_named_and_the_rest_kept(weights: list[str], capsys: Text) -> None:
    folder = write_folder(Path("walk"))
    (folder / "shot8.png").write_bytes(b"no image")
    assert track("walk", "--init", "20,15,16,12", *weights) == 2
    said = capsys.readouterr().err
    assert "shot8.png cannot be decoded" in said and "7 frames tracked before that are kept" in said
    data = json.loads(Path("runs/track/walk/track.json").read_text())
    assert data["status"] == "partial" and data["frames"] == 7 and "shot8.png" in data["stopped"]


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_a_stop_gives_its_exit_code_and_a_partial_result(
    number: int, name: str, weights: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Text
) -> None:
    write_folder(Path("walk"))
    look, seen = TorchNetwork.predict_maps, []

    def interrupted(self: TorchNetwork, *arguments: Any) -> Any:
        seen.append(1)
        if len(seen) == 3:
            signal.raise_signal(number)
        return look(self, *arguments)

    monkeypatch.setattr(TorchNetwork, "predict_maps", interrupted)
    assert track("walk", "--init", "20,15,16,12", *weights) == 128 + number
    assert f"4 frames tracked, PARTIAL\nstopped by {name} after 4 frames" in capsys.readouterr().out
    assert json.loads(Path("runs/track/walk/track.json").read_text())["status"] == "partial"
    assert (Path("runs/track/walk") / "annotated.mp4").is_file()


def a_run(folder: Path) -> Path:
    """A finished run's folder, its weights at random."""
    recipe = load_protocol(CONFIGS / "fast64.py", TrackingRecipe, "smoke").recipe
    arguments = {"num_classes": 0, "drop_path_rate": 0.0}
    card = get_card("vit_pico")
    model = build_tracker_model(create_backbone(card, checkpoint="random", **arguments).model, card, recipe)
    (folder / "checkpoints").mkdir(parents=True)
    torch.save({"state_dict": model.state_dict(), "step": 2}, folder / "checkpoints" / "last_00000002.pth")
    made = make_record(
        1.0,
        task="mini_lasot",
        domain="tracking",
        protocol="fast64",
        backbone={"name": "vit_pico", "card": {}, "arguments": arguments, "init": "random"},
        config={"recipe": recipe.identity_settings()},
        non_identity_settings=recipe.non_identity_settings(),
    )
    write_record(folder, made)
    return folder


def test_the_tracker_of_a_run(capsys: Text) -> None:
    """The boxes are those of ``load_tracker``; its weight file alone is not an OSTrack checkpoint."""
    run = a_run(Path("runs/mini_lasot/mine"))
    write_folder(Path("walk"))
    assert track("walk", "--init", "20,15,16,12", "--run", run) == 0
    data = json.loads(Path("runs/track/walk/track.json").read_text())
    assert data["weights"] == {"run": str(run), "run_id": read_record(run).run_id}
    assert data["backbone"] == "vit_pico" and data["protocol"] == "fast64"
    tracker = load_tracker(run)
    frames = [picture(number) for number in range(12)]
    tracker.init(frames[0], (20, 15, 16, 12))
    expected = ["20.000,15.000,16.000,12.000"]
    expected += [",".join(f"{value:.3f}" for value in tracker.update(frame)) for frame in frames[1:]]
    assert Path("runs/track/walk/boxes.txt").read_text().split() == expected
    weights = run / "checkpoints" / "last_00000002.pth"
    assert track("walk", "--init", "20,15,16,12", "--checkpoint", weights, "--backbone", "vit_pico") == 2
    assert "give the run's folder with --run" in capsys.readouterr().err


def test_an_annotation_is_irrelevant_where_the_box_is_given(weights: list[str]) -> None:
    """It is not even opened: a folder of this name cannot be."""
    write_folder(Path("otb/img"), 2)
    Path("otb/groundtruth_rect.txt").write_bytes(b"\xff\xfe no boxes")
    Path("otb/groundtruth.txt").mkdir()
    assert track("otb", "--init", "20,15,16,12", *weights, "--no-video") == 0
    data = json.loads(Path("runs/track/otb/track.json").read_text())
    assert data["first_box_from"] == "--init" and data["frames"] == 2


def test_several_targets_get_the_boxes_that_each_gets_alone(weights: list[str], capsys: Text) -> None:
    write_video(Path("walk.avi"), 6)
    boxes = ("20,15,16,12", "5,5,20,20", "40,20,18,22")
    for number, box in enumerate(boxes, 1):
        assert track("walk.avi", "--init", box, *weights, "--no-video", "--out", f"alone{number}") == 0
    capsys.readouterr()
    words = [word for box in boxes for word in ("--init", box)]
    thresholds = ("--lost-threshold", "0", "--lost-threshold", "0.99", "--lost-threshold", "0.5")
    assert track("walk.avi", *words, *weights, *thresholds, "--out", "all") == 0
    said = capsys.readouterr()
    for number in (1, 2, 3):
        for name in ("boxes", "confidence"):
            assert Path(f"all/{name}_{number}.txt").read_bytes() == Path(f"alone{number}/{name}.txt").read_bytes()
    assert Path("all/frame_times.txt").read_text().split()[:2] == ["0.0000", "0.0400"]
    data = json.loads(Path("all/track.json").read_text())
    assert [each["confidence"]["low"] for each in data["targets"]] == [0, 0.99, 0.5]
    assert [each["first_box"] for each in data["targets"]] == [[float(x) for x in box.split(",")] for box in boxes]
    assert [each["number"] for each in data["targets"]] == [1, 2, 3] and data["schema_version"] == 2
    assert "first_box" not in data and data["files"] == {"times": "frame_times.txt"}
    assert said.out.startswith("6 frames tracked, 3 targets\n")
    assert "target 2, confidence: mean" in said.out
    assert "all: boxes_1.txt, confidence_1.txt, boxes_2.txt, confidence_2.txt, boxes_3.txt" in said.out
    assert sorted(path.name for path in Path("all").iterdir())[0] == "annotated.mp4"


def test_the_runtime_of_a_checkpoint(weights: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is exported on the fly, and the boxes are those of PyTorch."""
    pytest.importorskip("onnxruntime")
    short = [video.keep_first(3) for video in load_parity_videos()[:1]]
    monkeypatch.setattr(export, "load_parity_videos", lambda: short)
    write_folder(Path("walk"), 4)
    words = ("walk", "--init", "20,15,16,12", *weights, "--no-video")
    assert track(*words) == 0
    assert track(*words, "--runtime", "onnxruntime") == 0
    data = json.loads(Path("runs/track/walk.2/track.json").read_text())
    assert (data["runtime"], data["precision"], data["device"]) == ("onnxruntime", "fp32", "cpu")
    assert data["export"]["parity"]["box_px"] < 0.01 and data["export"]["files"]
    assert {path.name for path in Path("runs/track/walk.2").iterdir()} == {"boxes.txt", "confidence.txt", "track.json"}
    first, second = (np.loadtxt(f"runs/track/{name}/boxes.txt", delimiter=",", ndmin=2) for name in ("walk", "walk.2"))
    assert np.abs(first - second).max() < 0.01
    request = TrackVideoRequest(
        "walk", ((20, 15, 16, 12),), checkpoint=Path(weights[1]), backbone="vit_pico", runtime="onnxruntime"
    )
    with pytest.raises(UserError, match="an exported model computes on the CPU; leave out --device cuda"):
        run_track_command(replace(request, device="cuda"))


def test_a_frame_rate_that_varies_is_said(weights: list[str], capsys: Text) -> None:
    content = write_video(Path("even.mp4"), 4, "mp4v", 25.0).read_bytes()
    ticks = int.from_bytes(find_payload(content, b"mdhd")[12:16], "big")
    write_uneven_video(Path("phone.mp4"), [ticks // 50, ticks // 50, 2 * ticks // 25, ticks // 25])
    assert track("phone.mp4", "--init", "20,15,16,12", *weights) == 0
    assert Path("runs/track/phone/frame_times.txt").read_text().split() == ["0.0000", "0.0200", "0.0400", "0.1200"]
    assert "the frame rate varies: frames are 0.020 to 0.080 s apart, see frame_times.txt" in capsys.readouterr().out


def test_the_box_is_drawn_on_the_frame_that_is_tracked(
    weights: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Text
) -> None:
    """The whole way with a user who drags a box, and with one who cancels."""
    write_folder(Path("walk"), 3)
    drawn: list[WindowBox | None] = [WindowBox(200, 150, 160, 120), None]
    pictures = []

    def draw(shown: np.ndarray, title: str) -> WindowBox | None:
        pictures.append(shown)
        return drawn.pop(0)

    monkeypatch.setattr(first_boxes, "find_screen_size", lambda: (1600, 900))
    monkeypatch.setattr(select_box, "draw_in_window", draw)
    words = ("walk", "--init", "select", *weights, "--start", "1", "--no-video")
    assert track(*words) == 0
    assert Path("runs/track/walk/boxes.txt").read_text().startswith("20.000,15.000,16.000,12.000\n")
    small = cv2.resize(pictures[0], (64, 48), interpolation=cv2.INTER_AREA)[..., ::-1]
    alike = [np.corrcoef(small.ravel(), picture(number).ravel())[0, 1] for number in range(3)]
    assert alike[1] > 0.9 > 0.1 > max(alike[0], alike[2]), "frame 1, of --start"
    assert "--init 20,15,16,12" in capsys.readouterr().err
    assert track(*words) == 2
    assert "no box was chosen, so nothing is tracked" in capsys.readouterr().err
    assert not Path("runs/track/walk.2").exists()


def test_names_that_are_not_utf8(weights: list[str], capsys: Text) -> None:
    """OpenCV would end the process without a word."""
    folder = write_folder(Path("folder"), 2).rename(os.fsdecode(b"caf\xe9"))
    assert track(folder, "--init", "20,15,16,12", *weights) == 0
    out = Path("runs/track/caf\ufffd")
    assert json.loads((out / "track.json").read_text())["source"]["place"] == str(folder)
    assert (out / "annotated.mp4").exists()
    assert track(folder, "--init", "20,15,16,12", *weights, "--out", os.fsdecode(b"\xe9")) == 2
    assert "not UTF-8" in capsys.readouterr().err
    for name in ("cafe\u0301", "12:30"):
        folder = folder.rename(name)
        assert track(folder, "--init", "20,15,16,12", *weights, "--out", f"{name}.out") == 0
        assert Path(f"{name}.out/annotated.mp4").exists()
