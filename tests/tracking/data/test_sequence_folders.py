"""The rules of a user's own sequences against cases worked out by hand; tests/wild_data has whole folders."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from engine.data.data_options import make_data_options
from foundation.errors import DataError
from foundation.run_scope import open_run_scope
from tracking.data.boxes import FloatArray
from tracking.data.readers.folder import read_folder_videos
from tracking.data.sequence_folders.annotation_causes import explain_boxes, explain_lines
from tracking.data.sequence_folders.annotations import mask_to_box, polygon_to_box
from tracking.data.sequence_folders.find_sequences import find_sequences
from tracking.data.sequence_folders.frame_order import order_frames, require_no_gap
from tracking.data.sequence_folders.mot_rows import choose_target
from tracking.data.sequence_folders.read_sequence import read_image_size
from tracking.tasks import TRACKFOLDER


def test_the_box_of_a_rotated_box_is_the_smallest_upright_one_around_it() -> None:
    """A square of side 10 around (50, 40), turned by 30 degrees: its box has the side 10 (cos 30 + sin 30)."""
    cos, sin = math.cos(math.radians(30)), math.sin(math.radians(30))
    corners = [(x * cos - y * sin + 50, x * sin + y * cos + 40) for x, y in ((-5, -5), (5, -5), (5, 5), (-5, 5))]
    side = 10 * (cos + sin)
    assert side == pytest.approx(13.660254)
    expected = (50 - side / 2, 40 - side / 2, side, side)
    assert polygon_to_box([value for corner in corners for value in corner]) == pytest.approx(expected)
    # from any corner on and in either direction
    assert polygon_to_box(
        [value for corner in [*corners[2:], *corners[:2]][::-1] for value in corner]
    ) == pytest.approx(expected)


def test_the_box_of_a_mask_is_that_of_its_pixels() -> None:
    mask = np.zeros((6, 9), np.uint8)
    mask[2, 3], mask[4, 7] = 1, 1
    runs, last = [0], 0
    for pixel in mask.ravel():
        if pixel != last:
            runs.append(0)
            last = pixel
        runs[-1] += 1
    assert mask_to_box([100, 200, 9, 6, *runs]) == (103, 202, 5, 3)
    assert mask_to_box([0, 0, 3, 2, 6]) is None and mask_to_box([0, 0, 0, 0]) is None


def test_frames_are_ordered_by_the_number_that_differs() -> None:
    assert order_frames(["cam2_9.jpg", "cam2_10.png"]).numbers == (9, 10)
    # a date and a time: by both, and without gaps
    days = order_frames(["2024-01-02_08.jpg", "2024-01-01_09.jpg"])
    assert days.paths == ("2024-01-01_09.jpg", "2024-01-02_08.jpg") and days.numbers == ()
    assert require_no_gap(days, "x") == ""


@pytest.mark.parametrize(
    ("numbers", "note"),
    [
        ((0, 1, 2, 3), ""),
        ((7,), ""),
        ((3, 6, 9), "frames are numbered in steps of 3"),
        ((1403, 1436, 1470, 1503, 1570), ""),  # times of a camera in milliseconds
        ((1, 5, 9, 30), ""),
    ],
)
def test_numbers_without_a_gap(numbers: tuple[int, ...], note: str) -> None:
    assert require_no_gap(order_frames([f"{number}.jpg" for number in numbers]), "x") == note


@pytest.mark.parametrize("numbers", [(1, 2, 4), (0, 5, 10, 20, 25), (1, 2, 3, 4, 104)])
def test_a_gap_is_named(numbers: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="sequence x has no frame between"):
        require_no_gap(order_frames([f"{number}.jpg" for number in numbers]), "x")


def test_numbered_annotations_and_folders_of_one_name_are_told_apart() -> None:
    files = ["a/cat/1.png", "b/cat/1.png", "anno/a/cat.txt", "anno/b/cat.txt"]
    found = find_sequences(files, "x")
    assert [(each.folder, dict(each.annotations), each.own_name) for each in found] == [
        ("a/cat", {"": "anno/a/cat.txt"}, "a/cat"),
        ("b/cat", {"": "anno/b/cat.txt"}, "b/cat"),
    ]
    with pytest.raises(DataError, match=r"anno/cat\.txt and old/cat\.txt could both annotate a/cat"):
        find_sequences(["a/cat/1.png", "anno/cat.txt", "old/cat.txt"], "x")
    with pytest.raises(DataError, match=r"anno/cat\.txt could annotate a/cat and b/cat"):
        find_sequences(["a/cat/1.png", "b/cat/1.png", "anno/cat.txt"], "x")


def test_targets_are_named_by_their_lengths() -> None:
    many = {str(number): number for number in range(1, 20)}
    with pytest.raises(DataError, match=r"x has 19 \(19 frames\), 18 .* and 7 more; choose one with --target 19"):
        choose_target(many, None, "x")
    assert choose_target({"5": 3}, None, "x") == "5" and choose_target(many, "3", "x") == "3"


def boxes(*rows: tuple[float, ...]) -> FloatArray:
    return np.array(rows, np.float64)


def test_what_is_right_is_not_explained() -> None:
    """Targets that fill the image, leave it, are tiny, or are hidden in most frames."""
    whole = boxes(*[(0, 0, 100, 80)] * 4)
    leaving = boxes((80, 10, 30, 20), (85, 10, 30, 20), (90, 10, 30, 20), (95, 10, 30, 20))
    tiny = boxes((0, 0, 1, 1), (50, 40, 1, 1))
    hidden = boxes((1, 1, 9, 9), *[(math.nan,) * 4] * 3, (0, 0, 0, 0))
    for right in (whole, leaving, tiny, hidden):
        assert explain_boxes(right, (100, 80)) == ""
    assert explain_lines(["1,2,3,4", "nan,nan,nan,nan"]) == ""
    # corners of a slow target, in whole numbers
    assert explain_lines([f"{30 + n},20,40,20,40,30,{30 + n},30" for n in range(4)]) == ""


def test_corners_are_noticed_although_the_target_is_hidden_at_times() -> None:
    rows = [(60 + n, 40, 70 + n, 50) for n in range(5)]
    said = explain_boxes(boxes((math.nan,) * 4, *rows), (100, 80))
    assert said.startswith("line 2, ends outside of its image of 100 x 80 px") and "corners x1,y1,x2,y2" in said


def test_the_size_of_an_upright_phone_image_is_the_size_it_is_shown_in(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image_size(tmp_path / "a.jpg") == (30, 40)
    (tmp_path / "b.jpg").write_bytes(b"no image")
    assert read_image_size(tmp_path / "b.jpg") is None


def write_sequence(folder: Path, text: str) -> None:
    (folder / "img").mkdir(parents=True)
    for number in range(1, 4):
        cv2.imwrite(str(folder / "img" / f"{number}.png"), np.full((30, 40, 3), 30 * number, np.uint8))
    (folder / "groundtruth.txt").write_text(text)


def test_the_same_boxes_in_another_layout_are_the_same_set(tmp_path: Path) -> None:
    """Only names, boxes and frames count, so that a converted set keeps its id."""
    text = "4,5,9,8\n5,5,9,8\n6,5,9,8\n"
    write_sequence(tmp_path / "plain" / "cat", text)
    shutil.copytree(tmp_path / "plain", tmp_path / "otb")
    (tmp_path / "otb/cat/groundtruth.txt").rename(tmp_path / "otb/cat/groundtruth_rect.txt")
    shutil.copytree(tmp_path / "plain", tmp_path / "beside")
    (tmp_path / "beside/anno").mkdir()
    (tmp_path / "beside/cat/groundtruth.txt").rename(tmp_path / "beside/anno/cat.txt")
    (tmp_path / "beside/cat/img").rename(tmp_path / "beside/cat/color")
    found = {TRACKFOLDER.check_data(tmp_path / name).fingerprint for name in ("plain", "otb", "beside")}
    assert len(found) == 1


def test_a_chosen_target_is_another_set(tmp_path: Path) -> None:
    write_sequence(tmp_path / "cat", "4,5,9,8\n" * 3)
    (tmp_path / "cat/groundtruth.txt").rename(tmp_path / "cat/groundtruth_rect.1.txt")
    (tmp_path / "cat/groundtruth_rect.2.txt").write_text("8,5,9,8\n" * 3)
    found = set()
    for target in ("1", "2"):
        with open_run_scope(data_options=make_data_options({"target": target})):
            found.add(TRACKFOLDER.check_data(tmp_path).fingerprint)
    assert len(found) == 2


def test_what_is_excluded_below_a_split_is_named_from_the_data_root(tmp_path: Path) -> None:
    for name in ("test/cat", "test/dog", "train/owl"):
        write_sequence(tmp_path / name, "4,5,9,8\n" * 3)
    (tmp_path / "test/dog/notes.doc").write_bytes(b"x")
    with pytest.raises(DataError, match=r"test/dog/notes\.doc; leave it out with --exclude test/dog/notes\.doc"):
        TRACKFOLDER.check_data(tmp_path)
    with open_run_scope(data_options=make_data_options({"exclude": ["test/dog"]})):
        assert [video.name for video in read_folder_videos(tmp_path, "test")] == ["cat"]
        assert [video.name for video in read_folder_videos(tmp_path, "train")] == ["owl"]


@pytest.mark.parametrize("root", [".", "./", "../cat"])
def test_a_sequence_has_its_name_from_every_place(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was nameless where the data root is the folder in which bench is called."""
    write_sequence(tmp_path / "cat", "1,2,3,4\n" * 3)
    monkeypatch.chdir(tmp_path / "cat")
    with open_run_scope(data_options=make_data_options({})):
        assert [video.name for video in read_folder_videos(Path(root))] == ["cat"]
