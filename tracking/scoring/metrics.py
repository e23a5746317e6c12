"""Tracking metrics as pure functions on boxes: arrays n x 4 of x, y (top left), width, height, in pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tracking.data.boxes import BoolArray, FloatArray
from tracking.scoring.rules import ScoringRules

PRECISION_THRESHOLDS_PX = np.arange(51.0)
"""Thresholds of the precision curve, pixels."""

NORM_PRECISION_THRESHOLDS = np.arange(51) / 100
"""Thresholds of the normalised precision curve."""


class MetricCurves(NamedTuple):
    """What one sequence (or a mean of several) gave; shares of frames in [0, 1].

    Attributes:
        success: by overlap threshold.
        precision: by ``PRECISION_THRESHOLDS_PX``.
        normalized_precision: by ``NORM_PRECISION_THRESHOLDS``.
        mean_iou: mean IoU of the counted frames; failures count 0.
    """

    success: FloatArray
    precision: FloatArray
    normalized_precision: FloatArray
    mean_iou: float


def fill_empty_boxes(boxes: FloatArray) -> FloatArray:
    """Replace each box of zero width or height by the one before; the first stays as it is.

    >>> fill_empty_boxes(np.array([[1.0, 1, 2, 2], [5, 5, 0, 3], [6, 6, 3, 0], [7, 7, 1, 1]])).tolist()
    [[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0], [7.0, 7.0, 1.0, 1.0]]
    """
    kept = (boxes[:, 2:] != 0).all(axis=1)
    kept[0] = True
    return np.asarray(boxes[np.maximum.accumulate(np.where(kept, np.arange(len(boxes)), 0))])


def clip_boxes_to_image(boxes: FloatArray, image_size: tuple[float, float]) -> FloatArray:
    """Clip boxes to an image of ``image_size`` (width, height) as got10k does: the corner first, then the size."""
    corner = np.clip(boxes[:, :2], 0, image_size)
    return np.hstack([corner, np.clip(boxes[:, 2:], 0, np.asarray(image_size) - corner)])


def compute_iou(boxes: FloatArray, other_boxes: FloatArray, clip: bool = True) -> FloatArray:
    """Intersection over union, frame by frame; 0 where both boxes are empty.

    >>> compute_iou(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 2, 2]])).round(4).tolist()
    [0.3333]
    """
    low = np.maximum(boxes[:, :2], other_boxes[:, :2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], other_boxes[:, :2] + other_boxes[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    union = boxes[:, 2:].prod(axis=1) + other_boxes[:, 2:].prod(axis=1) - shared
    overlap = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return np.asarray(np.clip(overlap, 0, 1) if clip else overlap)


def compute_center_offset(boxes: FloatArray, other_boxes: FloatArray) -> FloatArray:
    """Vector between the centres, n x 2, pixels."""
    return np.asarray((boxes[:, :2] + boxes[:, 2:] / 2) - (other_boxes[:, :2] + other_boxes[:, 2:] / 2))


def compute_center_error(boxes: FloatArray, other_boxes: FloatArray) -> FloatArray:
    """Distance between the centres, pixels."""
    return np.asarray(np.hypot(*compute_center_offset(boxes, other_boxes).T))


def compute_normalized_error(boxes: FloatArray, truth: FloatArray, min_size: float = 0.0) -> FloatArray:
    """Distance between the centres, each axis divided by the ground truth's width or height (at least ``min_size``).

    Infinite where a ground-truth side is 0 and there is no floor.
    """
    sides = np.maximum(truth[:, 2:], min_size)
    scaled = np.divide(compute_center_offset(boxes, truth), sides, out=np.full_like(sides, np.inf), where=sides > 0)
    return np.asarray(np.hypot(*scaled.T))


def compute_success_curve(overlaps: FloatArray, num_thresholds: int = 21, strict: bool = True) -> FloatArray:
    """Share of frames whose overlap is above (or, not strict, at) each of the evenly spaced thresholds."""
    levels = np.linspace(0, 1, num_thresholds)
    above = overlaps[:, None] > levels if strict else overlaps[:, None] >= levels
    return np.asarray(above.mean(axis=0))


def compute_error_curve(errors: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Share of frames whose error is at most each level."""
    return np.asarray((errors[:, None] <= thresholds).mean(axis=0))


