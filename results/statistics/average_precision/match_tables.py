"""Which detections of every image were right, at every IoU threshold and in every range of areas: one file for a run.

AP is not a mean over images: the detections of all images are sorted by their scores. So what is stored is what the
matching of each image gave, and AP is accumulated from it again, over all images or over some of them. The matching of
an image depends on no other image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.array_types import FloatArray, IntArray
from results.statistics.average_precision.metric_names import KIND_PREFIXES

NUM_THRESHOLDS = 10
"""IoU 0.50, 0.55 ... 0.95."""

NUM_AREAS = 4
"""All areas, small (up to 32 x 32 px), medium, large (from 96 x 96 px)."""

MAX_LABEL = 100_000
"""A label beyond is a damaged file: the largest set has some thousand categories."""

MATCH_DTYPE = np.dtype(
    [
        ("role", "u1"),
        ("label", "<i4"),
        ("image", "<i4"),
        ("score", "<f8"),
        ("found", "<u2", (NUM_AREAS,)),
        ("wrong", "<u2", (NUM_AREAS,)),
    ]
)
"""A row of the file. ``role`` is 0 for a box, 1 for the number of objects with boxes, 2 and 3 the same for masks.

- Of a detection, bit t of ``found[a]`` says whether it matched an object of area range a at threshold t, and bit t of
  ``wrong[a]`` whether it matched none. If neither bit is set it is ignored: it matched a crowd or an object of another
  area, or has another area itself.
- Of the objects of a label in an image, ``found[a]`` is their number in area range a without the ignored ones.

Rows are sorted by role, label and image; the detections of a label in an image by falling score, at most 100.
"""

MatchArray = NDArray[Any]
"""Rows of ``MATCH_DTYPE``, (rows,)."""


class MatchTable(NamedTuple):
    """The matches of all images for boxes or for masks, in the order of the file.

    Attributes:
        num_images: number of images, those without objects and detections included.
        labels, images: of each detection, (n,).
        scores: of each detection, (n,).
        found, wrong: bits of the thresholds by area range, (n, 4), uint16; see ``MATCH_DTYPE``.
        object_labels, object_images: of each pair of a label and an image with objects, (m,).
        object_counts: number of objects by area range, (m, 4).
    """

    num_images: int
    labels: IntArray
    images: IntArray
    scores: FloatArray
    found: NDArray[np.uint16]
    wrong: NDArray[np.uint16]
    object_labels: IntArray
    object_images: IntArray
    object_counts: IntArray


def join_match_tables(tables: Mapping[str, MatchTable]) -> MatchArray:
    """Return the rows of the file.

    Args:
        tables: the matches by kind, ``box`` and if there are masks ``mask``.
    """
    parts = []
    for role, kind in enumerate(KIND_PREFIXES):
        if kind not in tables:
            continue
        table = tables[kind]
        # zeros first: a file must not hold what was in memory before
        detections = np.zeros(len(table.labels), MATCH_DTYPE)
        detections["role"], detections["label"], detections["image"] = 2 * role, table.labels, table.images
        detections["score"], detections["found"], detections["wrong"] = table.scores, table.found, table.wrong
        objects = np.zeros(len(table.object_labels), MATCH_DTYPE)
        objects["role"], objects["label"], objects["image"] = 2 * role + 1, table.object_labels, table.object_images
        objects["found"] = table.object_counts
        parts += [detections, objects]
    return np.concatenate(parts)


def split_match_tables(rows: MatchArray, num_images: int) -> dict[str, MatchTable]:
    """Return the tables by kind from the rows of a file that anybody may have made.

    Args:
        rows: the rows of the file.
        num_images: number of images of the run.

    Raises:
        ValueError: the rows are not what a run writes.
    """
    if rows.dtype != MATCH_DTYPE or rows.ndim != 1:
        raise ValueError(f"it holds {rows.ndim}-dimensional {rows.dtype}, not rows of matches")
    # wide integers, since the products below would overflow
    role, label, image = (rows[name].astype(np.int64) for name in ("role", "label", "image"))
    if len(rows) and (role.max() > 3 or label.min() < 0 or label.max() > MAX_LABEL):
        raise ValueError("a row has a role or a label that cannot be")
    if len(rows) and (image.min() < 0 or image.max() >= num_images):
        raise ValueError(f"a row is of an image beyond the {num_images} of the table")
    # one rising number for the three keys of the order
    place = (role * (MAX_LABEL + 1) + label) * num_images + image
    if (np.diff(place) < 0).any():
        raise ValueError("its rows are not sorted by label and image")
    is_object = role % 2 == 1
    # each pair of a label and an image has one number of objects
    if (np.diff(place[is_object]) == 0).any():
        raise ValueError("it counts the objects of an image twice")
    # what follows holds for detections; of objects "found" is a number
    detections = rows[~is_object]
    if not np.isfinite(detections["score"]).all():
        raise ValueError("a score is not a finite number")
    if ((detections["found"] | detections["wrong"]) >> NUM_THRESHOLDS).any():
        raise ValueError("a detection is matched at a threshold that there is not")
    if (detections["found"] & detections["wrong"]).any():
        raise ValueError("a detection is both right and wrong")
    # equal scores keep the order of the results file, so only a rise is wrong
    falls = (np.diff(place[~is_object]) != 0) | (np.diff(detections["score"]) <= 0)
    if not falls.all():
        raise ValueError("the detections of an image are not sorted by their scores")
    return {
        kind: _make_table(rows[role == 2 * number], rows[role == 2 * number + 1], num_images)
        for number, kind in enumerate(KIND_PREFIXES)
        if (role // 2 == number).any()
    }


def _make_table(detections: MatchArray, objects: MatchArray, num_images: int) -> MatchTable:
    def widen(rows: MatchArray, name: str) -> IntArray:
        return np.asarray(rows[name], np.int64)

    return MatchTable(
        num_images,
        widen(detections, "label"),
        widen(detections, "image"),
        np.asarray(detections["score"], np.float64),
        detections["found"],
        detections["wrong"],
        widen(objects, "label"),
        widen(objects, "image"),
        widen(objects, "found"),
    )
