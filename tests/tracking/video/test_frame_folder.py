"""Which files of a folder are frames, and in which order: by number, or a sentence where that is not clear."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from foundation.errors import DataError
from tracking.data.sequence_folders.frame_order import order_frames
from tracking.video.frame_folder import describe_number_gap, order_frame_files


def make_files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("f10.jpg", "f9.jpg", "f011.jpg"), ["f9.jpg", "f10.jpg", "f011.jpg"]),
        (("cam2_10.png", "cam2_9.png", "cam1_11.png"), ["cam1_11.png", "cam2_9.png", "cam2_10.png"]),
        (("IMG_20260101_235959.JPG", "IMG_20260102_000000.jpeg"), None),
        (("Shot 1.50.png", "Shot 1.25.png"), ["Shot 1.25.png", "Shot 1.50.png"]),
        (("only.png",), None),
        (("e\u03012.png", "e\u03011.png"), ["e\u03011.png", "e\u03012.png"]),
        (
            (os.fsdecode(b"\xe92.png"), os.fsdecode(b"\xe91.png")),
            [os.fsdecode(b"\xe91.png"), os.fsdecode(b"\xe92.png")],
        ),
        (
            ("1.png", "2.png", "._1.png", ".hidden.jpg", "Thumbs.db", "__MACOSX/1.png", "gt.txt", "a.json"),
            ["1.png", "2.png"],
        ),
        (("img/2.png", "img/1.png", "groundtruth_rect.txt"), ["1.png", "2.png"]),
        (("img1/000001.jpg", "gt/gt.txt", "det/det.txt", "seqinfo.ini"), None),
        (("color/00000001.jpg", "groundtruth.txt", "occlusion.tag"), None),
        (("Images/1.jpg",), None),
    ],
)
def test_the_order_is_that_of_the_numbers(names: tuple[str, ...], expected: list[str] | None, tmp_path: Path) -> None:
    found = [Path(path).name for path in order_frame_files(make_files(tmp_path, *names)).paths]
    images = [Path(name).name for name in names if name.lower().endswith(("jpg", "jpeg", "png"))]
    assert found == (images if expected is None else expected)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("left_1.jpg", "right_2.jpg"), "right_2.jpg are named in different ways"),
        (("cat.jpg", "dog.jpg"), "dog.jpg are named in different ways, so their numbers do not say"),
        (("1.jpg", "2.jpg", "cover.jpg"), "cover.jpg are named in different ways"),
        (("1.jpg", "01.jpg"), "1.jpg have the same frame number; keep one of them, or move the others elsewhere"),
        (("0.5.png", "0.25.png"), "digits after the point"),
        (("1.jpg", "2.jpg", "1.png"), "has 2 .jpg and 1 .png files"),
        (("1.jpg", "2.svg"), "1 .jpg and 1 .svg files"),
        (("1.jpg", "2.svg"), "2.svg is an image in a format that bench does not open"),
        (("1.svg", "2.svg"), "1.svg is an image in a format that bench does not open; convert it to .png"),
        (("1.jpg", "img/1.jpg"), "name the folder of the frames itself"),
        (("img/1.jpg", "color/1.jpg"), "name the folder of the frames itself"),
        (("walk/1.jpg", "run/img/1.jpg"), "its folder run has; name "),
        (("walk.mp4", "notes.txt"), "has no images"),
    ],
)
def test_what_is_not_clear_is_said(names: tuple[str, ...], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        order_frame_files(make_files(tmp_path, *names))
    assert words in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_gap_in_the_numbers_is_noted() -> None:
    gap = describe_number_gap(order_frames([f"a/{number}.jpg" for number in (1, 2, 3, 5, 6)]))
    assert gap == "the frame numbers jump: 5.jpg follows 3.jpg"
    # no gap, every fifth frame, one frame, and times
    for numbers in ((1, 2, 3), (0, 5, 10), (7,), (1000, 1033, 1067, 1101, 1133, 1168)):
        assert describe_number_gap(order_frames([f"{number}.jpg" for number in numbers])) == ""
