"""Tracking metrics as pure functions on boxes: arrays n x 4 of x, y (top left), width, height, in pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracking.scoring.rules import Rules

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

ERRORS_PX = np.arange(51.0)
"""Thresholds of the precision curve, pixels."""

ERRORS_NORM = np.arange(51) / 100
"""Thresholds of the normalised precision curve."""


class Curves(NamedTuple):
    """What one sequence (or a mean of several) gave; shares of frames in [0, 1].

    Attributes:
        success: by overlap threshold.
        precision: by ``ERRORS_PX``.
        normalised: by ``ERRORS_NORM``.
        overlap: mean IoU of the counted frames; failures count 0.
    """

    success: Array
    precision: Array
    normalised: Array
    overlap: float


def fill_empty(boxes: Array) -> Array:
    """Replace each box of zero width or height by the one before; the first stays as it is.

    >>> fill_empty(np.array([[1.0, 1, 2, 2], [5, 5, 0, 3], [6, 6, 3, 0], [7, 7, 1, 1]])).tolist()
    [[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0], [7.0, 7.0, 1.0, 1.0]]
    """
    kept = (boxes[:, 2:] != 0).all(axis=1)
    kept[0] = True
    return np.asarray(boxes[np.maximum.accumulate(np.where(kept, np.arange(len(boxes)), 0))])


def clip_to_image(boxes: Array, size: tuple[float, float]) -> Array:
    """Clip boxes to an image of ``size`` (width, height) as got10k does: the corner first, then width and height."""
    corner = np.clip(boxes[:, :2], 0, size)
    return np.hstack([corner, np.clip(boxes[:, 2:], 0, np.asarray(size) - corner)])


def iou(boxes: Array, others: Array, clipped: bool = True) -> Array:
    """Intersection over union, frame by frame; 0 where both boxes are empty.

    >>> iou(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 2, 2]])).round(4).tolist()
    [0.3333]
    """
    low = np.maximum(boxes[:, :2], others[:, :2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], others[:, :2] + others[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    union = boxes[:, 2:].prod(axis=1) + others[:, 2:].prod(axis=1) - shared
    overlap = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return np.asarray(np.clip(overlap, 0, 1) if clipped else overlap)


def centre_offset(boxes: Array, others: Array) -> Array:
    """Vector between the centres, n x 2, pixels."""
    return np.asarray((boxes[:, :2] + boxes[:, 2:] / 2) - (others[:, :2] + others[:, 2:] / 2))


def centre_error(boxes: Array, others: Array) -> Array:
    """Distance between the centres, pixels."""
    return np.asarray(np.hypot(*centre_offset(boxes, others).T))


def normalised_error(boxes: Array, truth: Array, floor: float = 0.0) -> Array:
    """Distance between the centres, each axis divided by the ground truth's width or height (at least ``floor``).

    Infinite where a ground-truth side is 0 and there is no floor.
    """
    sides = np.maximum(truth[:, 2:], floor)
    scaled = np.divide(centre_offset(boxes, truth), sides, out=np.full_like(sides, np.inf), where=sides > 0)
    return np.asarray(np.hypot(*scaled.T))


def success_curve(overlaps: Array, thresholds: int = 21, strict: bool = True) -> Array:
    """Share of frames whose overlap is above (or, not strict, at) each of the evenly spaced thresholds."""
    levels = np.linspace(0, 1, thresholds)
    above = overlaps[:, None] > levels if strict else overlaps[:, None] >= levels
    return np.asarray(above.mean(axis=0))


def error_curve(errors: Array, levels: Array) -> Array:
    """Share of frames whose error is at most each level."""
    return np.asarray((errors[:, None] <= levels).mean(axis=0))


def sequence_curves(
    predicted: Array, truth: Array, absent: Mask, rules: Rules, size: tuple[float, float] | None = None
) -> tuple[Curves, int]:
    """The curves of one sequence and the number of frames they count.

    Args:
        predicted: n x 4, finite, no negative sizes.
        truth: n x 4; may hold NaN where ``absent``.
        absent: n; the target is fully occluded or out of view.
        rules: the conventions.
        size: width and height of the image, where the rules clip to it.
    """
    boxes = np.trunc(predicted) if rules.integers else predicted.copy()
    if rules.empty_boxes == "previous":
        boxes = fill_empty(boxes)
    if rules.first_frame == "ground truth":
        boxes[0] = truth[0]
    else:
        boxes, truth, absent = boxes[1:], truth[1:], absent[1:]
    if rules.absent == "excluded":
        boxes, truth = boxes[~absent], truth[~absent]
    if rules.clip_to_image:
        assert size is not None
        boxes, truth = clip_to_image(boxes, size), clip_to_image(truth, size)
    overlaps = iou(boxes, truth, rules.iou_clipped)
    errors, normalised = centre_error(boxes, truth), normalised_error(boxes, truth, rules.norm_floor)
    if rules.absent == "failure":
        failed = absent | ~(truth[:, 2:] > 0).all(axis=1)
        overlaps[failed] = -1.0
        errors[failed] = normalised[failed] = np.inf if rules.absent_precision == "miss" else -1.0
    if not len(boxes):
        nothing = np.zeros(51)
        return Curves(np.zeros(rules.thresholds), nothing, nothing, 0.0), 0
    success = success_curve(overlaps, rules.thresholds, rules.strict)
    shares = error_curve(errors, ERRORS_PX), error_curve(normalised, ERRORS_NORM)
    return Curves(success, *shares, float(np.maximum(overlaps, 0).mean())), len(boxes)


def mean_curves(curves: list[Curves], weights: list[int] | None = None) -> Curves:
    """The weighted mean of curves; equal weights by default."""
    parts = (np.average(np.stack([np.asarray(c[i]) for c in curves]), axis=0, weights=weights) for i in range(4))
    success, precision, normalised, overlap = parts
    return Curves(success, precision, normalised, float(overlap))


def metric(name: str, curves: Curves, rules: Rules) -> float:
    """A metric by name, in percent; every one is linear in the curves."""
    if name == "AUC":
        share = curves.success.mean()
    elif name in ("OP50", "SR50"):
        share = curves.success[round(0.50 * (rules.thresholds - 1))]
    elif name in ("OP75", "SR75"):
        share = curves.success[round(0.75 * (rules.thresholds - 1))]
    elif name == "P":
        share = curves.precision[rules.precision_px]
    elif name == "P_norm":
        share = curves.normalised[20] if rules.p_norm == "at 0.20" else curves.normalised.mean()
    elif name == "AO":
        share = curves.overlap
    else:
        raise ValueError(f"unknown metric {name}")
    return 100 * float(share)
