"""Read the annotation of one target: a line for each frame, as a box, a rotated box (VOT) or a mask (VOT)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

import numpy as np

from foundation.errors import DataError
from tracking.data.box_files import decode_lines, parse_boxes, read_bytes
from tracking.data.boxes import FloatArray
from tracking.data.sequence_folders.annotation_causes import explain_boxes, explain_lines

RegionKind = Literal["box", "polygon", "mask"]

REGION_NOTES: dict[RegionKind, str] = {
    "polygon": "boxes of four corners became the smallest upright box around them, as in pytracking",
    "mask": "masks became the smallest upright box around their pixels",
}

MAX_MASK_NUMBER = 2**31
"""Larger numbers are no pixels, and sums of them would not fit into whole numbers."""

ABSENT_BOX = (np.nan,) * 4


class Annotation(NamedTuple):
    """The boxes of one target.

    Attributes:
        boxes: x, y, width, height in pixels, shape (frames, 4); NaN in frames without the target.
        kind: what the lines were.
    """

    boxes: FloatArray
    kind: RegionKind


def read_annotation(path: Path, image_size: tuple[int, int] | None) -> Annotation:
    """Read an annotation with one line for each frame.

    Args:
        path: the file.
        image_size: width and height of the frames in pixels, if known.

    Raises:
        DataError: a line is not a box in pixels; the message names the line, the likely cause and the cure.
    """
    content = read_bytes(path)
    lines = decode_lines(content, path)
    kind = _find_region_kind(lines)
    try:
        boxes = parse_boxes(content, path, allow_nan=True) if kind == "box" else _parse_regions(lines, kind, path)
        cause = explain_lines(lines) if kind == "polygon" else ""
    except DataError as error:
        cause = explain_lines(lines)
        if not cause:
            raise
        raise DataError(f"{path}, {cause}") from error
    cause = cause or explain_boxes(boxes, image_size)
    if cause:
        raise DataError(f"{path}, {cause}")
    return Annotation(boxes, kind)


def polygon_to_box(corners: Sequence[float]) -> tuple[float, float, float, float]:
    """Return the smallest upright box around a polygon.

    This is how pytracking (``pytracking/evaluation/votdataset.py`` at 7eb9e74b) and OSTrack read VOT for one pass
    without restarts. The box of got10k's toolkit, which has the area of the rotated box, is smaller.

    Args:
        corners: x1, y1, x2, y2, ... in pixels.

    >>> polygon_to_box([5, 0, 10, 5, 5, 10, 0, 5])
    (0, 0, 10, 10)
    """
    across, down = corners[0::2], corners[1::2]
    return min(across), min(down), max(across) - min(across), max(down) - min(down)


def mask_to_box(numbers: Sequence[int]) -> tuple[float, float, float, float] | None:
    """Return the smallest upright box around the pixels of a mask, or ``None`` for an empty one.

    Args:
        numbers: x, y, width and height of a window in pixels, then the lengths of runs of its pixels row by row, which
            alternate between background and target and begin with background (VOT toolkit, ``vot/region/io.py``).

    >>> mask_to_box([10, 20, 4, 3, 5, 2, 2, 2])  # two pixels in the middle of each of the lower rows
    (11, 21, 2, 2)
    """
    left, top, width, _ = numbers[:4]
    ends = np.cumsum(np.array(numbers[4:], np.int64))
    # every second run is of the target; its first and last pixel, counted row by row
    firsts, lasts = ends[:-1:2], ends[1::2] - 1
    is_filled = firsts <= lasts
    firsts, lasts = firsts[is_filled], lasts[is_filled]
    if not len(firsts):
        return None
    is_wrapped = firsts // width != lasts // width
    # a run that goes on in the next row touches both sides of the window
    x = 0 if is_wrapped.any() else int((firsts % width).min())
    right = width - 1 if is_wrapped.any() else int((lasts % width).max())
    y, bottom = int(firsts.min()) // width, int(lasts.max()) // width
    return left + x, top + y, right - x + 1, bottom - y + 1


def _find_region_kind(lines: Sequence[str]) -> RegionKind:
    """Return what the lines are: masks if one is, polygons if one has 8 numbers, else boxes."""
    # one line decides, as the others may be frames without a target
    if any(line.lstrip().startswith("m") for line in lines):
        return "mask"
    return "polygon" if any(len(_split_fields(line)) == 8 for line in lines) else "box"


def _parse_regions(lines: Sequence[str], kind: RegionKind, path: Path) -> FloatArray:
    """Return the box of each line of VOT's format. Lines of NaN, and VOT's code 0, are frames without the target.

    Raises:
        DataError: a line is something else; the message names it.
    """
    boxes = []
    for number, line in enumerate(lines, 1):
        fields = _split_fields(line.strip().removeprefix("m"))
        try:
            values = [float(field) for field in fields]
        except ValueError:
            _raise_region_error(path, number, line, kind)
        is_mask = line.strip().startswith("m")
        if values and (np.isnan(values).all() or (values == [0] and not is_mask)):
            boxes.append(ABSENT_BOX)
        elif not np.isfinite(values).all() or is_mask != (kind == "mask"):
            _raise_region_error(path, number, line, kind)
        elif is_mask and len(values) >= 4 and _is_mask(values):
            boxes.append(mask_to_box([int(value) for value in values]) or ABSENT_BOX)
        elif not is_mask and len(values) == 8:
            boxes.append(polygon_to_box(values))
        else:
            _raise_region_error(path, number, line, kind)
    return np.array(boxes, np.float64)


def _is_mask(values: Sequence[float]) -> bool:
    """Return whether numbers are a window in which the runs of pixels fit."""
    whole = all(value == int(value) and abs(value) <= MAX_MASK_NUMBER for value in values)
    return whole and min(values[2:]) >= 0 and sum(values[4:]) <= values[2] * values[3]


def _split_fields(line: str) -> list[str]:
    return re.split(r"[ \t]*,[ \t]*|[ \t]+", line.strip().rstrip(","))


def _raise_region_error(path: Path, number: int, line: str, kind: RegionKind) -> NoReturn:
    form = {"mask": "a mask of VOT (m and whole numbers)", "polygon": "four corners, x1,y1 to x4,y4"}.get(kind, "a box")
    raise DataError(
        f"{path}, line {number}, is not {form} as other lines are: {line.strip()[:60]!r}; write all lines in one form, "
        "and nan,nan,nan,nan where there is no target"
    )
