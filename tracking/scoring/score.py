"""Scores of sequences and of trackers, from boxes in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from foundation.errors import DataError, IncompleteError
from tracking.data.boxes import BoolArray, FloatArray
from tracking.scoring.metrics import (
    MetricCurves,
    average_curves,
    compute_curve_metric,
    compute_iou,
    compute_sequence_curves,
)
from tracking.scoring.rules import LASOT_OFFICIAL, ScoringRules

MAX_LISTED_NAMES = 20
"""How many faulty sequences a sentence names."""


class SequenceGroundTruth(NamedTuple):
    """What is known of one sequence.

    Attributes:
        name: of the sequence.
        boxes: n x 4, x, y, w, h in pixels; NaN only where ``absent``.
        absent: n; the target is fully occluded or out of view.
        category: of the target, or empty.
        attributes: challenges of the sequence.
        image_size: width and height of its images, where rules clip to them.
    """

    name: str
    boxes: FloatArray
    absent: BoolArray
    category: str = ""
    attributes: tuple[str, ...] = ()
    image_size: tuple[float, float] | None = None


class SequenceScore(NamedTuple):
    """The score of one sequence: its curves over the ``frames`` that count."""

    name: str
    frames: int
    curves: MetricCurves
    rules: ScoringRules
    category: str = ""
    attributes: tuple[str, ...] = ()

    def metric_value(self, metric_name: str) -> float:
        """A metric, percent."""
        return compute_curve_metric(metric_name, self.curves, self.rules)

    def metric_values(self) -> dict[str, float]:
        """All metrics of the rules, percent."""
        return {name: self.metric_value(name) for name in self.rules.metrics}


@dataclass(frozen=True)
class TrackerScore:
    """The score of one tracker on a set.

    Attributes:
        tracker_name: its name.
        rules: the conventions of every number.
        sequences: what was scored, in the order of the set.
        expected_sequences: sequences that the set has.
        missing: sequences without a result.
        wrong_length: sequences whose result has too few or too many boxes, a phrase each; not scored.
        deviations: how the ground truth differs from the official set, a sentence each.
        notes: what a reader should know.
    """

    tracker_name: str
    rules: ScoringRules
    sequences: tuple[SequenceScore, ...]
    expected_sequences: int
    missing: tuple[str, ...] = ()
    wrong_length: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_partial(self) -> bool:
        """Whether the set was not scored whole."""
        return (
            bool(self.missing or self.wrong_length or self.deviations) or len(self.sequences) != self.expected_sequences
        )

    @cached_property
    def curves(self) -> MetricCurves:
        """The mean curves, pooled as the rules say."""
        return pool_curves(self.sequences, self.rules)

    def metric_values(self) -> dict[str, float]:
        """All metrics of the rules over the scored sequences, percent."""
        return {name: compute_curve_metric(name, self.curves, self.rules) for name in self.rules.metrics}

    def group_sequences(self, group_by: str) -> dict[str, tuple[SequenceScore, ...]]:
        """The sequences by ``category`` or by ``attribute``; names sorted."""
        grouped: dict[str, list[SequenceScore]] = {}
        for score in self.sequences:
            for name in (score.category,) if group_by == "category" else score.attributes:
                grouped.setdefault(name, []).append(score)
        return {name: tuple(grouped[name]) for name in sorted(grouped) if name}


def pool_curves(scores: Sequence[SequenceScore], rules: ScoringRules) -> MetricCurves:
    """The mean curves of sequences, equally weighted or by their frames."""
    counted = [score for score in scores if score.frames]
    if not counted:
        raise IncompleteError("no sequence has a frame that counts, so there is no number")
    weights = [score.frames for score in counted] if rules.average_over == "frames" else None
    return average_curves([score.curves for score in counted], weights)


def score_sequence(
    predictions: FloatArray | Sequence[FloatArray],
    ground_truth: FloatArray,
    absent: BoolArray | None = None,
    rules: ScoringRules = LASOT_OFFICIAL,
    *,
    name: str = "the sequence",
    image_size: tuple[float, float] | None = None,
) -> SequenceScore:
    """Score the boxes of one sequence.

    Args:
        predictions: n x 4, x, y, w, h in pixels; or a list of them, one a repetition, which are averaged.
        ground_truth: n x 4.
        absent: n; True where the target is fully occluded or out of view; none by default.
        rules: the conventions.
        name: of the sequence, for messages.
        image_size: width and height of the image, where the rules clip to it.

    Raises:
        DataError: a shape that does not fit, a predicted number that is not finite, a negative size.

    >>> box = np.array([[10.0, 10, 20, 20], [12, 10, 20, 20]])
    >>> round(score_sequence(box, box).metric_value("AUC"), 3)
    95.238
    """
    truth = np.asarray(ground_truth, dtype=np.float64)
    gone = np.zeros(len(truth), dtype=bool) if absent is None else np.asarray(absent, dtype=bool)
    _require_ground_truth(truth, gone, rules, image_size, name)
    runs = _as_repetitions(predictions)
    curves, frames = [], 0
    for run in runs:
        boxes = np.asarray(run, dtype=np.float64)
        _require_predicted_boxes(boxes, len(truth), name)
        run_curves, counted = compute_sequence_curves(boxes, truth, gone, rules, image_size)
        curves.append(run_curves)
        frames += counted
    return SequenceScore(name, frames, average_curves(curves), rules)


def score_tracker(
    tracker_name: str,
    predictions: Mapping[str, FloatArray | Sequence[FloatArray]],
    ground_truths: Sequence[SequenceGroundTruth],
    rules: ScoringRules = LASOT_OFFICIAL,
    *,
    partial: bool = False,
    sequence_names: Iterable[str] = (),
    expected_sequences: int | None = None,
    deviations: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> TrackerScore:
    """Score a tracker on a set; every sequence with the right number of boxes, or no number.

    Args:
        tracker_name: its name.
        predictions: boxes by sequence name (n x 4, or a list of repetitions).
        ground_truths: the ground truth.
        rules: the conventions.
        partial: score what is there; the score says that it is partial.
        sequence_names: all names of the set, where it has more than ``ground_truths``.
        expected_sequences: sequences of the whole set; default: those of ``ground_truths``.
        deviations: how ``ground_truths`` differ from the official set; any makes the score partial.
        notes: passed on.

    Raises:
        IncompleteError: sequences are missing or of the wrong length and ``partial`` is not set, or none is left.
        DataError: boxes that are none, or that are corner coordinates.
    """
    expected_sequences = len(ground_truths) if expected_sequences is None else expected_sequences
    known = [truth.name for truth in ground_truths]
    missing = tuple(
        name for name in dict.fromkeys([*sequence_names, *known]) if name not in predictions or name not in known
    )
    runs = {
        truth.name: _as_repetitions(predictions[truth.name]) for truth in ground_truths if truth.name in predictions
    }
    wrong = tuple(
        f"{truth.name} ({len(run)} of {len(truth.boxes)} boxes)"
        for truth in ground_truths
        for run in [run for run in runs.get(truth.name, ()) if len(run) != len(truth.boxes)][:1]
    )
    fitting = [t for t in ground_truths if t.name in runs and all(len(run) == len(t.boxes) for run in runs[t.name])]
    whole = not (missing or wrong or deviations) and len(fitting) == expected_sequences
    if not fitting or not (whole or partial):
        raise IncompleteError(
            _format_incomplete(tracker_name, len(fitting), expected_sequences, missing, wrong, deviations, partial)
        )
    scores = tuple(
        score_sequence(runs[t.name], t.boxes, t.absent, rules, name=t.name, image_size=t.image_size)._replace(
            category=t.category, attributes=t.attributes
        )
        for t in fitting
    )
    notes += tuple(_check_first_boxes(tracker_name, {t.name: runs[t.name][0] for t in fitting}, fitting))
    return TrackerScore(tracker_name, rules, scores, expected_sequences, missing, wrong, deviations, notes)


def _as_repetitions(predicted: FloatArray | Sequence[FloatArray]) -> list[FloatArray]:
    """Repetitions: one array of boxes is one of them."""
    return [predicted] if isinstance(predicted, np.ndarray) else list(predicted)


def format_name_list(items: Sequence[str]) -> str:
    """Items in a sentence, not more than ``MAX_LISTED_NAMES`` of them."""
    more = len(items) - MAX_LISTED_NAMES
    return ", ".join(items[:MAX_LISTED_NAMES]) + (f" and {more} more" if more > 0 else "")


def _format_incomplete(
    tracker_name: str,
    num_scorable: int,
    num_expected: int,
    missing: Sequence[str],
    wrong_length: Sequence[str],
    deviations: Sequence[str],
    partial: bool,
) -> str:
    faults = [f"missing: {format_name_list(missing)}"] if missing else []
    faults += [f"wrong length: {format_name_list(wrong_length)}"] if wrong_length else []
    faults += deviations
    why = f" ({'; '.join(faults)})" if faults else ""
    mend = "" if partial else "; complete them, or ask for a number that is marked partial with --partial"
    return f"{tracker_name}: {num_scorable} of {num_expected} sequences can be scored, so there is no number{why}{mend}"


def _require_ground_truth(
    truth: FloatArray, absent: BoolArray, rules: ScoringRules, image_size: tuple[float, float] | None, name: str
) -> None:
    if truth.ndim != 2 or truth.shape[1] != 4 or not len(truth):
        raise DataError(f"ground truth of {name} must be n x 4 boxes, not of shape {truth.shape}")
    if absent.shape != (len(truth),):
        raise DataError(f"{name} has {len(truth)} ground-truth boxes but {absent.size} absence labels")
    if not np.isfinite(truth[~absent]).all() or not np.isfinite(truth[0]).all():
        raise DataError(f"ground truth of {name} has a number that is not finite in a frame that is not absent")
    if rules.clip_to_image and image_size is None:
        raise DataError(f"{name} needs the size of its images: these rules clip boxes to them")


def _require_predicted_boxes(boxes: FloatArray, num_frames: int, name: str) -> None:
    if boxes.shape != (num_frames, 4):
        raise DataError(f"predictions of {name} must be {num_frames} x 4 boxes, not of shape {boxes.shape}")
    bad = ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] < 0).any(axis=1)
    if bad.any():
        frame = int(bad.argmax())
        raise DataError(
            f"prediction of {name} in frame {frame + 1} is no box (not finite, or a negative size): "
            f"{boxes[frame].tolist()}"
        )


def _check_first_boxes(
    tracker_name: str, predictions: Mapping[str, FloatArray], ground_truths: Sequence[SequenceGroundTruth]
) -> list[str]:
    """Every tracker is started on the ground truth: first boxes that are far from it tell of another format.

    Raises:
        DataError: most first boxes are the ground truth as corners x1, y1, x2, y2.
    """
    first = np.stack([predictions[truth.name][0] for truth in ground_truths])
    truth = np.stack([truth.boxes[0] for truth in ground_truths])
    far = compute_iou(first, truth) < 0.5
    corners = np.hstack([first[:, :2], first[:, 2:] - first[:, :2]])
    as_corners = far & (compute_iou(corners, truth) >= 0.5)
    if as_corners.mean() > 0.5:
        raise DataError(
            f"{tracker_name}: the first boxes of {as_corners.sum()} of {len(ground_truths)} sequences are the ground "
            "truth as corners x1,y1,x2,y2; write x,y,w,h"
        )
    names = [truth.name for truth, is_far in zip(ground_truths, far, strict=True) if is_far]
    return (
        [f"first box far from the ground truth (IoU < 0.5) in {len(names)} sequences: {format_name_list(names)}"]
        if names
        else []
    )
