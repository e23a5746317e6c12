"""Segmentation scores from areas, whole and with each image left out in turn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Areas = NDArray[np.int64]
"""Pixels by image, kind and class, (n, 3, classes): of the intersection, of the prediction, of the truth."""


def _miou(totals: Floats) -> Floats:
    present = (totals[..., 1:, :].sum(-2) > 0).sum(-1)
    return np.asarray(100 * _iou(totals).sum(-1) / np.maximum(present, 1))


def _miou_all(totals: Floats) -> Floats:
    return np.asarray(100 * _iou(totals).mean(-1))


def _aacc(totals: Floats) -> Floats:
    return 100 * _ratio(totals[..., 0, :].sum(-1), totals[..., 2, :].sum(-1))


def _macc(totals: Floats) -> Floats:
    real = totals[..., 2, :]
    return np.asarray(100 * _ratio(totals[..., 0, :], real).sum(-1) / np.maximum((real > 0).sum(-1), 1))


def _iou(totals: Floats) -> Floats:
    return _ratio(totals[..., 0, :], totals[..., 1, :] + totals[..., 2, :] - totals[..., 0, :])


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0)


SCORES: dict[str, Callable[[Floats], Floats]] = {"mIoU": _miou, "mIoU_all": _miou_all, "aAcc": _aacc, "mAcc": _macc}
"""By name, in percent, of totals (..., 3, classes); mIoU over the classes present in truth or prediction (mmseg)."""


def score(areas: Areas, name: str) -> float:
    """The score of all images.

    >>> score(np.array([[[1, 1, 0], [1, 2, 0], [2, 1, 0]]]), "mIoU")
    50.0
    """
    return float(SCORES[name](areas.sum(0).astype(np.float64)))


def pseudo_values(areas: Areas, name: str) -> Floats:
    """What each image adds to a score that is a mean of ratios of sums: the jackknife's pseudo-values, (n,).

    n times the score less n - 1 times the score without the image. Their mean is the score freed of its bias of order
    1 / n, which for mIoU is not small: rare classes stand on few images.

    Source: Quenouille 1956, Tukey 1958.
    """
    count = len(areas)
    without = SCORES[name]((areas.sum(0) - areas).astype(np.float64))
    return np.asarray(count * score(areas, name) - (count - 1) * without, np.float64)
