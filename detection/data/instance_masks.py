"""Masks as annotation files have them: polygons, and run lengths in two forms. Imports no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from detection.data.ground_truth import InstanceMask, PolygonMask, RleMask
from foundation.display_text import shorten_value

MIN_POINTS = 3
"""Points of the smallest polygon."""


def parse_mask(value: Any, height: int, width: int) -> InstanceMask | None:
    """Convert a mask of an annotation file.

    Args:
        value: the field ``segmentation``: a list of polygons ``[x1, y1, x2, y2, ...]``, or run lengths with ``size``
            and ``counts``, whose counts are a list (uncompressed) or a text (compressed).
        height: of the image, pixels.
        width: of the image, pixels.

    Returns:
        The mask; ``None`` if there is none (``null`` or an empty list).

    Raises:
        ValueError: what is wrong with it, as the end of a sentence.
    """
    if value is None or value == []:
        return None
    if isinstance(value, list):
        polygons = [_parse_polygon(each) for each in value]
        _require_near(polygons, height, width)
        return polygons
    if isinstance(value, dict):
        return _parse_run_lengths(value, height, width)
    raise ValueError(f"is {shorten_value(value)}, and neither a list of polygons nor run lengths")


def _parse_polygon(value: Any) -> NDArray[np.float64]:
    if not isinstance(value, list):
        raise ValueError(f"has the polygon {shorten_value(value)}, which is not a list of numbers")
    if len(value) % 2 or len(value) < 2 * MIN_POINTS:
        # pycocotools would take four numbers for a box
        raise ValueError(f"has a polygon of {len(value)} numbers; it takes x and y of at least {MIN_POINTS} points")
    # by type, as numpy would take texts and truth values for numbers too
    if not set(map(type, value)) <= {int, float}:
        raise ValueError("has a polygon with something else than numbers in it")
    try:
        points = np.array(value, np.float64)
    except OverflowError as error:
        raise ValueError("has a polygon with a number that is too large") from error
    if not np.isfinite(points).all():
        raise ValueError("has a polygon with a number that is too large")
    return points.reshape(-1, 2)


def _require_near(polygons: PolygonMask, height: int, width: int) -> None:
    """Refuse polygons that reach farther out of their image than its longer side.

    pycocotools walks along each outline in steps of a fifth of a pixel, and keeps every step: one corner at 10^8 px
    takes the memory of the machine, and may end the process.
    """
    side = max(height, width)
    for points in polygons:
        if points.min() < -side or points.max() > 2 * side:
            raise ValueError(
                f"has a polygon from {points.min():g} to {points.max():g}, far outside of its image of {width} x "
                f"{height} px; x and y are pixels of this image"
            )


def _parse_run_lengths(value: dict[str, Any], height: int, width: int) -> RleMask:
    size, counts = value.get("size"), value.get("counts")
    if size != [height, width]:
        raise ValueError(
            f"has run lengths for the size {shorten_value(size)}, and the image is {height} x {width} (height, width)"
        )
    if isinstance(counts, list):
        if not all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in counts):
            raise ValueError("has run lengths that are not whole numbers from 0 on")
        if sum(counts) != height * width:
            raise ValueError(
                f"has run lengths of {sum(counts):,} pixels together, and the image has {height * width:,}"
            )
        packed: RleMask = coco_mask.frPyObjects({"size": size, "counts": counts}, height, width)
        return packed
    # pycocotools reads beyond the end of what is no such text
    if not isinstance(counts, str) or not counts.isascii():
        raise ValueError("has run lengths without counts (a list or COCO's compressed text)")
    packed = {"size": [height, width], "counts": counts.encode()}
    require_whole_runs(packed)
    return packed


def require_whole_runs(mask: RleMask) -> None:
    """Require that compressed run lengths cover exactly the pixels of their image.

    Args:
        mask: compressed run lengths.

    Raises:
        ValueError: they do not, as the end of a sentence.
    """
    height, width = mask["size"]
    runs = unpack_counts(mask["counts"])
    if sum(runs) != height * width or min(runs, default=0) < 0:
        raise ValueError(f"has run lengths that do not add up to the {height * width:,} pixels of the image")


def unpack_counts(counts: bytes) -> list[int]:
    """Decode COCO's compressed run lengths.

    Each number is written in pieces of 5 bits, the lowest first, as characters from "0" on; bit 6 says that more follow
    and the highest bit of the last piece is the sign. From the fourth number on it is the difference to the number two
    places before.

    Args:
        counts: the text, as bytes.

    Raises:
        ValueError: a character that does not occur in such a text, or a number that does not end.

    >>> unpack_counts(b"52203")
    [5, 2, 2, 2, 5]
    """
    runs: list[int] = []
    number, shift = 0, 0
    for byte in counts:
        piece = byte - 48
        if not 0 <= piece < 64 or shift > 60:
            raise ValueError("has run lengths that are not in COCO's compressed form")
        number |= (piece & 31) << shift
        shift += 5
        if piece & 32:
            continue
        if piece & 16:
            number -= 1 << shift
        runs.append(number + runs[-2] if len(runs) > 2 else number)
        number, shift = 0, 0
    if shift:
        raise ValueError("has run lengths that end in the middle of a number")
    return runs


def pack_mask(mask: InstanceMask, height: int, width: int) -> RleMask:
    """Return compressed run lengths of a mask; polygons are filled as pycocotools does.

    Args:
        mask: the mask.
        height: of the image, pixels.
        width: of the image, pixels.
    """
    if isinstance(mask, dict):
        return mask
    parts = coco_mask.frPyObjects([outline.ravel().tolist() for outline in mask], height, width)
    merged: RleMask = coco_mask.merge(parts)
    return merged


def measure_mask(mask: InstanceMask, height: int, width: int) -> tuple[float, list[float]]:
    """Return the pixels of a mask, and the box (left, top, width, height) around it, in pixels."""
    packed = pack_mask(mask, height, width)
    if isinstance(mask, dict):
        return float(coco_mask.area(packed)), [float(value) for value in coco_mask.toBbox(packed)]
    return float(coco_mask.area(packed)), bound_polygons(mask)


def bound_polygons(polygons: PolygonMask) -> list[float]:
    """Return the box (left, top, width, height) around polygons, in pixels."""
    points = np.concatenate(polygons)
    low, high = points.min(0), points.max(0)
    return [float(value) for value in (*low, *(high - low))]
