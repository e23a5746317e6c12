"""Segmentation metrics: pure functions on pixel counts per class.

Pixels are counted as integers (int64), image by image. The counts of all images are added before any ratio is taken,
so a score does not depend on the order of the images or on the batch size.
"""

# ruff: noqa: N815 - the field writes mIoU, aAcc and mAcc in mixed case

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError, IncompleteError
from segmentation.data.labels import IGNORE_INDEX

ClassAreas = NDArray[np.int64]
"""Pixels per class, (3, classes): rows are intersection, prediction and truth; ignored pixels are left out."""


class SegmentationScores(NamedTuple):
    """The scores that follow from the pixel counts, in percent.

    Attributes:
        mIoU: mean IoU over the classes that occur in truth or prediction (mmseg's definition).
        mIoU_all: mean IoU over all classes, where an absent class counts 0 (the official definition of ADE20K).
        aAcc: fraction of the pixels that are predicted correctly.
        mAcc: recall of each class, averaged over the classes that occur in the truth.
        num_present: number of classes that occur in truth or prediction.
        IoU: IoU of each class, (classes,); NaN for an absent class.
    """

    mIoU: float
    mIoU_all: float
    aAcc: float
    mAcc: float
    num_present: int
    IoU: NDArray[np.float64]


def count_class_areas(prediction: NDArray[Any], truth: NDArray[Any], num_classes: int) -> ClassAreas:
    """Count the pixels of each class in one image.

    Args:
        prediction: class indices 0 .. classes-1, (height, width).
        truth: class indices, (height, width); ``IGNORE_INDEX`` where a pixel is not scored.
        num_classes: number of classes.

    Returns:
        Intersection, prediction and truth of each class, in pixels, (3, classes).

    Raises:
        DataError: the two differ in shape, or a class index is out of range.

    >>> count_class_areas(np.array([[0, 1], [1, 1]]), np.array([[0, 0], [1, 255]]), num_classes=2)
    array([[1, 1],
           [1, 2],
           [2, 1]])
    """
    if prediction.shape != truth.shape:
        raise DataError(f"a prediction of {prediction.shape} cannot be scored against a truth of {truth.shape}")
    counts = truth != IGNORE_INDEX
    # one-dimensional from here on, (scored pixels,); np.bincount does not take every integer type
    found, real = prediction[counts].astype(np.int64), truth[counts].astype(np.int64)
    for what, numbers in (("prediction", found), ("truth", real)):
        if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < num_classes:
            raise DataError(f"a {what} has class {int(numbers.max())}, but classes are 0 to {num_classes - 1}")
    # np.bincount would silently append columns for a class that is too large, hence the check above
    members = (real[found == real], found, real)
    return np.stack([np.bincount(numbers, minlength=num_classes) for numbers in members])


def compute_segmentation_scores(class_areas: ClassAreas) -> SegmentationScores:
    """Compute all scores from the pixel counts of one image, or from their sum over images.

    Args:
        class_areas: intersection, prediction and truth of each class, in pixels, (3, classes).

    Raises:
        DataError: no pixel is labeled.

    >>> scores = compute_segmentation_scores(np.array([[1, 1, 0], [1, 2, 0], [2, 1, 0]]))
    >>> [round(value, 2) for value in scores[:5]]  # the third class is absent
    [50.0, 33.33, 66.67, 75.0, 2]
    """
    hit, found, real = class_areas
    union = found + real - hit  # |A or B| = |A| + |B| - |A and B|
    # an absent class is 0 / 0 = NaN, which marks it as absent; the means below leave it out
    with np.errstate(invalid="ignore", divide="ignore"):
        iou, accuracy = 100 * hit / union, 100 * hit / real
    if not real.sum():
        raise DataError("no labeled pixel was scored, so there is no score; check the label files")
    present = union > 0
    return SegmentationScores(
        mIoU=float(iou[present].mean()),
        mIoU_all=float(iou[present].sum() / len(iou)),  # an absent class adds 0 to the sum and 1 to the count
        aAcc=float(100 * hit.sum() / real.sum()),
        mAcc=float(accuracy[real > 0].mean()),  # a class that occurs in predictions only has no recall
        num_present=int(present.sum()),
        IoU=iou,
    )


def map_class_iou(total_scores: SegmentationScores, class_names: Sequence[str]) -> dict[str, float]:
    """Return the IoU in percent of each class that is present, by class name."""
    return {
        name: float(value) for name, value in zip(class_names, total_scores.IoU, strict=True) if not np.isnan(value)
    }


class ImageScores(NamedTuple):
    """One row of ``items.csv``: the scores of a single image in percent, its classes present and its scored pixels."""

    item: int
    name: str
    mIoU: float | None
    aAcc: float | None
    classes: int
    pixels: int


def score_image(item: int, name: str, class_areas: ClassAreas) -> ImageScores:
    """Score a single image; mIoU and aAcc are ``None`` where none of its pixels is labeled."""
    pixels = int(class_areas[2].sum())
    if not pixels:
        return ImageScores(item, name, None, None, 0, 0)
    own = compute_segmentation_scores(class_areas)
    return ImageScores(item, name, own.mIoU, own.aAcc, own.num_present, pixels)


def require_complete_items(items: Sequence[int], image_names: Sequence[str]) -> None:
    """Require that every image was scored exactly once.

    Args:
        items: indices of the scored images, in any order.
        image_names: name of every image that must be scored, by index.

    Raises:
        IncompleteError: an image is missing or was scored twice; the message names the first one.
    """
    times = np.bincount(np.asarray(items, np.int64), minlength=len(image_names))
    wrong = np.flatnonzero(times != 1)
    if len(times) > len(image_names):  # an index beyond the last image makes np.bincount longer than minlength
        raise IncompleteError(
            f"{len(items)} outcomes for {len(image_names)} images, so there is no score; run it again"
        )
    if wrong.size:
        first = int(wrong[0])
        raise IncompleteError(
            f"{len(items)} outcomes for {len(image_names)} images: {image_names[first]} was scored "
            f"{int(times[first])} times, so there is no score; run it again"
        )
