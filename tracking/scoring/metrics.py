"""Tracking metrics as pure functions of boxes.

Boxes are arrays of shape (frames, 4): x and y of the top-left corner, width and height, in pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tracking.data.boxes import BoolArray, FloatArray
from tracking.scoring.rules import ScoringRules

PRECISION_THRESHOLDS_PX = np.arange(51.0)
"""Thresholds of the precision curve in pixels: 0, 1, ... 50."""

NORM_PRECISION_THRESHOLDS = np.arange(51) / 100
"""Thresholds of the normalized precision curve: 0, 0.01, ... 0.50."""


class MetricCurves(NamedTuple):
    """The curves of one sequence, or the mean curves of several; all values are fractions of frames in [0, 1].

    Attributes:
        success: by overlap threshold, shape (thresholds,).
        precision: by ``PRECISION_THRESHOLDS_PX``, shape (51,).
        normalized_precision: by ``NORM_PRECISION_THRESHOLDS``, shape (51,).
        mean_iou: mean IoU of the counted frames; failures count as 0.
    """

    success: FloatArray
    precision: FloatArray
    normalized_precision: FloatArray
    mean_iou: float


def fill_empty_boxes(boxes: FloatArray) -> FloatArray:
    """Replace each box of zero width or height by the last box before it that has a size; the first box stays as it is.

    Args:
        boxes: shape (frames, 4).

    Example:
        >>> fill_empty_boxes(np.array([[1.0, 1, 2, 2], [5, 5, 0, 3], [6, 6, 3, 0], [7, 7, 1, 1]])).tolist()
        [[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0], [7.0, 7.0, 1.0, 1.0]]
    """
    kept = (boxes[:, 2:] != 0).all(axis=1)
    kept[0] = True
    # the running maximum of the indices of boxes that stay is the index of the last one, for each frame
    return np.asarray(boxes[np.maximum.accumulate(np.where(kept, np.arange(len(boxes)), 0))])


def clip_boxes_to_image(boxes: FloatArray, image_size: tuple[float, float]) -> FloatArray:
    """Clip boxes to an image as got10k does: first the corner, then the size.

    Args:
        boxes: shape (frames, 4).
        image_size: width and height of the image in pixels.
    """
    # the size is not shortened by what the corner was moved, so this is not the intersection with the image
    corner = np.clip(boxes[:, :2], 0, image_size)
    return np.hstack([corner, np.clip(boxes[:, 2:], 0, np.asarray(image_size) - corner)])


def compute_iou(boxes: FloatArray, other_boxes: FloatArray, clip: bool = True) -> FloatArray:
    """Compute the intersection over union, frame by frame; 0 if both boxes are empty.

    Args:
        boxes: shape (frames, 4).
        other_boxes: shape (frames, 4).
        clip: clip the result to [0, 1].

    Returns:
        Shape (frames,).

    Example:
        >>> compute_iou(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 2, 2]])).round(4).tolist()
        [0.3333]
    """
    low = np.maximum(boxes[:, :2], other_boxes[:, :2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], other_boxes[:, :2] + other_boxes[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    union = boxes[:, 2:].prod(axis=1) + other_boxes[:, 2:].prod(axis=1) - shared
    overlap = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    # rounding can give a box an IoU just above 1 with itself, which would succeed at the threshold 1
    return np.asarray(np.clip(overlap, 0, 1) if clip else overlap)


def compute_center_offset(boxes: FloatArray, other_boxes: FloatArray) -> FloatArray:
    """Compute the vector between the centers of two boxes in pixels, frame by frame.

    Args:
        boxes: shape (frames, 4).
        other_boxes: shape (frames, 4).

    Returns:
        Shape (frames, 2).
    """
    return np.asarray((boxes[:, :2] + boxes[:, 2:] / 2) - (other_boxes[:, :2] + other_boxes[:, 2:] / 2))


def compute_center_error(boxes: FloatArray, other_boxes: FloatArray) -> FloatArray:
    """Compute the distance between the centers of two boxes in pixels, frame by frame.

    Args:
        boxes: shape (frames, 4).
        other_boxes: shape (frames, 4).

    Returns:
        Shape (frames,).
    """
    return np.asarray(np.hypot(*compute_center_offset(boxes, other_boxes).T))


def compute_normalized_error(boxes: FloatArray, truth: FloatArray, min_size: float = 0.0) -> FloatArray:
    """Compute the distance between the centers after dividing each axis by the width or height of the ground truth.

    Args:
        boxes: predicted boxes, shape (frames, 4).
        truth: ground truth, shape (frames, 4).
        min_size: smallest width and height to divide by, in pixels.

    Returns:
        Shape (frames,); infinite if a side of the ground truth is 0 and ``min_size`` is 0.
    """
    sides = np.maximum(truth[:, 2:], min_size)
    scaled = np.divide(compute_center_offset(boxes, truth), sides, out=np.full_like(sides, np.inf), where=sides > 0)
    return np.asarray(np.hypot(*scaled.T))


def compute_success_curve(overlaps: FloatArray, num_thresholds: int = 21, strict: bool = True) -> FloatArray:
    """Compute the fraction of frames whose overlap is above each of the evenly spaced thresholds from 0 to 1.

    Args:
        overlaps: IoU of each frame, shape (frames,).
        num_thresholds: number of thresholds.
        strict: if off, an overlap equal to the threshold also counts.

    Returns:
        Shape (num_thresholds,).
    """
    levels = np.linspace(0, 1, num_thresholds)
    # (frames, 1) compared with (thresholds,) gives (frames, thresholds)
    above = overlaps[:, None] > levels if strict else overlaps[:, None] >= levels
    return np.asarray(above.mean(axis=0))


def compute_error_curve(errors: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Compute the fraction of frames whose error is at most each threshold.

    Args:
        errors: error of each frame, shape (frames,).
        thresholds: the thresholds, in the unit of the errors.

    Returns:
        Shape (thresholds,).
    """
    return np.asarray((errors[:, None] <= thresholds).mean(axis=0))


