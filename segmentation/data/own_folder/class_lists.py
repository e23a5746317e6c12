"""Read a list of classes, with the label value or the colour of each one, as common tools write it. Imports no torch.

=====================  =====================================================  ==================================
file                   a line                                                 who writes it
=====================  =====================================================  ==================================
``classes.txt``        ``NAME``; line k, counted from 0, is label k           anybody
``labelmap.txt``       ``NAME:R,G,B:parts:actions``                           CVAT, Datumaro
``class_dict.csv``     ``name,r,g,b`` under such a header                     CamVid and others on Kaggle
``_classes.csv``       ``Pixel Value, Class`` under such a header             Roboflow
``label_colors.txt``   ``R G B NAME``                                         CamVid as published
=====================  =====================================================  ==================================
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from engine.data.data_options import format_exclusion
from foundation.errors import DataError
from foundation.text.user_names import normalize_name
from foundation.text.user_text import read_user_text
from segmentation.data.labels import MAX_CLASSES, RgbTriple

NAME_LIST = "classes.txt"
TABLE_FILES = ("labelmap.txt", "class_dict.csv", "_classes.csv", "label_colors.txt")
"""Names, in lower case, of the tables that are looked for."""

# parts and actions after the second colon are for other tasks than ours
_COLON_LINE = re.compile(r"([^:]+):\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*(?::.*)?")
_COLOR_FIRST_LINE = re.compile(r"(\d+)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\S.*)")
# "cat 0 0 0", "cat,0,0,0", "cat: 0 0 0"
_COLOR_END = re.compile(r".*[^\d\s,;:][\s,;:]+\(?\d{1,3}[\s,;]+\d{1,3}[\s,;]+\d{1,3}\)?[\s,;:]*")
# "3: cat", "3 cat": a number of its own before the name
_NUMBERED_LINE = re.compile(r"(\d+)(?:\s*[:;,=\t]\s*|\s+)\S")
_HEADER_WORDS = {
    **dict.fromkeys(("name", "class", "classname", "label", "labelname", "category"), "name"),
    **dict.fromkeys(("r", "red"), "r"),
    **dict.fromkeys(("g", "green"), "g"),
    **dict.fromkeys(("b", "blue"), "b"),
    **dict.fromkeys(("pixelvalue", "value", "labelvalue", "id", "index"), "value"),
}


class ClassList(NamedTuple):
    """The classes of a data set as a file lists them.

    Attributes:
        file: the file; for classes that are facts of a published set, what they are called in messages.
        names: name of each class.
        values: label value of each class; with colors the number of the color.
        colors: color of each class in the label files; empty if they hold numbers.
        ignored: label values that are not scored, besides 255.
    """

    file: Path
    names: tuple[str, ...]
    values: tuple[int, ...]
    colors: tuple[RgbTriple, ...] = ()
    ignored: tuple[int, ...] = ()

    def describe(self) -> str:
        """Describe the list in a few words, for a note."""
        kind = "colours" if self.colors else "classes"
        shown = ", ".join(self.names[:4]) + (", ..." if len(self.names) > 4 else "")
        return f"{self.file.name}: {len(self.names)} {kind} ({shown})"


class _TableLine(NamedTuple):
    number: int
    name: str
    value: int | None
    color: RgbTriple | None


def read_name_list(file: Path) -> ClassList:
    """Read ``classes.txt``: line k, counted from 0, names the class of label k.

    Raises:
        DataError: the file is not text in UTF-8, has an empty line between names, or names a class twice.
    """
    # split at line feeds alone: splitlines would also break a name at a form feed or a Unicode separator
    lines = [line.strip() for line in read_user_text(file).split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    # leaving the line out would give every later name the label before
    if "" in lines:
        raise DataError(
            f"line {lines.index('') + 1} of {file} is empty, so it is not clear which label the names after it have; "
            "line k, counted from 0, is label k: remove the line, or name the class"
        )
    _require_line_numbers(file, lines)
    # as names they would be taken for classes, and the colors for nothing
    if len(lines) > 1 and all(_COLOR_END.fullmatch(line) for line in lines):
        raise DataError(
            f"{file} has a colour in every line ({lines[0]}), and a list of names has none; save it as class_dict.csv "
            "with name,r,g,b in each line, or write the names alone if the label files hold numbers"
        )
    # a list for a program, and not one name with commas in it, as "building, edifice" of ADE20K
    if len(lines) == 1 and "," in lines[0]:
        raise DataError(f"{file} names 1 classes, with commas in its only line; write one name per line")
    return _check_list(ClassList(file, tuple(lines), tuple(range(len(lines)))), range(1, len(lines) + 1))


def read_class_table(file: Path) -> ClassList:
    """Read a table of classes with their colors or label values, whatever tool wrote it.

    Raises:
        DataError: the file is not such a table; the message names the line.
    """
    lines = [(number, line.strip()) for number, line in enumerate(read_user_text(file).split("\n"), start=1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not lines:
        raise DataError(f"{file} is empty; it should list the classes, one per line, with name and colour")
    # the columns are found by their names, because tools write them in different orders
    header = _read_header(lines[0][1])
    rows = [_parse_line(file, number, line, header) for number, line in (lines[1:] if header else lines)]
    names = tuple(row.name for row in rows)
    colors = tuple(row.color for row in rows if row.color is not None)
    values = tuple(range(len(rows))) if colors else tuple(row.value for row in rows if row.value is not None)
    numbers = [row.number for row in rows]
    # of two equal colors the second would never be found
    for what, column in (("colour", colors), ("label value", values)):
        if (twin := _find_twin(column)) is not None:
            first, second = twin
            raise DataError(
                f"lines {numbers[first]} and {numbers[second]} of {file} have the same {what} {column[first]} "
                f"({names[first]}, {names[second]}), so their pixels cannot be told apart; correct one of them"
            )
    return _check_list(ClassList(file, names, values, colors), numbers)


def require_same_lists(root: Path, lists: Sequence[ClassList]) -> ClassList:
    """Return the class list to use where several files list the classes: they must agree, and colors come first.

    Args:
        root: the data folder.
        lists: what the files say.

    Raises:
        DataError: two of them differ.
    """
    # a list without colors says nothing about masks of colors, one with colors says all
    chosen = next((each for each in lists if each.colors), lists[0])
    for other in lists:
        same = other.names == chosen.names and other.values == chosen.values
        if not same or (other.colors and other.colors != chosen.colors):
            # Roboflow has one in each split; the file of --colours may lie elsewhere
            inside = [each.file for each in (other, chosen) if each.file.is_relative_to(root)]
            cure = (
                f", or leave it out with {format_exclusion(inside[0].relative_to(root).as_posix())}" if inside else ""
            )
            raise DataError(
                f"{chosen.file} and {other.file} list different classes ({len(chosen.names)} and {len(other.names)}), "
                f"so the labels have two meanings; remove the wrong one{cure}"
            )
    return chosen


def _read_header(line: str) -> dict[str, int]:
    """Return the place of each known column; empty if the line is not a header."""
    cells = [re.sub(r"[^a-z]", "", cell.lower()) for cell in line.split(",")]
    places = {_HEADER_WORDS[cell]: place for place, cell in reversed(list(enumerate(cells))) if cell in _HEADER_WORDS}
    # a class named "r" is no header: it takes all three channels, or a label value
    has_kind = {"r", "g", "b"} <= places.keys() or "value" in places
    return places if has_kind and "name" in places and len(cells) >= 2 else {}


def _parse_line(file: Path, number: int, line: str, header: dict[str, int]) -> _TableLine:
    if header:
        cells = next(csv.reader([line], skipinitialspace=True))
        try:
            if {"r", "g", "b"} <= header.keys():
                color = tuple(int(cells[header[channel]]) for channel in ("r", "g", "b"))
                return _make_line(file, number, cells[header["name"]], None, color)
            return _make_line(file, number, cells[header["name"]], int(cells[header["value"]]))
        except (ValueError, IndexError):
            pass
    elif found := _COLON_LINE.fullmatch(line):
        return _make_line(file, number, found[1], None, tuple(map(int, found.group(2, 3, 4))))
    elif found := _COLOR_FIRST_LINE.fullmatch(line):
        return _make_line(file, number, found[4], None, tuple(map(int, found.group(1, 2, 3))))
    elif (
        (cells := [cell.strip() for cell in line.split(",")])[1:]
        and len(cells) == 4
        and all(cell.isdecimal() for cell in cells[1:])
    ):
        return _make_line(file, number, cells[0], None, tuple(map(int, cells[1:])))
    raise DataError(
        f"line {number} of {file} is {line[:40]!r}, which is not a class with its colour; write name,r,g,b in each "
        "line (or NAME:R,G,B:: as CVAT does)"
    )


def _make_line(file: Path, number: int, name: str, value: int | None, color: tuple[int, ...] = ()) -> _TableLine:
    if not name.strip() or any(not 0 <= each <= 255 for each in color or (value or 0,)):
        raise DataError(f"line {number} of {file} has no name, or a number that is not 0 to 255; correct it")
    return _TableLine(number, name.strip(), value, (color[0], color[1], color[2]) if color else None)


def _check_list(found: ClassList, numbers: Sequence[int]) -> ClassList:
    """Require 1 to 255 different names.

    Args:
        found: the list.
        numbers: line number of each class, for messages.
    """
    if not 2 <= len(found.names) <= MAX_CLASSES:
        # many lists leave out what is not an object
        hint = " (the background is a class too)" if len(found.names) == 1 else ""
        raise DataError(f"{found.file} names {len(found.names)} classes; give 2 to {MAX_CLASSES}, one per line{hint}")
    if (twin := _find_twin(found.names)) is not None:
        first, second = twin
        raise DataError(
            f"{found.file} names {found.names[first]!r} twice, in lines {numbers[first]} and {numbers[second]}, so the "
            "two would share one line of the results; give each class a name of its own"
        )
    return found


def _find_twin(values: Sequence[object]) -> tuple[int, int] | None:
    """Return the places of the first two equal values."""
    seen: dict[object, int] = {}
    for place, value in enumerate(values):
        # two names that look the same are the same in a table of results
        key = normalize_name(value) if isinstance(value, str) else value
        if key in seen:
            return seen[key], place
        seen[key] = place
    return None


def _require_line_numbers(file: Path, lines: Sequence[str]) -> None:
    """Refuse lines that all begin with a number which is not that of the line: the numbers would have no effect."""
    found = [_NUMBERED_LINE.match(line) for line in lines]
    numbers = [int(match[1]) for match in found if match]
    if len(numbers) == len(lines) and numbers != list(range(len(lines))):
        raise DataError(
            f"line 1 of {file} begins with {numbers[0]}, but label values follow from the lines: line k, counted from "
            "0, is label k; write the names alone in this order, or a _classes.csv with the header Pixel Value, Class"
        )
