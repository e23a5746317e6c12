"""Warn where the detections as a whole look unlike those of a detector. Imports no torch.

Each check is cheap and needs no knowledge of the detector: what it warns of is legal, and moves AP silently.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from detection.data.ground_truth import DetectionSplit
from detection.scoring.detections import DetectionColumns
from foundation.array_types import FloatArray, IntArray

MIN_DETECTIONS = 20
"""Fewer detections than this may look like anything."""

HIT_IOU = 0.5
TWIN_IOU = 0.9
"""Boxes of one category that overlap by more are one object found twice; suppression begins at 0.5 to 0.7."""

TWIN_SHARE = 0.1
LOWEST_SCORE = 0.2
"""Detectors are evaluated from scores of 0.001 to 0.05 on; a higher threshold takes away recall."""

EQUAL_IOU = 1 - 1e-6
COUNTED = 100
"""Detections of a category and an image that the metric looks at."""

CHANCE = 1e-6
"""Probability below which images without detections in a row are no coincidence."""


class NearestObjects(NamedTuple):
    """The object of any category that each detection overlaps most: its label (-1: none is touched), and the IoU."""

    labels: IntArray
    ious: FloatArray


def find_nearest_objects(split: DetectionSplit, images: IntArray, boxes: FloatArray) -> NearestObjects:
    """Find the single object that each box overlaps most, whatever its category.

    Args:
        split: images and objects.
        images: index of the image of each box, (n,).
        boxes: left, top, width, height in pixels, (n, 4).
    """
    rows = split.annotations
    labels, ious = np.full(len(boxes), -1, np.int64), np.zeros(len(boxes))
    for image in np.unique(images).tolist():
        own, span = np.flatnonzero(images == image), rows.find_rows(image)
        objects = span.start + np.flatnonzero(~rows.is_crowd[span])
        if len(objects):
            found = np.asarray(coco_mask.iou(boxes[own], rows.boxes[objects], np.zeros(len(objects))))
            best = found.argmax(1)
            ious[own] = found.max(1)
            labels[own] = np.where(ious[own] > 0, rows.labels[objects][best], -1)
    return NearestObjects(labels, ious)


def list_oddities(
    split: DetectionSplit, detections: DetectionColumns, boxes: FloatArray, best: IntArray
) -> Iterator[str]:
    """Yield what is odd about the detections, one sentence each.

    Args:
        split: images and objects.
        detections: as they were read, twenty or more.
        boxes: of the best detections, or those around their masks, (len(best), 4).
        best: rows of the detections with the highest scores, the highest first.
    """
    scores = detections.scores
    if scores.min() == scores.max():
        yield (
            f"all {len(scores):,} detections have the score {scores[0]:g}: AP then depends on their order in the file "
            "alone; write the confidence of each"
        )
    elif scores.min() >= LOWEST_SCORE:
        yield (
            f"no score is below {scores.min():.3g}: if the detector left out detections below a threshold, AP is lower "
            "than it would be with all of them; detectors are evaluated from 0.001 to 0.05 on"
        )
    # boxes around masks are whole numbers
    if (
        detections.boxes is not None
        and detections.masks is None
        and (detections.boxes == np.round(detections.boxes)).all()
    ):
        yield "all boxes are whole numbers: rounding costs AP (50.5 becomes 43.9 where fractions are cut off)"
    twins = count_twins(detections.images[best], detections.labels[best], boxes)
    if twins > TWIN_SHARE * len(best):
        yield (
            f"{twins:,} of the {len(best):,} best detections lie on a better one of their category (IoU above "
            f"{TWIN_IOU:g}), and each counts as wrong: overlapping detections were not removed (non-maximum "
            "suppression), or the results of two searches were joined"
        )
    nearest = find_nearest_objects(split, detections.images[best], boxes)
    if detections.boxes is not None and (nearest.ious > EQUAL_IOU).mean() > 0.5:
        yield (
            f"{int((nearest.ious > EQUAL_IOU).sum()):,} of the {len(best):,} best boxes are equal to those of objects "
            "to the last digit, as those of no detector are: is this the ground truth?"
        )
    hits = nearest.ious >= HIT_IOU
    right = float((nearest.labels == detections.labels[best])[hits].mean()) if hits.any() else 1.0
    if hits.mean() > 0.3 and right < 0.2:
        yield (
            f"{100 * hits.mean():.0f} % of the best detections lie on an object, but only {100 * right:.0f} % of these "
            "have its category: are the category ids right?"
        )
    if warning := _describe_empty_images(split, detections):
        yield warning


def count_twins(images: IntArray, labels: IntArray, boxes: FloatArray) -> int:
    """Count the detections that overlap a better one of their image and category nearly wholly.

    Args:
        images: index of the image of each detection, (n,), the best first.
        labels: of the category, (n,).
        boxes: left, top, width, height in pixels, (n, 4).

    >>> count_twins(np.zeros(3, int), np.zeros(3, int), np.array([[0, 0, 9, 9.0], [0, 0, 9, 9.1], [5, 5, 9, 9]]))
    1
    """
    order = np.lexsort((np.arange(len(images)), labels, images))
    keys = np.stack([images[order], labels[order]], 1)
    starts = np.flatnonzero((keys[1:] != keys[:-1]).any(1)) + 1
    count = 0
    for group in np.split(order, starts):
        if len(group) > 1:
            chosen = boxes[group[:COUNTED]]
            found = np.asarray(coco_mask.iou(chosen, chosen, np.zeros(len(chosen))))
            # below the diagonal: against the better ones
            count += int((np.tril(found, -1) > TWIN_IOU).any(1).sum())
    return count


def _describe_empty_images(split: DetectionSplit, detections: DetectionColumns) -> str | None:
    """Describe images without detections that look as if they had not been searched."""
    counts = np.bincount(detections.images, minlength=len(split))
    rows = split.annotations
    with_objects = np.unique(rows.images[~rows.is_crowd])
    empty = counts[with_objects] == 0
    if not empty.any() or empty.all():
        return None
    # images are sorted by id, in which order they are searched: a search that ended early has none from there on
    first, last = np.flatnonzero(~empty)[[0, -1]].tolist()
    inside = empty[first : last + 1]
    share = max(float(inside.mean()), 1 / len(empty))
    for length, where in ((len(empty) - 1 - last, "last"), (first, "first")):
        if length and share**length < CHANCE:
            return (
                f"the {length:,} {where} images with objects, in the order of their ids, have no detections: was a "
                "part of the images not searched?"
            )
    filled = counts[with_objects][~empty]
    if np.quantile(filled, 0.01) >= 10:
        return (
            f"{int(empty.sum()):,} of {len(empty):,} images with objects have no detections, and 99 % of the others "
            f"have {int(np.quantile(filled, 0.01))} or more: were they searched?"
        )
    return None


def describe_falling_scores(split: DetectionSplit, images: IntArray, boxes: FloatArray) -> str | None:
    """Describe scores that are the wrong way round: the lowest lie on objects, and the highest do not.

    Args:
        split: images and objects.
        images: of the detections by falling score, the best half and then the worst, (2 n,).
        boxes: left, top, width, height in pixels, (2 n, 4).
    """
    hits = find_nearest_objects(split, images, boxes).ious >= HIT_IOU
    half = len(hits) // 2
    high, low = float(hits[:half].mean()), float(hits[half:].mean())
    if low <= 2 * high + 0.1:
        return None
    return (
        f"{100 * low:.0f} % of the detections with the lowest scores lie on an object and {100 * high:.0f} % of those "
        "with the highest: the score must rise with the confidence"
    )
