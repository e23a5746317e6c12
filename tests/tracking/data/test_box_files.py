"""Files of boxes: what is read, and what is refused with file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foundation.errors import DataError
from tracking.data.box_files import (
    parse_predicted_boxes,
    read_box_file,
    read_flag_file,
    read_label_file,
    read_predicted_boxes,
)

BOXES = [[1, 2, 3, 4], [5.5, -6, 7, 0]]


@pytest.mark.parametrize(
    "content",
    [
        b"1,2,3,4\n5.5,-6,7,0\n",
        b"1\t2\t3\t4\n5.5\t-6\t7\t0\n",
        b"1 2 3 4\n5.5   -6 7 0",
        b"1, 2, 3, 4\r\n5.5,-6,7,0\r\n",
        b"1,2,3,4\r5.5,-6,7,0\r",
        b"  1,2,\t3,4 \n5.5,-6,7,0.0e0,\n\n\n",
        b"1,2,3,4\n5.5 -6\t7 0\n",
    ],
    ids=["comma", "tab", "spaces", "crlf", "cr", "blanks and empty lines at the end", "mixed"],
)
def test_delimiters_and_line_ends(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    assert read_predicted_boxes(path).tolist() == BOXES


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("\n \r\n", "is empty"),
        ("1,2,3,4\nnan,2,3,4\n", "line 2, is not four finite numbers"),
        ("1,2,3,4\nNaN NaN NaN NaN\n", "line 2, is not four finite numbers"),
        ("1,2,3,4\n1,2,inf,4\n", "line 2, is not four finite numbers"),
        ("1,2,3,4\n5,6,-7,8\n", "line 2, has a negative width or height"),
        ("1,2,3,4\n5,6,7,-0.5\n", "line 2, has a negative width or height"),
        ("1,2,3,4\n\n5,6,7,8\n", "line 2, is empty"),
        ("\n1,2,3,4\n", "line 1, is empty"),
        ("1;2;3;4\n", "line 1, is not x,y,w,h separated by comma, tab or spaces"),
        ("x,y,w,h\n1,2,3,4\n", "line 1, is not x,y,w,h"),
        ("1,2,3,4\n1,2,3\n", "line 2, has 3 numbers"),
        ("1,2,3,4,0.9\n", "line 1, has 5 numbers"),
        ("1,2,3,4,5,6,7,8\n" * 2, "line 1, has 8 numbers (a polygon? convert it to a box)"),
        ("1,5\t2,5\t3,5\t4,5\n", "line 1, has 8 numbers"),
        ("1,,2,3,4\n", "line 1, is not x,y,w,h"),
        ("# made by me\n1,2,3,4\n", "line 1, is not x,y,w,h"),
        ("1,2,3,4\n5,6,7,8 # lost\n", "line 2, is not x,y,w,h"),
        ("[1,2,3,4]\n", "line 1, is not x,y,w,h"),
        ("1,2,3,4\n1,2,3,\x00\n", "line 2, is not x,y,w,h"),
    ],
)
def test_what_is_no_box_is_refused_with_file_and_line(content: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "bus-2.txt"
    path.write_bytes(content.encode())
    with pytest.raises(DataError) as caught:
        read_predicted_boxes(path)
    assert "bus-2.txt" in str(caught.value)
    assert says in str(caught.value)


def test_nan_rows_only_where_the_target_may_be_absent(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("1,2,3,4\nNaN,NaN,NaN,NaN\n")
    assert np.isnan(read_box_file(path, allow_nan=True)).tolist() == [[False] * 4, [True] * 4]
    path.write_text("1,2,3,4\n1,NaN,3,4\n")
    with pytest.raises(DataError, match="line 2"):
        read_box_file(path, allow_nan=True)


def test_labels(tmp_path: Path) -> None:
    path = tmp_path / "full_occlusion.txt"
    path.write_text("0,1,0\n")
    assert read_flag_file(path, 3).tolist() == [False, True, False]
    path.write_text("0\n8\n3\n")
    assert read_label_file(path, 3).tolist() == [0, 8, 3]
    for frames, content in ((2, "0,1,0"), (3, "0,1,2"), (3, "0,x,1"), (3, "0,inf,1"), (3, "0,1")):
        path.write_text(content)
        with pytest.raises(DataError, match="full_occlusion"):
            read_flag_file(path, frames)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("0\n0\nnan\n", "line 3, holds a label that is not a finite number"),
        ("0\ninf\n0\n", "line 2, holds a label that is not a finite number"),
        ("0,x,0", "line 1, holds a label that is not a finite number"),
        ("", "is empty"),
        ("0\n\n0\n", "has 2 labels for 3 frames"),
    ],
)
def test_what_is_no_label_is_refused_with_its_line(content: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "cover.label"
    path.write_text(content)
    with pytest.raises(DataError, match=says) as caught:
        read_label_file(path, 3)
    assert "cover.label" in str(caught.value)


NFS = '0 10 20 40 60 {} 0 0 0 "bird"\n'


def test_boxes_among_other_fields(tmp_path: Path) -> None:
    """NfS writes an id before the corners and a frame, flags and a name after them."""
    path = tmp_path / "bird.txt"
    path.write_text(NFS.format(1) + NFS.format(2))
    assert read_box_file(path, first_field=1).tolist() == [[10, 20, 40, 60]] * 2
    for line, says in (
        ("\n", "line 2, is empty"),
        ("0 10 20\n", "line 2, has 3 fields"),
        ("0 10 20 inf 60 1\n", "line 2, is not four finite numbers"),
        ("0 10 20 x 60 1\n", "line 2, is not x,y,w,h"),
    ):
        path.write_text(NFS.format(1) + line + NFS.format(3))
        with pytest.raises(DataError, match=says):
            read_box_file(path, first_field=1)


def test_a_content_in_memory_is_read_as_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"1,2,3,4\r\n5.5,-6,7,0\r\n")
    assert parse_predicted_boxes(path.read_bytes(), path).tolist() == read_predicted_boxes(path).tolist() == BOXES
    with pytest.raises(DataError, match=r"a\.txt, line 2, is empty"):
        parse_predicted_boxes(b"1,2,3,4\n\n5,6,7,8", path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_box_file(tmp_path / "nothing.txt")
