"""Read text files of boxes and labels in every layout that data sets and trackers write.

The same reader serves ground truth, training and result files, and it is strict: a line that is not a box is refused,
with its file and line number. A reader that skipped an empty line would shift all later boxes by one frame, and an
infinite coordinate would become a number in some metric. Both would look like a weaker tracker.
"""

from __future__ import annotations

import codecs
import io
import math
import re
from typing import NoReturn

import numpy as np

from foundation.display_text import shorten_value
from foundation.errors import DataError
from foundation.text.user_text import MAX_TEXT_BYTES, decode_user_text
from tracking.data.boxes import BoolArray, FloatArray
from tracking.data.readers.zips import FileLike, read_file

MAX_COORDINATE = 1e9
"""Largest number of a box in pixels; beyond it areas would lose whole pixels, and at 1e155 they are infinite."""

_SEPARATOR_TABLE = str.maketrans(",\t", "  ")


def read_box_file(file: FileLike, *, allow_nan: bool = False, first_field: int | None = None) -> FloatArray:
    """Read the boxes of a text file: one ``x y w h`` per line, separated by comma, tab or spaces.

    Args:
        file: the file, or a member of a zip.
        allow_nan: allow lines of four ``NaN``, which mark an absent target in ground truth.
        first_field: index, from 0, of the first of four fields to read from lines with more fields (NfS); by default
            a line must have exactly four fields.

    Returns:
        x, y, width, height in pixels, shape (lines, 4); with ``first_field``, the values of those fields.

    Raises:
        DataError: the file is missing or empty, or a line is not four finite numbers (for example a polygon, an empty
            line, or another separator).
    """
    return parse_boxes(read_bytes(file), file, allow_nan=allow_nan, first_field=first_field)


def read_predicted_boxes(file: FileLike) -> FloatArray:
    """Read the boxes of a result file; see ``parse_predicted_boxes``.

    Args:
        file: the file, or a member of a zip.
    """
    return parse_predicted_boxes(read_bytes(file), file)


def parse_predicted_boxes(content: bytes, file: FileLike) -> FloatArray:
    """Parse the content of a result file. Widths and heights may be zero but not negative.

    Args:
        content: content of the file.
        file: where the content is from, for messages.

    Returns:
        x, y, width, height in pixels, shape (lines, 4).

    Raises:
        DataError: see ``read_box_file``; also if a width or height is negative.
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
    """Parse the content of a file of boxes; see ``read_box_file``.

    Args:
        content: content of the file.
        file: where the content is from, for messages.
        allow_nan: allow lines of four ``NaN``.
        first_field: index of the first of four fields to read.
    """
    lines = decode_lines(content, file)
    if first_field is not None:
        lines = [_select_fields(line, number, file, first_field) for number, line in enumerate(lines, 1)]
    boxes = _parse_lines(lines, file)
    # float() also reads "inf" and "nan", so the values are checked and not the text; NaN fails the comparison
    bad = ~(np.abs(boxes) <= MAX_COORDINATE).all(axis=1)
    if allow_nan:
        # all four or none: a line with one NaN is damaged
        bad &= ~np.isnan(boxes).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        what = (
            f"has a number beyond {MAX_COORDINATE:g} px"
            if np.isfinite(boxes[row]).all()
            else "is not four finite numbers"
        )
        _raise_line_error(file, row + 1, f"{what}: {shorten_value(lines[row].strip())}")
    return boxes


def read_label_file(file: FileLike, num_values: int) -> FloatArray:
    """Read one number per frame, on any number of lines (LaSOT: all on one line; GOT-10k: one per line).

    Args:
        file: the file, or a member of a zip.
        num_values: how many numbers the file must hold.

    Returns:
        Shape (num_values,).

    Raises:
        DataError: the file is missing or empty, has more or fewer numbers, or holds something that is not a finite
            number.
    """
    lines = [line.replace(",", " ").split() for line in decode_lines(read_bytes(file), file)]
    words = [word for line in lines for word in line]
    if len(words) != num_values:
        raise DataError(f"{file} has {len(words)} labels for {num_values} frames; fetch the annotation again")
    values = np.array([_parse_number(word) for word in words], np.float64)
    if not np.isfinite(values).all():
        # the line of the first bad label, for the message
        number = next(n for n, line in enumerate(lines, 1) if not all(math.isfinite(_parse_number(w)) for w in line))
        _raise_line_error(file, number, "holds a label that is not a finite number", "fetch the annotation again")
    return values


def read_flag_file(file: FileLike, num_values: int) -> BoolArray:
    """Read one flag per frame, 0 or 1, like ``read_label_file``.

    Args:
        file: the file, or a member of a zip.
        num_values: how many flags the file must hold.

    Returns:
        Booleans, shape (num_values,).

    Raises:
        DataError: see ``read_label_file``; also if a number is neither 0 nor 1.
    """
    labels = read_label_file(file, num_values)
    if not np.isin(labels, (0, 1)).all():
        raise DataError(f"{file} must hold 0 and 1 only; fetch the annotation again")
    return np.asarray(labels == 1)


def read_bytes(file: FileLike) -> bytes:
    """Return the content of a file.

    Args:
        file: the file, or a member of a zip.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return read_file(file, MAX_TEXT_BYTES)
    except OSError as error:
        raise DataError(f"cannot read {file} ({error.strerror or error}); fetch it again") from error


