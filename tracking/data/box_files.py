"""Plain text files of boxes and of labels, in every layout that data sets and trackers write.

There is one reader for ground truth, training and result files, and it is strict: a line that is not a box is refused
with its file and line. A reader that passes over an empty line shifts every box after it by a frame, and an infinite
coordinate becomes a number in some metric; both look like a weaker tracker.
"""

from __future__ import annotations

import io
import math
import re
from typing import NoReturn

import numpy as np

from foundation.errors import DataError
from tracking.data.boxes import BoolArray, FloatArray
from tracking.data.readers.zips import FileLike

_SEPARATOR_TABLE = str.maketrans(",\t", "  ")


def read_box_file(file: FileLike, *, allow_nan: bool = False, first_field: int | None = None) -> FloatArray:
    """The boxes of a text file, one ``x y w h`` a line with comma, tab or spaces between, and any line ends.

    Args:
        file: the file, or a member of a zip.
        allow_nan: a line may be four ``NaN``: ground truth of a target that is absent.
        first_field: take four fields from this one on (from 0) of lines that have more of them (NfS); default: a line
            has four fields and no other.

    Returns:
        (n, 4) x, y, w, h in pixels; with ``first_field``, what stands in those fields.

    Raises:
        DataError: the file is missing or empty, or a line is not four finite numbers (a polygon, another delimiter, an
            empty line ...).
    """
    return parse_boxes(_read_bytes(file), file, allow_nan=allow_nan, first_field=first_field)


def read_predicted_boxes(file: FileLike) -> FloatArray:
    """The boxes of a result file; see ``parse_predicted_boxes``."""
    return parse_predicted_boxes(_read_bytes(file), file)


def parse_predicted_boxes(content: bytes, file: FileLike) -> FloatArray:
    """The boxes of a result file's content; sizes may be zero, never negative.

    Args:
        content: of the file.
        file: where it is from, for messages.

    Raises:
        DataError: as ``read_box_file``, and for a negative width or height.
    """
    boxes = parse_boxes(content, file)
    negative = (boxes[:, 2:] < 0).any(axis=1)
    if negative.any():
        row = int(negative.argmax())
        _raise_line_error(file, row + 1, f"has a negative width or height: {boxes[row].tolist()}")
    return boxes


def parse_boxes(
    content: bytes, file: FileLike, *, allow_nan: bool = False, first_field: int | None = None
) -> FloatArray:
    """``read_box_file`` of a content that is read already."""
    lines = _decode_lines(content, file)
    if first_field is not None:
        lines = [_select_fields(line, number, file, first_field) for number, line in enumerate(lines, 1)]
    boxes = _parse_lines(lines, file)
    bad = ~np.isfinite(boxes).all(axis=1)
    if allow_nan:
        bad &= ~np.isnan(boxes).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        _raise_line_error(file, row + 1, f"is not four finite numbers: {lines[row].strip()!r}")
    return boxes


def read_label_file(file: FileLike, num_values: int) -> FloatArray:
    """One number a frame, in any layout of lines (LaSOT: one line of 0 and 1; GOT-10k: a line a frame).

    Args:
        file: the file, or a member of a zip.
        num_values: how many numbers it must hold.

    Raises:
        DataError: the file is missing or empty, holds something that is not a finite number, or has more or fewer
            numbers.
    """
    lines = [line.replace(",", " ").split() for line in _decode_lines(_read_bytes(file), file)]
    words = [word for line in lines for word in line]
    if len(words) != num_values:
        raise DataError(f"{file} has {len(words)} labels for {num_values} frames; fetch the annotation again")
    values = np.array([_parse_number(word) for word in words], np.float64)
    if not np.isfinite(values).all():
        number = next(n for n, line in enumerate(lines, 1) if not all(math.isfinite(_parse_number(w)) for w in line))
        _raise_line_error(file, number, "holds a label that is not a finite number", "fetch the annotation again")
    return values


def read_flag_file(file: FileLike, num_values: int) -> BoolArray:
    """``read_label_file`` of 0 and 1, as booleans.

    Raises:
        DataError: also for any other number.
    """
    labels = read_label_file(file, num_values)
    if not np.isin(labels, (0, 1)).all():
        raise DataError(f"{file} must hold 0 and 1 only; fetch the annotation again")
    return np.asarray(labels == 1)


def _read_bytes(file: FileLike) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {file} ({error.strerror or error}); fetch it again") from error


def _decode_lines(content: bytes, file: FileLike) -> list[str]:
    """The lines up to the last that is not empty. Latin-1 takes every byte, so that the line can be named."""
    text = content.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n").rstrip()
    if not text:
        raise DataError(f"{file} is empty; it needs a line for each frame")
    return text.split("\n")


def _select_fields(line: str, line_number: int, file: FileLike, first_field: int) -> str:
    fields = line.split()
    if not fields:
        _raise_line_error(file, line_number, "is empty")
    if len(fields) < first_field + 4:
        _raise_line_error(file, line_number, f"has {len(fields)} fields, too few for a box: {line.strip()[:60]!r}")
    return " ".join(fields[first_field : first_field + 4])


def _parse_lines(lines: list[str], file: FileLike) -> FloatArray:
    text = "\n".join(lines)
    # two commas in a row are an empty field, which the table of separators would hide
    if re.search(r",[ \t]*,", text) is None:
        try:
            plain = text.translate(_SEPARATOR_TABLE)
            boxes = np.loadtxt(io.StringIO(plain), dtype=np.float64, comments=None, ndmin=2)
        except ValueError:
            pass
        else:
            if boxes.shape == (len(lines), 4):  # loadtxt passes over empty lines without a word
                return boxes
    for number, line in enumerate(lines, 1):
        _require_box_line(line, number, file)
    raise DataError(f"{file} cannot be read as lines of x,y,w,h; write one box a line")


def _require_box_line(line: str, line_number: int, file: FileLike) -> None:
    fields = re.split(r"[ \t]*,[ \t]*|[ \t]+", line.strip().rstrip(","))
    if fields == [""]:
        _raise_line_error(file, line_number, "is empty")
    try:
        for field in fields:
            float(field)
    except ValueError:
        _raise_line_error(file, line_number, f"is not x,y,w,h separated by comma, tab or spaces: {line.strip()[:60]!r}")
    if len(fields) != 4:
        polygon = " (a polygon? boxes are wanted)" if len(fields) == 8 else ""
        _raise_line_error(
            file, line_number, f"has {len(fields)} numbers{polygon}, not the 4 of x,y,w,h: {line.strip()[:60]!r}"
        )


def _parse_number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _raise_line_error(
    file: FileLike, line_number: int, problem: str, fix: str = "a box is four finite numbers x,y,w,h, one box a line"
) -> NoReturn:
    raise DataError(f"{file}, line {line_number}, {problem}; {fix}")
