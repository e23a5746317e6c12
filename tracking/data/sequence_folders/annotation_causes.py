"""Say why the lines of an annotation are not boxes x, y, w, h in pixels, and how to write them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from tracking.data.boxes import FloatArray, has_area

EDGE_TOLERANCE = 1.0
"""Pixels by which a box may end outside of its image, as positions that count from 1 do."""

_NUMBER = re.compile(r"[-+]?(\d+(?:\.\d*)?|\.\d+)(e[-+]?\d+)?|[-+]?nan", re.IGNORECASE)

_COMMA_PAIRS = re.compile(r"([0-9]+,[0-9]+[\s;]+){3}[0-9]+,[0-9]+")


def explain_lines(lines: Sequence[str]) -> str:
    """Return which line of an annotation is not a box, the likely cause and the cure, or an empty text.

    Args:
        lines: the lines of the file.
    """
    rows = [[word for word in re.split(r"[\s,;]+", line.strip()) if word] for line in lines]
    is_numeric = [all(_NUMBER.fullmatch(word) for word in row) for row in rows]
    if len(lines) > 1 and rows[0] and not any(_NUMBER.fullmatch(word) for word in rows[0]) and is_numeric[1]:
        return (
            f"line 1, is a header: {lines[0].strip()[:60]!r}; delete it, and write x,y,w,h of each frame in pixels, "
            "one frame a line"
        )
    if ";" in lines[0]:
        return "line 1, is separated by semicolons; write x,y,w,h with commas, and decimals with a point"
    # 1,5 2,5 3,0 4,0: with commas as separators these would be eight numbers, and a polygon
    pairs = (number for number, line in enumerate(lines, 1) if _COMMA_PAIRS.fullmatch(line.strip()))
    if (number := next(pairs, None)) is not None:
        return (
            f"line {number}, has four pairs with a comma in each: write decimals with a point, as 1.5,2.5,3,4, or four "
            "corners with commas alone, as x1,y1,x2,y2,x3,y3,x4,y4"
        )
    widths = {len(row) for row in rows}
    if len(widths) != 1 or not all(is_numeric):
        return ""
    return _explain_columns(np.array(rows, np.float64))


def _explain_columns(values: FloatArray) -> str:
    """Return what rows of too many numbers are likely to be, or an empty text."""
    columns = values.shape[1]
    first = values[:, 0]
    counts = len(first) > 1 and bool((np.diff(first) == 1).all())
    if columns == 5 and (values[:, 1:] >= 0).all() and (values[:, 1:] <= 1).all():
        return (
            "line 1, is a label of YOLO (class, centre and size as fractions of the image); write x,y,w,h in pixels, "
            "with x = (cx - w/2) * image width"
        )
    # a confidence follows boxes whose x may happen to count up; no target is a pixel high in all frames
    if columns == 5 and (values[:, 4] >= 0).all() and (values[:, 4] <= 1).all():
        return "line 1, ends with a number from 0 to 1, as a confidence; delete the last column, so that x,y,w,h remain"
    # after the fractions: YOLO's classes may happen to count up too
    if columns == 5 and counts:
        return "line 1, begins with the number of the frame; delete the first column, so that x,y,w,h remain"
    whole = len(first) > 1 and bool((values[:, :2] == np.round(values[:, :2])).all())
    if 6 <= columns <= 10 and whole and (first >= 0).all() and not np.isnan(values).any() and _is_sorted(values):
        return (
            f"line 1, has {columns} numbers, as rows of MOT (frame, target, x, y, w, h, ...); call the file gt/gt.txt"
        )
    return ""


def _is_sorted(values: FloatArray) -> bool:
    """Return whether rows are sorted by frame or by target, as those of MOT, and not as coordinates are."""
    if values.shape[1] != 8:
        return bool(np.isin(np.diff(values[:, :2], axis=0), (0, 1)).all(axis=0).any())
    # eight numbers are also four corners, of which the first hardly counts from the first frame on, and the fourth is
    # not within a pixel of the left edge in all frames, as a confidence is from 0 to 1
    frames, targets = values[:, 0], values[:, 1]
    is_confident = bool((values[:, 6] <= 1).all())
    by_frame = bool(np.isin(np.diff(frames), (0, 1)).all()) and frames[-1] > frames[0]
    goes_on = np.diff(targets) == 0
    by_target = bool(np.isin(np.diff(targets), (0, 1)).all() and (np.diff(frames)[goes_on] > 0).all())
    return (by_frame and (is_confident or frames[0] <= 1)) or (by_target and is_confident)


def explain_boxes(boxes: FloatArray, image_size: tuple[int, int] | None) -> str:
    """Return why boxes are not x, y, w, h in pixels of their images: the line, the likely cause and the cure.

    Boxes of four NaN or without area are frames without a target, which is fine.

    Args:
        boxes: the boxes as read, shape (frames, 4).
        image_size: width and height of the frames in pixels, if known.

    Returns:
        A part of a sentence; empty if nothing is wrong.
    """
    negative = (boxes[:, 2:] < 0).any(axis=1)
    if negative.any():
        row = int(negative.argmax())
        box = ",".join(f"{value:g}" for value in boxes[row])
        cause = (
            "a frame without a target is nan,nan,nan,nan or 0,0,0,0"
            if (boxes[row] < 0).all()
            else "if the numbers are two corners, write w = x2 - x1 and h = y2 - y1"
        )
        return f"line {row + 1}, has a negative width or height: {box}; {cause}"
    seen = boxes[has_area(boxes)]
    # a tracker has nothing to start from, and nothing would be scored
    if not len(seen):
        return "has no box with an area in any frame; write x,y,w,h in pixels"
    line = int(has_area(boxes).argmax()) + 1
    if (seen <= 1).all() and (seen >= 0).all():
        return (
            f"line {line}, and all others are numbers from 0 to 1, so fractions of the image; multiply x and w by its "
            "width, y and h by its height"
        )
    return _explain_places(boxes, image_size) if image_size is not None else ""


def _explain_places(boxes: FloatArray, image_size: tuple[int, int]) -> str:
    """Return why most boxes leave their images: they are corners, or belong to images of another size."""
    seen, size = has_area(boxes), np.array(image_size, np.float64)
    outer = boxes[:, :2] + boxes[:, 2:]
    leaves = seen & (outer > size + EDGE_TOLERANCE).any(axis=1)
    # boxes drawn by hand may reach beyond the image now and then, but not in most frames
    if leaves.sum() * 2 <= seen.sum():
        return ""
    row = int(leaves.argmax())
    place = f"line {row + 1}, ends outside of its image of {image_size[0]} x {image_size[1]} px, as {_say_most(leaves)}"
    as_corners = (boxes[seen, 2:] > boxes[seen, :2]).all() and (boxes[seen, 2:] <= size + EDGE_TOLERANCE).all()
    # only if all boxes could be corners: a single one that could not shows that they are something else
    if as_corners:
        return f"{place}; these look like corners x1,y1,x2,y2: write w = x2 - x1 and h = y2 - y1"
    outside = seen & (boxes[:, :2] >= size).any(axis=1)
    if outside.sum() * 2 > seen.sum():
        return f"{place}; the boxes belong to images of another size: scale them, or use the original frames"
    return ""


def _say_most(chosen: np.ndarray) -> str:
    return f"{int(chosen.sum()):,} of {len(chosen):,} boxes do"