def decode_lines(content: bytes, file: FileLike) -> list[str]:
    """Return the lines of a file of numbers, up to the last one that is not empty.

    Args:
        content: content of the file.
        file: where the content is from, for messages.

    Raises:
        DataError: there is no line, or the file is in UTF-16.
    """
    # two bytes per character, as PowerShell writes; this raises, and says how to convert the file
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or content.count(0) * 3 > len(content):
        decode_user_text(content, file)
    # Latin-1 decodes any byte, so that a damaged line can be quoted in the message; numbers are the same in all
    # encodings. Some editors begin a file with the three bytes of a byte order mark
    text = content.removeprefix(codecs.BOM_UTF8).decode("latin-1")
    text = text.replace("\r\n", "\n").replace("\r", "\n").rstrip()
    if not text:
        raise DataError(f"{file} is empty; it needs a line for each frame")
    # not splitlines(), which also splits at rare characters such as form feeds and would shift the line numbers
    return text.split("\n")


def _select_fields(line: str, line_number: int, file: FileLike, first_field: int) -> str:
    """Return the four fields of a line from ``first_field`` on, as a line of their own."""
    fields = line.split()
    if not fields:
        _raise_line_error(file, line_number, "is empty")
    if len(fields) < first_field + 4:
        _raise_line_error(file, line_number, f"has {len(fields)} fields, too few for a box: {line.strip()[:60]!r}")
    return " ".join(fields[first_field : first_field + 4])


def _parse_lines(lines: list[str], file: FileLike) -> FloatArray:
    """Parse lines of four numbers each: quickly if all are sound, else line by line to find the faulty one."""
    text = "\n".join(lines)
    plain = text.translate(_SEPARATOR_TABLE)
    # two commas in a row are an empty field; once commas are replaced by spaces, it would no longer be visible. Of
    # separators alone loadtxt makes nothing, and warns
    if re.search(r",[ \t]*,", text) is None and plain.strip():
        try:
            boxes = np.loadtxt(io.StringIO(plain), dtype=np.float64, comments=None, ndmin=2)
        except ValueError:
            pass
        else:
            if boxes.shape == (len(lines), 4):  # loadtxt silently skips empty lines
                return boxes
    # something is wrong: find the line, for the message
    for number, line in enumerate(lines, 1):
        _require_box_line(line, number, file)
    raise DataError(f"{file} cannot be read as lines of x,y,w,h; write one box a line")


def _require_box_line(line: str, line_number: int, file: FileLike) -> None:
    """Check that a line is four numbers; a comma at its end is allowed.

    Raises:
        DataError: it is not.
    """
    fields = re.split(r"[ \t]*,[ \t]*|[ \t]+", line.strip().rstrip(","))
    if fields == [""]:
        _raise_line_error(file, line_number, "is empty")
    try:
        for field in fields:
            float(field)
    except ValueError:
        _raise_line_error(file, line_number, f"is not x,y,w,h separated by comma, tab or spaces: {line.strip()[:60]!r}")
    if len(fields) != 4:
        polygon = " (a polygon? convert it to a box)" if len(fields) == 8 else ""
        _raise_line_error(
            file, line_number, f"has {len(fields)} numbers{polygon}, not the 4 of x,y,w,h: {line.strip()[:60]!r}"
        )


def _parse_number(word: str) -> float:
    """Return a word as a number, or NaN if it is not one."""
    try:
        return float(word)
    except ValueError:
        return math.nan


def _raise_line_error(
    file: FileLike, line_number: int, problem: str, fix: str = "a box is four finite numbers x,y,w,h, one box a line"
) -> NoReturn:
    raise DataError(f"{file}, line {line_number}, {problem}; {fix}")
