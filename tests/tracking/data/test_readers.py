"""Readers: what they read, and one sentence for everything that can be wrong with a data set."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.cli.main import main
from foundation.errors import DataError
from tracking.data.box_files import read_box_file
from tracking.data.mini_lasot import ensure_mini_lasot
from tracking.data.readers import lasot
from tracking.data.readers.folder import read_folder_videos
from tracking.data.readers.got10k_splits import Got10kChoice
from tracking.data.readers.others import read_coco_stills, read_got10k_videos, read_trackingnet_videos
from tracking.data.readers.sequence import NumberedFiles
from tracking.training_sets import fingerprint_lasot_videos


def image(path: Path, width: int = 64, height: int = 48) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), 90, np.uint8))


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A user's folder: two sequences of 12 frames, images beside the ground truth, numbers without zeros."""
    for name in ("cat", "dog"):
        for number in range(1, 13):
            image(tmp_path / name / f"frame{number}.png")
        boxes = "\n".join(f"{10 + n}\t8 20.5\t16" for n in range(12))
        (tmp_path / name / "groundtruth.txt").write_text(boxes + "\n")
    return tmp_path


def test_a_users_folder_needs_images_and_boxes_only(mine: Path) -> None:
    cat, dog = read_folder_videos(mine)
    assert (cat.name, dog.name) == ("cat", "dog")
    assert [path.name for path in cat.frames][:3] == ["frame1.png", "frame2.png", "frame3.png"]
    assert cat.frames[9].name == "frame10.png"
    assert cat.boxes[2].tolist() == [12, 8, 20.5, 16] and cat.visible.all()
    (alone,) = read_folder_videos(mine / "cat")
    assert alone.name == "cat"
    (mine / "cat" / "full_occlusion.txt").write_text(",".join("1" + "0" * 11))
    assert read_folder_videos(mine)[0].visible.tolist() == [False] + [True] * 11


def cut_truth(root: Path) -> None:
    path = root / "cat" / "groundtruth.txt"
    path.write_text("\n".join(path.read_text().splitlines()[:-2]))


def change(root: Path, line: int, text: str) -> None:
    path = root / "cat" / "groundtruth.txt"
    lines = path.read_text().splitlines()
    lines[line] = text
    path.write_text("\n".join(lines))


def remove(root: Path, *numbers: int) -> None:
    for number in numbers:
        (root / "cat" / f"frame{number}.png").unlink()


def label(root: Path, text: str) -> None:
    (root / "cat" / "full_occlusion.txt").write_text(text)


