"""Lists of classes as tools write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.errors import DataError
from segmentation.data.own_folder.class_lists import (
    ClassList,
    read_class_table,
    read_name_list,
    require_same_lists,
)

NAMES, COLORS = ("background", "cat"), ((0, 0, 0), (250, 50, 83))

TABLES = {
    "CVAT": "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83:head,tail:\n",
    "Kaggle": "name,r,g,b\nbackground,0,0,0\ncat,250,50,83\n",
    "a header in another order": 'r, g, b, "Class Name"\n0, 0, 0, background\n250, 50, 83, cat\n',
    "without a header": "background,0,0,0\ncat,250,50,83\n",
    "CamVid": "0 0 0\tbackground\n250 50 83\t\tcat\n",
    "Windows": "\ufeffname,r,g,b\r\nbackground,0,0,0\r\ncat,250,50,83\r\n\r\n",
}


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES)
def test_every_table_of_colors_says_the_same(text: str, tmp_path: Path) -> None:
    (tmp_path / "table").write_bytes(text.encode())
    assert read_class_table(tmp_path / "table") == ClassList(tmp_path / "table", NAMES, (0, 1), COLORS)


def test_a_table_of_values_keeps_them(tmp_path: Path) -> None:
    file = tmp_path / "_classes.csv"
    file.write_text("Pixel Value, Class\n0, background\n7, cat\n")
    assert read_class_table(file) == ClassList(file, NAMES, (0, 7))


WRONG = {
    "no table": ("cat\ndog\n", "line 1 of .* is 'cat', which is not a class with its colour; write name,r,g,b"),
    "a colour beyond 255": ("a,0,0,0\nb,0,0,256\n", "line 2 of .* a number that is not 0 to 255"),
    "a colour twice": ("# t\na,0,0,0\nb,1,1,1\nc,0,0,0\n", r"lines 2 and 4 .* the same colour \(0, 0, 0\) \(a, c\)"),
    "a value twice": ("Pixel Value,Class\n1,a\n1,b\n", r"lines 2 and 3 .* the same label value 1"),
    "a name twice": ("a,0,0,0\na,1,1,1\n", "names 'a' twice, in lines 1 and 2"),
    "a row cut short": ("name,r,g,b\na,0,0,0\nb,1,1\n", "line 3 of .* 'b,1,1'"),
    "one class": ("a,0,0,0\n", "names 1 classes; give 2 to 255"),
    "nothing": ("\n", "is empty"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_table_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "class_dict.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_class_table(tmp_path / "class_dict.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sky, road, car\n", "commas in its only line"),
        ("\nsky\nroad\n", "line 1 of .* is empty"),
        ("1 sky\n2 road\n", "begins with 1, but label values follow from the lines"),
        ("\n".join(map(str, range(1000, 1256))), "names 256 classes"),
    ],
)
def test_a_wrong_list_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        read_name_list(tmp_path / "classes.txt")


@pytest.mark.parametrize("text", ["2 wheels\ncar\n", "0 sky\n1 road\n", "sky\nroad"])
def test_names_may_hold_numbers(text: str, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text(text)
    assert read_name_list(tmp_path / "classes.txt").names == tuple(text.split("\n")[:2])


def test_two_lists_have_to_agree() -> None:
    names, colors = (
        ClassList(Path("classes.txt"), NAMES, (0, 1)),
        ClassList(Path("labelmap.txt"), NAMES, (0, 1), COLORS),
    )
    assert require_same_lists(Path(), [names, colors]) is colors
    for other in (names._replace(names=("cat", "background")), names._replace(values=(0, 2))):
        with pytest.raises(DataError, match=r"labelmap.txt and classes.txt list .* --exclude classes.txt"):
            require_same_lists(Path(), [colors, other])
    with pytest.raises(DataError, match="list different classes"):
        require_same_lists(Path(), [colors, colors._replace(file=Path("b.csv"), colors=((0, 0, 0), (1, 1, 1)))])