def compute_sequence_curves(
    predicted: FloatArray,
    truth: FloatArray,
    absent: BoolArray,
    rules: ScoringRules,
    image_size: tuple[float, float] | None = None,
) -> tuple[MetricCurves, int]:
    """The curves of one sequence and the number of frames they count.

    Args:
        predicted: n x 4, finite, no negative sizes.
        truth: n x 4; may hold NaN where ``absent``.
        absent: n; the target is fully occluded or out of view.
        rules: the conventions.
        image_size: width and height of the image, where the rules clip to it.
    """
    boxes = np.trunc(predicted) if rules.truncate_to_integers else predicted.copy()
    if rules.empty_boxes == "previous":
        boxes = fill_empty_boxes(boxes)
    if rules.first_frame == "ground truth":
        boxes[0] = truth[0]
    else:
        boxes, truth, absent = boxes[1:], truth[1:], absent[1:]
    if rules.absent_frames == "excluded":
        boxes, truth = boxes[~absent], truth[~absent]
    if rules.clip_to_image:
        assert image_size is not None
        boxes, truth = clip_boxes_to_image(boxes, image_size), clip_boxes_to_image(truth, image_size)
    overlaps = compute_iou(boxes, truth, rules.clip_iou)
    errors, normalised = compute_center_error(boxes, truth), compute_normalized_error(boxes, truth, rules.min_norm_size)
    if rules.absent_frames == "failure":
        failed = absent | ~(truth[:, 2:] > 0).all(axis=1)
        overlaps[failed] = -1.0
        errors[failed] = normalised[failed] = np.inf if rules.absent_precision == "miss" else -1.0
    if not len(boxes):
        nothing = np.zeros(51)
        return MetricCurves(np.zeros(rules.num_thresholds), nothing, nothing, 0.0), 0
    success = compute_success_curve(overlaps, rules.num_thresholds, rules.strict_threshold)
    shares = (
        compute_error_curve(errors, PRECISION_THRESHOLDS_PX),
        compute_error_curve(normalised, NORM_PRECISION_THRESHOLDS),
    )
    return MetricCurves(success, *shares, float(np.maximum(overlaps, 0).mean())), len(boxes)


def average_curves(curves: list[MetricCurves], weights: list[int] | None = None) -> MetricCurves:
    """The weighted mean of curves; equal weights by default."""
    parts = (np.average(np.stack([np.asarray(c[i]) for c in curves]), axis=0, weights=weights) for i in range(4))
    success, precision, normalised, overlap = parts
    return MetricCurves(success, precision, normalised, float(overlap))


def compute_curve_metric(metric_name: str, curves: MetricCurves, rules: ScoringRules) -> float:
    """A metric by name, in percent; every one is linear in the curves."""
    if metric_name == "AUC":
        share = curves.success.mean()
    elif metric_name in ("OP50", "SR50"):
        share = curves.success[round(0.50 * (rules.num_thresholds - 1))]
    elif metric_name in ("OP75", "SR75"):
        share = curves.success[round(0.75 * (rules.num_thresholds - 1))]
    elif metric_name == "P":
        share = curves.precision[rules.precision_threshold_px]
    elif metric_name == "P_norm":
        share = (
            curves.normalized_precision[20] if rules.p_norm_mode == "at 0.20" else curves.normalized_precision.mean()
        )
    elif metric_name == "AO":
        share = curves.mean_iou
    else:
        raise ValueError(f"unknown metric {metric_name}")
    return 100 * float(share)