def compute_sequence_curves(
    predicted: FloatArray,
    truth: FloatArray,
    absent: BoolArray,
    rules: ScoringRules,
    image_size: tuple[float, float] | None = None,
) -> tuple[MetricCurves, int]:
    """Compute the curves of one sequence.

    Args:
        predicted: predicted boxes, finite and without negative sizes, shape (frames, 4).
        truth: ground truth, which may be NaN where ``absent``, shape (frames, 4).
        absent: whether the target is fully occluded or out of view, shape (frames,).
        rules: the scoring conventions.
        image_size: width and height of the image in pixels, for rules that clip to it.

    Returns:
        The curves and the number of frames that they count.
    """
    boxes = np.trunc(predicted) if rules.truncate_to_integers else predicted.copy()
    if rules.empty_boxes == "previous":
        boxes = fill_empty_boxes(boxes)
    # empty boxes come first: a box that is empty in the second frame repeats the prediction of the first, not its truth
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
    errors, normalized = compute_center_error(boxes, truth), compute_normalized_error(boxes, truth, rules.min_norm_size)
    if rules.absent_frames == "failure":
        # -1 lies below every threshold and infinity above, so that these frames fail at all of them (or hit, with an
        # error of -1)
        failed = absent | ~(truth[:, 2:] > 0).all(axis=1)
        overlaps[failed] = -1.0
        errors[failed] = normalized[failed] = np.inf if rules.absent_precision == "miss" else -1.0
    if not len(boxes):
        # every frame was excluded; the count of 0 keeps the sequence out of the mean
        nothing = np.zeros(51)
        return MetricCurves(np.zeros(rules.num_thresholds), nothing, nothing, 0.0), 0
    success = compute_success_curve(overlaps, rules.num_thresholds, rules.strict_threshold)
    shares = (
        compute_error_curve(errors, PRECISION_THRESHOLDS_PX),
        compute_error_curve(normalized, NORM_PRECISION_THRESHOLDS),
    )
    # the mean IoU counts failures, whose overlap is -1 here, as 0
    return MetricCurves(success, *shares, float(np.maximum(overlaps, 0).mean())), len(boxes)


def average_curves(curves: list[MetricCurves], weights: list[int] | None = None) -> MetricCurves:
    """Average curves, with equal weights by default.

    Args:
        curves: the curves of several sequences.
        weights: one weight per entry.
    """
    # the four fields in turn; the mean IoU is a curve of a single point
    parts = (np.average(np.stack([np.asarray(c[i]) for c in curves]), axis=0, weights=weights) for i in range(4))
    success, precision, normalized, overlap = parts
    return MetricCurves(success, precision, normalized, float(overlap))


def compute_curve_metric(metric_name: str, curves: MetricCurves, rules: ScoringRules) -> float:
    """Compute a metric from curves, in percent.

    All metrics are linear in the curves. Therefore the metric of mean curves is the mean of the metrics of the
    sequences.

    Args:
        metric_name: ``AUC``, ``P``, ``P_norm``, ``OP50``, ``OP75``, ``AO``, ``SR50`` or ``SR75``.
        curves: the curves of a sequence, or mean curves.
        rules: the scoring conventions.

    Raises:
        ValueError: there is no such metric.
    """
    if metric_name == "AUC":
        # the area under the success curve, as the mean over its evenly spaced thresholds
        share = curves.success.mean()
    elif metric_name in ("OP50", "SR50"):
        # thresholds are k / (n - 1), so 0.5 is at index (n - 1) / 2
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
