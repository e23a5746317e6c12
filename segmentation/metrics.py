"""Segmentation metrics: pure functions on pixel areas counted in whole numbers, one pass over the images."""

# ruff: noqa: N815 - mIoU, aAcc and mAcc are the field's own names

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError, IncompleteError
from segmentation.data.labels import IGNORE_INDEX

ClassAreas = NDArray[np.int64]
"""Pixels by class, (3, classes): of the intersection, of the prediction, of the truth; only where truth counts."""


class SegmentationScores(NamedTuple):
    """What follows from areas; shares in percent.

    Attributes:
        mIoU: mean IoU over the classes that occur in truth or prediction (mmseg's definition).
        mIoU_all: mean IoU over all classes, an absent one counting 0 (the official definition of ADE20K).
        aAcc: share of right pixels.
        mAcc: mean over the classes that occur in the truth of the share of their pixels found.
        num_present: classes that occur in truth or prediction.
        IoU: by class; NaN for an absent one.
    """

    mIoU: float
    mIoU_all: float
    aAcc: float
    mAcc: float
    num_present: int
    IoU: NDArray[np.float64]


def count_class_areas(prediction: NDArray[Any], truth: NDArray[Any], num_classes: int) -> ClassAreas:
    """Count one image.

    Args:
        prediction: class numbers 0 .. classes-1, (height, width).
        truth: class numbers, ``IGNORE_INDEX`` where a pixel does not count, of the same shape.
        num_classes: how many there are.

    Raises:
        DataError: other shapes, or a class number that is none.

    >>> count_class_areas(np.array([[0, 1], [1, 1]]), np.array([[0, 0], [1, 255]]), num_classes=2)
    array([[1, 1],
           [1, 2],
           [2, 1]])
    """
    if prediction.shape != truth.shape:
        raise DataError(f"a prediction of {prediction.shape} cannot be scored against a truth of {truth.shape}")
    counts = truth != IGNORE_INDEX
    found, real = prediction[counts].astype(np.int64), truth[counts].astype(np.int64)
    for what, numbers in (("prediction", found), ("truth", real)):
        if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < num_classes:
            raise DataError(f"a {what} has class {int(numbers.max())}, but classes are 0 to {num_classes - 1}")
    members = (real[found == real], found, real)
    return np.stack([np.bincount(numbers, minlength=num_classes) for numbers in members])


def compute_segmentation_scores(class_areas: ClassAreas) -> SegmentationScores:
    """Scores of areas summed over images.

    >>> compute_segmentation_scores(np.array([[1, 1, 0], [1, 2, 0], [2, 1, 0]]))[:5]
    (50.0, 33.333333333333336, 66.66666666666667, 75.0, 2)
    """
    hit, found, real = class_areas
    union = found + real - hit
    with np.errstate(invalid="ignore", divide="ignore"):
        iou, accuracy = 100 * hit / union, 100 * hit / real
    if not real.sum():
        raise DataError("no labelled pixel was scored, so there is no number")
    present = union > 0
    return SegmentationScores(
        mIoU=float(iou[present].mean()),
        mIoU_all=float(iou[present].sum() / len(iou)),
        aAcc=float(100 * hit.sum() / real.sum()),
        mAcc=float(accuracy[real > 0].mean()),
        num_present=int(present.sum()),
        IoU=iou,
    )


def map_class_iou(total_scores: SegmentationScores, class_names: Sequence[str]) -> dict[str, float]:
    """IoU by name of the classes present."""
    return {
        name: float(value) for name, value in zip(class_names, total_scores.IoU, strict=True) if not np.isnan(value)
    }


class ImageScores(NamedTuple):
    """One scored image: its own scores (percent), and how many pixels count."""

    item: int
    name: str
    mIoU: float | None
    aAcc: float | None
    classes: int
    pixels: int


def score_image(item: int, name: str, class_areas: ClassAreas) -> ImageScores:
    """The row of an image; without scores where no pixel counts."""
    pixels = int(class_areas[2].sum())
    if not pixels:
        return ImageScores(item, name, None, None, 0, 0)
    own = compute_segmentation_scores(class_areas)
    return ImageScores(item, name, own.mIoU, own.aAcc, own.num_present, pixels)


def require_complete_items(items: Sequence[int], image_names: Sequence[str]) -> None:
    """Pass only item numbers 0 .. len(names)-1, each once.

    Raises:
        IncompleteError: otherwise, with the first image that is missing or double.
    """
    times = np.bincount(np.asarray(items, np.int64), minlength=len(image_names))
    wrong = np.flatnonzero(times != 1)
    if len(times) > len(image_names):
        raise IncompleteError(f"{len(items)} outcomes for {len(image_names)} images; there is no number")
    if wrong.size:
        first = int(wrong[0])
        raise IncompleteError(
            f"{len(items)} outcomes for {len(image_names)} images: {image_names[first]} was scored "
            f"{int(times[first])} times; there is no number"
        )
