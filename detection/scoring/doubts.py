"""Find what would give a wrong number although every detection is possible. Imports no torch.

Boxes as corners, as fractions or around their center, and categories counted in their order, are legal numbers. They
are found by comparing with the objects: read otherwise, the detections fit them far better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from detection.data.ground_truth import Category, DetectionSplit
from detection.scoring.detections import DetectionColumns
from detection.scoring.plausibility import (
    HIT_IOU,
    MIN_DETECTIONS,
    describe_falling_scores,
    find_nearest_objects,
    list_oddities,
)
from foundation.array_types import FloatArray, IntArray
from foundation.display_text import shorten_value

MAX_OUTSIDE_SHARE = 0.1
"""Share of boxes that reach outside of their image from which on they are not pixels of this image."""

OUTSIDE_PIXELS = 2.0
MIN_GAIN = 0.1
"""How much better, as a mean IoU or a share, another reading must fit."""

TRIED_DETECTIONS = 5_000
"""The detections with the highest scores; of a detector that works they lie on objects."""

RESIZED_SIDES = range(160, 1601, 32)
"""Sides in pixels of the images that detectors read; with a step of 32, one of them is within a tenth of any other."""

MIN_RESIZED = 20
"""Detections that must show it before boxes are held for those of resized images; a few fit by chance."""

MIN_SHOWN = 5
"""Detections of a category from which on it is said which one it stands for."""

MIN_EXCHANGED = 0.6
"""Share of the best detections on an object whose category must be right if each category stands for another one."""

LOW_FIT = 0.15
"""Mean IoU of the best detections with the objects of their category below which something may be wrong with them."""

EMPTY_SHARE = 0.1
"""Share of the images with objects that may be without detections before a part is suspected."""

PER_IMAGE = 100


def list_doubts(split: DetectionSplit, categories: Sequence[Category], detections: DetectionColumns) -> Iterator[str]:
    """Yield why the detections look as if they were written in another way than COCO's, one clause each.

    Args:
        split: the images and their objects.
        categories: of the ground truth.
        detections: as they were read.
    """
    if not len(detections) or not len(split.annotations):
        return
    # detections with low scores lie on background, whatever their format is
    best = np.argsort(-detections.scores, kind="stable")[:TRIED_DETECTIONS]
    doubt = _find_category_doubt(split, categories, detections, best)
    if doubt := doubt or _find_exchanged_doubt(split, categories, detections, best):
        yield doubt
    sizes = np.array([[image.width, image.height] for image in split.images], np.float64)[detections.images]
    if doubt := _find_format_doubt(split, detections, sizes, best):
        yield doubt
        return  # boxes of another format also reach outside, so that would say the same twice
    if detections.boxes is None:  # masks lie within their image
        return
    over = detections.boxes[:, :2] + detections.boxes[:, 2:] - sizes
    outside = np.asarray((over > OUTSIDE_PIXELS).any(1) | (detections.boxes[:, :2] < -OUTSIDE_PIXELS).any(1))
    if outside.mean() > MAX_OUTSIDE_SHARE:
        yield (
            f"{int(outside.sum()):,} of {len(outside):,} boxes reach outside of their image; a bbox is left, top, "
            "width, height in pixels of the original image, not corners and not pixels of a resized one"
        )


def list_warnings(split: DetectionSplit, detections: DetectionColumns) -> Iterator[str]:
    """Yield what a reader of the number should know, one sentence each."""
    if warning := _describe_low_fit(split, detections):
        yield warning
    if detections.boxes is not None and detections.masks is not None:
        yield (
            "the detections have boxes and masks: mask AP by size goes by the area of the masks (where a bbox stays in "
            "the results, pycocotools alone goes by the boxes)"
        )
    # images without objects may well have no detections
    objects = np.unique(split.annotations.images[~split.annotations.is_crowd])
    empty = len(np.setdiff1d(objects, detections.images))
    if len(objects) and empty > EMPTY_SHARE * len(objects):
        yield (
            f"{empty:,} of {len(objects):,} images with objects have no detections, and each counts as searched in "
            "vain; if only a part was searched, score it against annotations of that part"
        )
    count = _count_duplicates(detections)
    if count:
        yield f"{count:,} detections are there twice (same image, category, score and place); each counts as wrong"
    most = int(np.bincount(detections.images).max(initial=0))
    if most > PER_IMAGE:
        yield (
            f"an image has {most:,} detections: COCO allows {PER_IMAGE} an image, and the official code keeps "
            f"{PER_IMAGE} of each category, so AP is higher than that of the {PER_IMAGE} best"
        )
    if len(detections) >= MIN_DETECTIONS:
        order = np.argsort(-detections.scores, kind="stable")
        best = order[:TRIED_DETECTIONS]
        yield from list_oddities(split, detections, _select_boxes(detections, best), best)
        half = min(TRIED_DETECTIONS, len(order) // 2)
        ends = np.concatenate([order[:half], order[-half:]])
        if warning := describe_falling_scores(split, detections.images[ends], _select_boxes(detections, ends)):
            yield warning


def _count_duplicates(detections: DetectionColumns) -> int:
    columns = [detections.images, detections.labels, detections.scores]
    if detections.boxes is not None:
        columns += list(detections.boxes.T)
    elif detections.masks is not None:
        # equal run lengths are equal masks
        texts = [each["counts"] for each in detections.masks]
        columns.append(np.unique(np.array(texts, dtype=object), return_inverse=True)[1] if texts else np.zeros(0))
    rows = np.stack([np.asarray(column, np.float64) for column in columns], 1)
    return len(rows) - len(np.unique(rows, axis=0))


def _find_category_doubt(
    split: DetectionSplit, categories: Sequence[Category], detections: DetectionColumns, best: IntArray
) -> str | None:
    """Compare how many detections are of a category that their image has, as they are and counted in order."""
    ids = np.array([category.id for category in categories])
    rows = split.annotations
    # crowds too: a detection of a crowd is of a category that the image has
    present = np.zeros((len(split), len(categories)), np.bool_)
    present[rows.images, rows.labels] = True
    images, labels = detections.images[best], detections.labels[best]
    for start in (0, 1):
        counted = ids[labels] - start  # if the id was the number of the category in their order
        # the first ids of COCO are their own numbers; they say nothing
        differ = counted != labels
        if not differ.any() or counted.min() < 0 or counted.max() >= len(ids):
            continue
        share = float(present[images, labels][differ].mean())
        other = float(present[images, counted][differ].mean())
        if other > 2 * share + MIN_GAIN:
            return (
                f"{100 * share:.0f} % of the best detections are of a category that their image has, and "
                f"{100 * other:.0f} % if the category_id is the number of the category in their order, counted from "
                f"{start}; write the ids of the annotation file"
            )
    return None


def _find_exchanged_doubt(
    split: DetectionSplit, categories: Sequence[Category], detections: DetectionColumns, best: IntArray
) -> str | None:
    """Find categories that stand for others, as where they were counted in the alphabetical order of their names.

    Which one stands for which is learned from one half of the images and tried on the other, so that chance gives it no
    gain. A detector that confuses categories has several for one; here each must stand for another.
    """
    nearest = find_nearest_objects(split, detections.images[best], _select_boxes(detections, best))
    hits = nearest.ious >= HIT_IOU
    images, labels, truth = detections.images[best][hits], detections.labels[best][hits], nearest.labels[hits]
    if len(labels) < MIN_DETECTIONS:
        return None
    counts = np.zeros((2, len(categories), len(categories)), np.int64)
    np.add.at(counts, (images % 2, labels, truth), 1)
    learned = counts[::-1].argmax(2)  # of the other half
    share, other = float((labels == truth).mean()), float((learned[images % 2, labels] == truth).mean())
    both = counts.sum(0)
    common = np.flatnonzero(both.sum(1) >= MIN_SHOWN)
    meant = both[common].argmax(1)
    if other <= max(2 * share, MIN_EXCHANGED) or len(common) < 2 or len(np.unique(meant)) < 0.8 * len(common):
        return None
    pairs = [(categories[a], categories[b]) for a, b in zip(common.tolist(), meant.tolist(), strict=True) if a != b]
    shown = ", ".join(f"{shorten_value(a.name)} ({a.id}) on {shorten_value(b.name)} ({b.id})" for a, b in pairs[:3])
    return (
        f"the categories look exchanged: {100 * share:.0f} % of the best detections on an object have its category, "
        f"and {100 * other:.0f} % if each category stands for another one; those of {shown}. Were they counted in "
        "another order, such as that of their names? Write the ids of the annotation file"
    )


def _find_format_doubt(
    split: DetectionSplit, detections: DetectionColumns, sizes: FloatArray, best: IntArray
) -> str | None:
    """Compare how well the boxes fit the objects of their category as they are and read in other ways."""
    # width, height, width, height: what fractions are multiplied with
    boxes, scale = _select_boxes(detections, best), np.tile(sizes[best], 2)
    places = _pair_objects(split, detections, best)
    fit = _measure_fit(split, boxes, places)
    readings: dict[str, Callable[[], FloatArray]] = {
        "corners (left, top, right, bottom)": lambda: np.c_[boxes[:, :2], boxes[:, 2:] - boxes[:, :2]],
        "center, width and height": lambda: np.c_[boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]],
        "fractions of the image": lambda: boxes * scale,
        "fractions of the image around the center": lambda: np.c_[
            (boxes[:, :2] - boxes[:, 2:] / 2) * scale[:, :2], boxes[:, 2:] * scale[:, 2:]
        ],
        "corners as fractions of the image": lambda: np.c_[boxes[:, :2], boxes[:, 2:] - boxes[:, :2]] * scale,
        "x and y exchanged": lambda: boxes[:, [1, 0, 3, 2]],
        "mirrored from left to right": lambda: np.c_[scale[:, 0] - boxes[:, 0] - boxes[:, 2], boxes[:, 1:]],
        "upside down": lambda: np.c_[boxes[:, 0], scale[:, 1] - boxes[:, 1] - boxes[:, 3], boxes[:, 2:]],
    }
    if detections.boxes is None:  # a mask has the size of its image, so that it can only lie elsewhere in it
        readings = {name: readings[name] for name in ("mirrored from left to right", "upside down")}
    for name, read in readings.items():
        # boxes that are right fit their objects badly in any other reading
        other = _measure_fit(split, read(), places)
        if other > 1.5 * fit + MIN_GAIN:
            return (
                f"the best boxes look like {name}: read so, their mean IoU with objects of their category is "
                f"{other:.2f}, as they are {fit:.2f}; a bbox is left, top, width, height in pixels"
            )
    return None if detections.boxes is None else _find_resized_doubt(split, boxes, sizes[best], places)


def _select_boxes(detections: DetectionColumns, best: IntArray) -> FloatArray:
    """Return the boxes of some detections, of masks the boxes around them: left, top, width, height, (n, 4)."""
    if detections.boxes is not None:
        return np.asarray(detections.boxes[best])
    assert detections.masks is not None
    return np.asarray(coco_mask.toBbox([dict(detections.masks[row]) for row in best.tolist()]), np.float64)


def _describe_low_fit(split: DetectionSplit, detections: DetectionColumns) -> str | None:
    """Return a warning if the best detections lie beside the objects, for whatever reason."""
    if len(detections) < MIN_RESIZED or not len(split.annotations):
        return None
    best = np.argsort(-detections.scores, kind="stable")[:TRIED_DETECTIONS]
    fit = _measure_fit(split, _select_boxes(detections, best), _pair_objects(split, detections, best))
    if fit >= LOW_FIT:
        return None
    return (
        f"the detections with the highest scores hardly lie on objects of their category (mean IoU {fit:.2f}, of a "
        "detector that works above 0.3): look at some of them over their images, they may be of other images, turned, "
        "or run lengths counted row by row"
    )


def _find_resized_doubt(
    split: DetectionSplit, boxes: FloatArray, sizes: FloatArray, places: Sequence[IntArray]
) -> str | None:
    """Compare how well boxes fit as they are and as pixels of the resized images that a detector reads.

    Only images whose size would differ by a tenth say anything: of COCO's, most have a longer side of 640 px.
    """
    found: list[tuple[float, float, str]] = []
    for side in RESIZED_SIDES:
        longer = np.repeat(sizes.max(1, keepdims=True), 2, 1)
        for name, factors in ((f"longer side of {side} px", longer / side), (f"square of {side} px", sizes / side)):
            rows = np.flatnonzero(np.abs(factors - 1).max(1) > MIN_GAIN)
            own = [places[row] for row in rows.tolist()]
            if sum(map(bool, map(len, own))) < MIN_RESIZED:
                continue
            fit = _measure_fit(split, boxes[rows], own)
            other = _measure_fit(split, boxes[rows] * np.tile(factors[rows], 2), own)
            found.append((other - fit, fit, name))
    gain, fit, name = max(found, default=(0.0, 0.0, ""))
    if gain <= 0.5 * fit + MIN_GAIN:
        return None
    return (
        f"the best boxes look like pixels of images that were resized to a {name}, or nearly so: read so, their mean "
        f"IoU with objects of their category is {fit + gain:.2f}, as they are {fit:.2f}; a bbox is left, top, width, "
        "height in pixels of the original image"
    )


def _pair_objects(split: DetectionSplit, detections: DetectionColumns, best: IntArray) -> list[IntArray]:
    """Return the rows of the objects of its category in its image, for each detection."""
    rows, found = split.annotations, []
    for image, label in zip(detections.images[best].tolist(), detections.labels[best].tolist(), strict=True):
        span = rows.find_rows(image)
        found.append(span.start + np.flatnonzero((rows.labels[span] == label) & ~rows.is_crowd[span]))
    return found


def _measure_fit(split: DetectionSplit, boxes: FloatArray, places: Sequence[IntArray]) -> float:
    """Return the mean, over the detections with such objects, of the best IoU with them; 0 without any."""
    sizes = [len(each) for each in places]
    if not sum(sizes):
        return 0.0
    objects = split.annotations.boxes[np.concatenate(places)]
    # one row for each pair of a detection and an object; reduceat then takes the best of each detection
    ours = np.repeat(boxes, sizes, 0)
    low, high = np.maximum(ours[:, :2], objects[:, :2]), np.minimum(_find_ends(ours), _find_ends(objects))
    shared = np.maximum(high - low, 0).prod(1)
    # a misread box may have a negative size; its area is 0
    total = np.maximum(ours[:, 2:], 0).prod(1) + objects[:, 2:].prod(1) - shared
    iou = np.where(total > 0, shared / np.maximum(total, 1e-12), 0.0)
    starts = np.cumsum([0, *sizes])[:-1][np.array(sizes) > 0]
    return float(np.maximum.reduceat(iou, starts).mean())


def _find_ends(boxes: FloatArray) -> FloatArray:
    return np.asarray(boxes[:, :2] + boxes[:, 2:])
