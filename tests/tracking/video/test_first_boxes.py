"""Where the boxes of the first frame come from; an annotation is opened only if no box is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundation.errors import DataError, UserError
from tests.tracking.video.test_frame_source import write_folder, write_video
from tracking.video import first_boxes
from tracking.video.first_boxes import resolve_starts
from tracking.video.frame_source import open_frame_source

FRAME = np.zeros((48, 64, 3), np.uint8)


def test_the_first_box_of_a_lasot_like_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path / "bag-1" / "img", 3)
    (tmp_path / "bag-1" / "groundtruth.txt").write_text("1,2,3,4\n5,6,7,8\nNaN,NaN,NaN,NaN\n")
    for start, box in ((0, [1, 2, 3, 4]), (1, [5, 6, 7, 8])):
        (found,) = resolve_starts((), [0.4], open_frame_source(str(tmp_path / "bag-1"), start_frame=start))(FRAME)
        assert list(found.box) == box and found.lost_threshold == 0.4
        assert found.origin == f"groundtruth.txt, line {start + 1}"
        assert f"groundtruth.txt, line {start + 1}" in capsys.readouterr().err
    with pytest.raises(UserError, match="line 3, has no target in that frame; begin at another"):
        resolve_starts((), [0.4], open_frame_source(str(tmp_path / "bag-1"), start_frame=2))
    # no annotation, and no folder
    for place in (tmp_path / "bag-1" / "img", write_video(tmp_path / "walk.avi")):
        with pytest.raises(UserError, match="the box of the target in the first frame is missing; give it with --init"):
            resolve_starts((), [0.4], open_frame_source(str(place)))


def test_annotations_of_other_data_sets(tmp_path: Path) -> None:
    """OTB has another name, VOT corners, and MOT several targets."""
    write_folder(tmp_path / "otb" / "img", 2)
    (tmp_path / "otb" / "groundtruth_rect.txt").write_text("5\t6\t30\t20\n6\t6\t30\t20\n")
    write_folder(tmp_path / "vot" / "color", 2)
    (tmp_path / "vot" / "groundtruth.txt").write_text("20,5,40,20,20,35,0,20\n" * 2)
    for name, box, origin in (
        ("otb", [5, 6, 30, 20], "groundtruth_rect.txt, line 1"),
        ("vot", [0, 5, 40, 30], "groundtruth.txt, line 1"),
    ):
        (found,) = resolve_starts((), [0.5], open_frame_source(str(tmp_path / name)))(FRAME)
        assert (list(found.box), found.origin) == (box, origin)
    write_folder(tmp_path / "mot" / "img1", 2)
    (tmp_path / "mot" / "gt").mkdir()
    (tmp_path / "mot" / "gt" / "gt.txt").write_text("1,1,5,6,30,20,1,1,1\n")
    with pytest.raises(
        UserError, match=r"missing .\S*mot/gt/gt\.txt has boxes of one of several .*, so none is taken.; give"
    ):
        resolve_starts((), [0.5], open_frame_source(str(tmp_path / "mot")))
    # the same rows beside the frames, also eight numbers that could be corners
    for rows in ("1,1,5,6,30,20,1,1,1\n", "1,1,5,6,30,20,1,1\n1,2,5,6,30,20,1,1\n"):
        (tmp_path / "mot" / "gt.txt").write_text(rows)
        with pytest.raises(UserError, match=r"mot/gt\.txt has boxes of one of several targets, or of all"):
            resolve_starts((), [0.5], open_frame_source(str(tmp_path / "mot")))
    (tmp_path / "otb" / "gt.txt").write_text("7,8,30,20\n7,8,30,20\n")
    with pytest.raises(UserError, match=r"groundtruth_rect\.txt and gt\.txt could both have the box"):
        resolve_starts((), [0.5], open_frame_source(str(tmp_path / "otb")))


def test_a_line_belongs_to_a_frame_only_if_there_is_one_for_each(tmp_path: Path) -> None:
    """Four folders of OTB are annotated from a later frame on: line 1 is no box of the first image."""
    folder = write_folder(tmp_path / "david", 4)
    (folder / "groundtruth_rect.txt").write_text("5,6,30,20\n" * 2)
    with pytest.raises(UserError, match=r"has 2 lines for 4 images, .* give it with --init"):
        resolve_starts((), [0.5], open_frame_source(str(folder)))
    # the first box alone, as where the others are on a server
    (folder / "groundtruth_rect.txt").write_text("5,6,30,20\n")
    (found,) = resolve_starts((), [0.5], open_frame_source(str(folder)))(FRAME)
    assert list(found.box) == [5, 6, 30, 20]
    with pytest.raises(UserError, match=r"has 1 line, none for frame 1 .from 0.; give it with --init"):
        resolve_starts((), [0.5], open_frame_source(str(folder), start_frame=1))


@pytest.mark.parametrize("content", [b"x,y\n", "1,2,3,4\n".encode("utf-16"), b"\xff\xfe\x00", b"1,2,3,4,5,6\n", b""])
def test_a_broken_annotation_is_a_sentence_without_init_and_irrelevant_with_it(content: bytes, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "walk", 2)
    (folder / "groundtruth.txt").write_bytes(content)
    source = open_frame_source(str(folder))
    with pytest.raises(DataError, match=r"groundtruth\.txt"):
        resolve_starts((), [0.5], source)
    (found,) = resolve_starts(((1.0, 2.0, 30.0, 20.0),), [0.5], source)(FRAME)
    assert (found.box, found.origin) == ((1.0, 2.0, 30.0, 20.0), "--init")


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((0.0, 0.0, 1e30, 1e30), "far larger than the frame of 64 x 48 px"),
        ((0.0, 0.0, 20.0, 300.0), "far larger"),
        ((5.0, 5.0, 1e-9, 10.0), "smaller than a pixel; give the box in pixels"),
        ((0.25, 0.5, 0.5, 0.25), "if these are parts of the frame's sides: --init 16,24,32,12"),
    ],
)
def test_a_box_of_an_impossible_size(box: tuple[float, ...], words: str, tmp_path: Path) -> None:
    source = open_frame_source(str(write_folder(tmp_path / "walk", 1)))
    with pytest.raises(DataError) as caught:
        resolve_starts((box,), [0.5], source)(FRAME)
    assert words in str(caught.value) and "--init" in str(caught.value)
    with pytest.raises(DataError, match="target 2 of 2"):
        resolve_starts(((1.0, 1.0, 5.0, 5.0), box), [0.5, 0.5], source)(FRAME)


def test_boxes_are_chosen_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, list[Any]]] = []

    def select(frame: np.ndarray, title: str, screen: tuple[int, int], earlier: list[Any]) -> np.ndarray:
        asked.append((title, [list(box) for box in earlier]))
        return np.array([len(asked), 2.5, 10.0, 11.0])

    monkeypatch.setattr(first_boxes, "find_screen_size", lambda: (1600, 900))
    monkeypatch.setattr(first_boxes, "select_box", select)
    source = open_frame_source(str(write_folder(tmp_path / "walk", 1)))
    choose = resolve_starts(("select", (7.0, 7.0, 9.0, 9.0), "select"), [0.1, 0.2, 0.3], source)
    assert not asked, "the window opens when the first frame is there"
    starts = choose(FRAME)
    assert [list(start.box) for start in starts] == [[1, 2.5, 10, 11], [7, 7, 9, 9], [2, 2.5, 10, 11]]
    assert [start.origin for start in starts] == ["--init select", "--init", "--init select"]
    assert [start.lost_threshold for start in starts] == [0.1, 0.2, 0.3]
    assert "target 1 of 3" in asked[0][0] and asked[1][1] == [[1, 2.5, 10, 11], [7, 7, 9, 9]]
    assert "target 3 of 3: --init 2,2.5,10,11" in capsys.readouterr().err, "to repeat it without the window"
