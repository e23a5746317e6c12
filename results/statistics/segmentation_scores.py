"""Segmentation scores from areas, whole and with each image left out in turn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from foundation.array_types import FloatArray

AreaArray = NDArray[np.int64]
"""Pixels by image, kind and class, (n, 3, classes): of the intersection, of the prediction, of the truth."""


def _mean_iou_present(totals: FloatArray) -> FloatArray:
    present = (totals[..., 1:, :].sum(-2) > 0).sum(-1)
    return np.asarray(100 * _class_iou(totals).sum(-1) / np.maximum(present, 1))


def _mean_iou_all(totals: FloatArray) -> FloatArray:
    return np.asarray(100 * _class_iou(totals).mean(-1))


def _pixel_accuracy(totals: FloatArray) -> FloatArray:
    return 100 * _safe_divide(totals[..., 0, :].sum(-1), totals[..., 2, :].sum(-1))


def _mean_class_accuracy(totals: FloatArray) -> FloatArray:
    real = totals[..., 2, :]
    return np.asarray(100 * _safe_divide(totals[..., 0, :], real).sum(-1) / np.maximum((real > 0).sum(-1), 1))


def _class_iou(totals: FloatArray) -> FloatArray:
    return _safe_divide(totals[..., 0, :], totals[..., 1, :] + totals[..., 2, :] - totals[..., 0, :])


def _safe_divide(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    return np.divide(numerator, denominator, out=np.zeros(np.shape(numerator)), where=denominator > 0)


AREA_METRICS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "mIoU": _mean_iou_present,
    "mIoU_all": _mean_iou_all,
    "aAcc": _pixel_accuracy,
    "mAcc": _mean_class_accuracy,
}
"""By name, in percent, of totals (..., 3, classes); mIoU over the classes present in truth or prediction (mmseg)."""


def compute_area_metric(areas: AreaArray, metric: str) -> float:
    """The score of all images.

    >>> compute_area_metric(np.array([[[1, 1, 0], [1, 2, 0], [2, 1, 0]]]), "mIoU")
    50.0
    """
    return float(AREA_METRICS[metric](areas.sum(0).astype(np.float64)))


def jackknife_pseudo_values(areas: AreaArray, metric: str) -> FloatArray:
    """What each image adds to a score that is a mean of ratios of sums: the jackknife's pseudo-values, (n,).

    n times the score less n - 1 times the score without the image. Their mean is the score freed of its bias of order
    1 / n, which for mIoU is not small: rare classes stand on few images.

    Source: Quenouille 1956, Tukey 1958.
    """
    count = len(areas)
    without = AREA_METRICS[metric]((areas.sum(0) - areas).astype(np.float64))
    return np.asarray(count * compute_area_metric(areas, metric) - (count - 1) * without, np.float64)
