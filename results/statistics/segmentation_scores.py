"""Segmentation scores computed from pixel areas, over all images and with each image left out in turn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from foundation.array_types import FloatArray

AreaArray = NDArray[np.int64]
"""Pixel counts (n, 3, classes). The three kinds are intersection, prediction and ground truth, in this order."""


def _mean_iou_present(totals: FloatArray) -> FloatArray:
    # rows 1 and 2 are prediction and ground truth: a class counts if any pixel was predicted as it or belongs to it
    present = (totals[..., 1:, :].sum(-2) > 0).sum(-1)
    return np.asarray(100 * _class_iou(totals).sum(-1) / np.maximum(present, 1))


def _mean_iou_all(totals: FloatArray) -> FloatArray:
    # divide by the number of all classes, so that an absent class counts as 0: the official definition of ADE20K
    return np.asarray(100 * _class_iou(totals).mean(-1))


def _pixel_accuracy(totals: FloatArray) -> FloatArray:
    return 100 * _safe_divide(totals[..., 0, :].sum(-1), totals[..., 2, :].sum(-1))


def _mean_class_accuracy(totals: FloatArray) -> FloatArray:
    real = totals[..., 2, :]  # accuracy is recall per class, so it is defined only for classes in the ground truth
    return np.asarray(100 * _safe_divide(totals[..., 0, :], real).sum(-1) / np.maximum((real > 0).sum(-1), 1))


def _class_iou(totals: FloatArray) -> FloatArray:
    # IoU = intersection / union, and union = prediction + ground truth - intersection
    return _safe_divide(totals[..., 0, :], totals[..., 1, :] + totals[..., 2, :] - totals[..., 0, :])


def _safe_divide(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    # 0 instead of NaN for an absent class; the callers divide by the number of classes that count
    return np.divide(numerator, denominator, out=np.zeros(np.shape(numerator)), where=denominator > 0)


AREA_METRICS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "mIoU": _mean_iou_present,
    "mIoU_all": _mean_iou_all,
    "aAcc": _pixel_accuracy,
    "mAcc": _mean_class_accuracy,
}
"""Functions of total areas (..., 3, classes) that return a score in percent (...), by metric.

``mIoU`` is the mean over the classes that are present in ground truth or prediction, as in mmsegmentation.
"""


def compute_area_metric(areas: AreaArray, metric: str) -> float:
    """Return the score over all images, in percent.

    Args:
        areas: pixel counts by image, kind and class, (n, 3, classes).
        metric: a name in ``AREA_METRICS``.

    >>> compute_area_metric(np.array([[[1, 1, 0], [1, 2, 0], [2, 1, 0]]]), "mIoU")
    50.0
    """
    return float(AREA_METRICS[metric](areas.sum(0).astype(np.float64)))


def jackknife_pseudo_values(areas: AreaArray, metric: str) -> FloatArray:
    """Return the jackknife pseudo-value of each image, (n,): the contribution of the image to the score, in percent.

    A segmentation score is a mean of ratios of sums, so it is not a mean over images. The pseudo-value of an image is
    n times the score minus (n - 1) times the score without the image. The mean of the pseudo-values is the score
    without its bias of order 1 / n. For mIoU this bias is not small, because rare classes are in few images.

    Args:
        areas: pixel counts by image, kind and class, (n, 3, classes).
        metric: a name in ``AREA_METRICS``.

    Source: Quenouille 1956, Tukey 1958.
    """
    count = len(areas)
    # total minus one image, for all images at once: (n, 3, classes); exact, because the areas are integers
    without = AREA_METRICS[metric]((areas.sum(0) - areas).astype(np.float64))
    return np.asarray(count * compute_area_metric(areas, metric) - (count - 1) * without, np.float64)
