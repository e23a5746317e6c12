"""Reads plain files of boxes and of labels; whatever is not one is refused with file and line."""

from __future__ import annotations

import io
import re
from typing import NoReturn

import numpy as np

from foundation.errors import DataError
from tracking.data.readers.zips import FileLike
from tracking.scoring.metrics import BoolArray, FloatArray

_SEPARATOR_TABLE = str.maketrans(",\t", "  ")


def read_box_file(path: FileLike, allow_nan: bool = False) -> FloatArray:
    """Boxes of a text file, one ``x y w h`` a line; comma, tab or spaces, any line ends.

    Args:
        path: the file.
        allow_nan: a line may be four ``NaN`` (ground truth of an absent target).

    Returns:
        n x 4, float64.

    Raises:
        DataError: empty, not four finite numbers in some line (a polygon, another delimiter, an empty line ...).
    """
    text = _read_text(path)
    boxes = _parse_boxes(text, path)
    bad = ~np.isfinite(boxes).all(axis=1)
    if allow_nan:
        bad &= ~np.isnan(boxes).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        _raise_line_error(path, row + 1, f"is not four finite numbers: {text.splitlines()[row].strip()!r}")
    return boxes


def read_predicted_boxes(path: FileLike) -> FloatArray:
    """Boxes of a result file; sizes may be zero, never negative.

    Raises:
        DataError: as ``read_box_file``, and for a negative width or height.
    """
    boxes = read_box_file(path)
    negative = (boxes[:, 2:] < 0).any(axis=1)
    if negative.any():
        row = int(negative.argmax())
        _raise_line_error(path, row + 1, f"has a negative width or height: {boxes[row].tolist()}")
    return boxes


def read_label_file(path: FileLike, num_values: int) -> FloatArray:
    """One number a frame, in any layout of lines (LaSOT: one line of 0 and 1; GOT-10k: a line a frame).

    Raises:
        DataError: missing, not numbers, or not ``num_values`` of them.
    """
    words = _read_text(path).replace(",", " ").split()
    if len(words) != num_values:
        raise DataError(f"{path} has {len(words)} labels for {num_values} frames; fetch the annotation again")
    try:
        return np.array(words, dtype=np.float64)
    except ValueError as error:
        raise DataError(f"{path} holds something that is no number ({error}); fetch the annotation again") from error


def read_flag_file(path: FileLike, num_values: int) -> BoolArray:
    """``read_label_file`` of 0 and 1 as booleans.

    Raises:
        DataError: also for any other number.
    """
    labels = read_label_file(path, num_values)
    if not np.isin(labels, (0, 1)).all():
        raise DataError(f"{path} must hold 0 and 1 only; fetch the annotation again")
    return np.asarray(labels == 1)


def _read_text(path: FileLike) -> str:
    try:
        text = path.read_bytes().decode("latin-1")
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror or error})") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n").rstrip()
    if not text:
        raise DataError(f"{path} is empty")
    return text


def _parse_boxes(text: str, path: FileLike) -> FloatArray:
    if re.search(r",[ \t]*,", text) is None:
        try:
            plain = text.translate(_SEPARATOR_TABLE)
            boxes = np.loadtxt(io.StringIO(plain), dtype=np.float64, comments=None, ndmin=2)
        except ValueError:
            pass
        else:
            if boxes.shape == (text.count("\n") + 1, 4):  # loadtxt skips empty lines without a word
                return boxes
    for number, line in enumerate(text.split("\n"), 1):
        _require_box_line(line, number, path)
    raise DataError(f"{path} could not be read as lines of x,y,w,h")


def _require_box_line(line: str, line_number: int, path: FileLike) -> None:
    fields = re.split(r"[ \t]*,[ \t]*|[ \t]+", line.strip().rstrip(","))
    if fields == [""]:
        _raise_line_error(path, line_number, "is empty")
    try:
        for field in fields:
            float(field)
    except ValueError:
        _raise_line_error(path, line_number, f"is not x,y,w,h separated by comma, tab or spaces: {line.strip()[:60]!r}")
    if len(fields) != 4:
        polygon = " (a polygon? boxes are wanted)" if len(fields) == 8 else ""
        _raise_line_error(
            path, line_number, f"has {len(fields)} numbers{polygon}, not the 4 of x,y,w,h: {line.strip()[:60]!r}"
        )


def _raise_line_error(path: FileLike, line_number: int, problem: str) -> NoReturn:
    raise DataError(f"{path}, line {line_number}, {problem}")