NUMBERS = "frames and 12 boxes in its ground truth"
BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "first box of zero size": (lambda r: change(r, 0, "5,5,0,10"), "cat: the first box (5, 5, 0, 10) has no area"),
    "first box outside": (lambda r: change(r, 0, "500,5,9,10"), "lies outside the frame of 64 x 48 px"),
    "first box NaN": (lambda r: change(r, 0, "nan,5,9,10"), "is not four finite numbers"),
    "missing frame": (lambda r: remove(r, 6), f"11 {NUMBERS} (after frame5.png a frame is missing)"),
    "truth too short": (cut_truth, "sequence cat has 12 frames and 10 boxes in its ground truth; there must be one"),
    "truth too long": (lambda r: remove(r, 12), f"sequence cat has 11 {NUMBERS}"),
    "frames of different sizes": (
        lambda r: image(r / "cat" / "frame7.png", 60, 48),
        "frame7.png is 60 x 48 px and the first frame 64 x 48",
    ),
    "unreadable image": (
        lambda r: (r / "cat" / "frame4.png").write_bytes(b"x"),
        "frame4.png cannot be decoded",
    ),
    "empty sequence": (lambda r: remove(r, *range(1, 13)), "sequence cat has no frames"),
    "empty truth": (lambda r: (r / "cat" / "groundtruth.txt").write_text(""), "groundtruth.txt is empty"),
    "three values": (lambda r: change(r, 4, "1,2,3"), "groundtruth.txt, line 5, has 3 numbers"),
    "no number": (lambda r: change(r, 4, "1,2,3,x"), "groundtruth.txt, line 5, is not x,y,w,h"),
    "blank line in the middle": (lambda r: change(r, 4, ""), "groundtruth.txt, line 5, is empty"),
    "infinity": (lambda r: change(r, 4, "1,2,inf,4"), "groundtruth.txt, line 5, is not four finite numbers"),
    "NaN in a part of a box": (lambda r: change(r, 4, "1,2,nan,4"), "groundtruth.txt, line 5, is not four finite"),
    "label of another kind": (lambda r: label(r, "0,2" + ",0" * 10), "full_occlusion.txt must hold 0 and 1 only"),
    "label that is text": (lambda r: label(r, "0\n" * 11 + "x"), "full_occlusion.txt, line 12, holds a label"),
    "label that is infinite": (lambda r: label(r, "0\ninf" + "\n0" * 10), "full_occlusion.txt, line 2, holds a label"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data_is_one_sentence(name: str, mine: Path) -> None:
    from tracking.tasks import TRACKFOLDER

    TRACKFOLDER.check_data(mine, "all")
    spoil, words = BAD[name]
    spoil(mine)
    with pytest.raises(DataError) as caught:
        TRACKFOLDER.check_data(mine, "all")
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing frame", "unreadable image"])
def test_bad_data_through_the_command_line(name: str, mine: Path, capfd: pytest.CaptureFixture[str]) -> None:
    spoil, words = BAD[name]
    spoil(mine)
    assert main(["check", "data", "trackfolder", "--data-root", str(mine), "--all"]) == 2
    said = capfd.readouterr().err
    assert words in said and "Traceback" not in said


@pytest.mark.parametrize("task", ["lasot", "trackfolder"])
def test_a_wrong_root_is_one_sentence(task: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ("run", task, "--backbone", "vit_nano", "--out", str(tmp_path / "out"))
    (tmp_path / "empty").mkdir()
    assert main([*words, "--data-root", str(tmp_path / "empty")]) == 2
    said = capfd.readouterr().err
    expected = {"lasot": "is not LaSOT's root: it has no testing_set.txt", "trackfolder": "no sequence at or below"}
    assert expected[task] in said and "Traceback" not in said
    assert not (tmp_path / "out").exists()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """``mini_lasot`` to spoil."""
    return Path(shutil.copytree(ensure_mini_lasot(), tmp_path / "lasot"))


def test_lasots_layout(copy: Path) -> None:
    tests, trains = lasot.read_test_videos(copy), lasot.read_train_videos(copy)
    assert [video.name for video in tests][:2] == ["distractor-3", "distractor-4"]
    assert len(tests) == len(trains) == 12
    assert not {video.name for video in tests} & {video.name for video in trains}
    (copy / lasot.TRAIN_LIST_FILE).unlink()
    assert [video.name for video in lasot.read_train_videos(copy)] == sorted(video.name for video in trains)
    assert tests[0].frames[0].name == "00000001.jpg" and tests[0].read_frame(0).shape == (240, 320, 3)


def test_a_missing_frame_or_sequence_of_lasot_is_named(copy: Path) -> None:
    (copy / "drift" / "drift-3" / "img" / "00000020.jpg").unlink()
    with pytest.raises(DataError, match=r"00000020\.jpg is missing"):
        lasot.read_test_videos(copy)
    shutil.rmtree(copy / "drift" / "drift-3")
    with pytest.raises(DataError, match="sequence drift-3 is missing"):
        lasot.read_test_videos(copy)


def test_labels_of_another_length_are_refused(copy: Path) -> None:
    (copy / "turn" / "turn-4" / "out_of_view.txt").write_text("0,0,0")
    with pytest.raises(DataError, match="3 labels for 48 frames"):
        lasot.read_test_videos(copy)


def test_279_of_280_is_a_departure(copy: Path) -> None:
    from tracking.tasks import LASOT

    report = LASOT.check_data(copy)
    assert report.deviations == ("12 test sequences with 576 frames, LaSOT has 280 with 685,360",)
    assert LASOT.check_data(copy.parent).fingerprint == report.fingerprint


def test_the_fingerprint_sees_a_box_and_a_label(copy: Path) -> None:
    before = fingerprint_lasot_videos(lasot.read_test_videos(copy), copy)
    path = copy / "turn" / "turn-4" / "groundtruth.txt"
    path.write_text(path.read_text().replace("1", "2", 1))
    changed = fingerprint_lasot_videos(lasot.read_test_videos(copy), copy)
    assert changed != before


def test_got10k_with_exclusions(tmp_path: Path) -> None:
    names = ["GOT-10k_Train_000001", "GOT-10k_Train_000002"]
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "list.txt").write_text("\n".join(names))
    for name in names:
        folder = tmp_path / "train" / name
        folder.mkdir()
        (folder / "groundtruth.txt").write_text("1.0,2.0,3.0,4.0\n" * 3)
        (folder / "absence.label").write_text("0\n1\n0\n")
        (folder / "cover.label").write_text("8\n8\n0\n")
    first, _ = read_got10k_videos(tmp_path)
    assert first.visible.tolist() == [True, False, False] and first.frames[0].name == "00000001.jpg"
    (tmp_path / "vot.txt").write_text(names[0])
    without = Got10kChoice(excluded=tmp_path / "vot.txt")
    assert [video.name for video in read_got10k_videos(tmp_path, without)] == names[1:]
    (tmp_path / "vot.txt").write_text("someone")
    with pytest.raises(DataError, match="excludes someone, which is not in GOT-10k's list"):
        read_got10k_videos(tmp_path, without)


def test_trackingnet(tmp_path: Path) -> None:
    (tmp_path / "TRAIN_3" / "anno").mkdir(parents=True)
    (tmp_path / "TRAIN_3" / "anno" / "abc_0.txt").write_text("1.0,2.0,3.0,4.0\n1,2,0,4\n")
    (video,) = read_trackingnet_videos(tmp_path)
    assert video.frames[1] == tmp_path / "TRAIN_3" / "frames" / "abc_0" / "1.jpg"
    assert video.visible.tolist() == [True, False]
    with pytest.raises(DataError, match="TRAIN_0 to TRAIN_11"):
        read_trackingnet_videos(tmp_path / "TRAIN_3")


def test_coco_objects_are_stills(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
        "annotations": [
            {"image_id": 9, "bbox": [1, 2, 60, 70], "iscrowd": 0},
            {"image_id": 7, "bbox": [1, 2, 60, 50], "iscrowd": 0},
            {"image_id": 7, "bbox": [1, 2, 90, 90], "iscrowd": 1},
        ],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    stills = read_coco_stills(tmp_path)
    assert len(stills) == 1
    assert stills[0].frames == [tmp_path / "train2017" / "b.jpg"] and stills[0].boxes.tolist() == [[1, 2, 60, 70]]
    with pytest.raises(DataError, match=r"instances_train2017\.json cannot be read"):
        read_coco_stills(tmp_path / "nowhere")


def test_boxes_with_any_delimiter(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1,2,3,4\n1\t2\t3\t4\n1 2, 3 4.5\nnan,nan,nan,nan\n")
    boxes = read_box_file(tmp_path / "a.txt", allow_nan=True)
    assert boxes[:3].tolist() == [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4.5]] and np.isnan(boxes[3]).all()


def test_numbered_files() -> None:
    files = NumberedFiles(Path("x"), "{:03d}.jpg", 3, first=0)
    assert (
        len(files) == 3 and files[-1] == Path("x/002.jpg") and list(files[1:]) == [Path("x/001.jpg"), Path("x/002.jpg")]
    )
    with pytest.raises(IndexError):
        files[3]
