"""Score sequences and trackers, from boxes in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from foundation.errors import DataError, IncompleteError
from tracking.data.boxes import BoolArray, FloatArray
from tracking.scoring.first_boxes import find_start_fault
from tracking.scoring.ground_truth import SequenceGroundTruth, format_name_list
from tracking.scoring.metrics import (
    MetricCurves,
    average_curves,
    compute_curve_metric,
    compute_sequence_curves,
)
from tracking.scoring.rules import LASOT_OFFICIAL, ScoringRules


class SequenceScore(NamedTuple):
    """The score of one sequence.

    Attributes:
        name: name of the sequence.
        frames: number of frames that were counted, over all repetitions.
        curves: the curves over these frames.
        rules: the scoring conventions.
        category: category of the target, or empty.
        attributes: names of the sequence's challenges.
    """

    name: str
    frames: int
    curves: MetricCurves
    rules: ScoringRules
    category: str = ""
    attributes: tuple[str, ...] = ()

    def metric_value(self, metric_name: str) -> float:
        """Return a metric in percent.

        Args:
            metric_name: see ``compute_curve_metric``.
        """
        return compute_curve_metric(metric_name, self.curves, self.rules)

    def metric_values(self) -> dict[str, float]:
        """Return all metrics of the rules by name, in percent."""
        return {name: self.metric_value(name) for name in self.rules.metrics}


@dataclass(frozen=True)
class TrackerScore:
    """The score of one tracker on a test set.

    Attributes:
        tracker_name: name of the tracker.
        rules: the scoring conventions.
        sequences: the scored sequences, in the order of the set.
        expected_sequences: number of sequences in the complete set.
        missing: names of sequences without a result.
        wrong_length: sequences with too few or too many boxes, one phrase each; they are not scored.
        deviations: how the ground truth differs from the official set, one sentence each.
        notes: what a reader should know, one sentence each.
        box_faults: why the boxes cannot be those of a tracker on this set, one sentence each.
    """

    tracker_name: str
    rules: ScoringRules
    sequences: tuple[SequenceScore, ...]
    expected_sequences: int
    missing: tuple[str, ...] = ()
    wrong_length: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    box_faults: tuple[str, ...] = ()

    @property
    def is_partial(self) -> bool:
        """Whether the score does not cover the complete set."""
        return (
            # fewer sequences than the set has are partial even if none is reported missing, as in a cut list
            bool(self.missing or self.wrong_length or self.deviations or self.box_faults)
            or len(self.sequences) != self.expected_sequences
        )

    # cached, because every metric and every plot needs them
    @cached_property
    def curves(self) -> MetricCurves:
        """The mean curves, averaged over sequences or frames as the rules say."""
        return pool_curves(self.sequences, self.rules)

    def metric_values(self) -> dict[str, float]:
        """Return all metrics of the rules over the scored sequences by name, in percent."""
        return {name: compute_curve_metric(name, self.curves, self.rules) for name in self.rules.metrics}

    def group_sequences(self, group_by: str) -> dict[str, tuple[SequenceScore, ...]]:
        """Return the sequences by category or by attribute, with names in alphabetical order.

        Args:
            group_by: ``category`` or ``attribute``.
        """
        grouped: dict[str, list[SequenceScore]] = {}
        for score in self.sequences:
            # a sequence has one category but any number of attributes, so it can be in several groups
            for name in (score.category,) if group_by == "category" else score.attributes:
                grouped.setdefault(name, []).append(score)
        return {name: tuple(grouped[name]) for name in sorted(grouped) if name}


def pool_curves(scores: Sequence[SequenceScore], rules: ScoringRules) -> MetricCurves:
    """Average the curves of sequences: with equal weights, or weighted by their number of frames.

    Args:
        scores: the scores of the sequences.
        rules: say how to average.

    Raises:
        IncompleteError: no sequence has a frame that counts.
    """
    # sequences whose frames were all excluded have no value to average
    counted = [score for score in scores if score.frames]
    if not counted:
        raise IncompleteError(
            "no sequence has a frame that counts, so there is no number; check the absence labels of the ground truth"
        )
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
        predictions: x, y, width, height in pixels, shape (frames, 4); or a list of such arrays, one per repetition,
            whose scores are averaged.
        ground_truth: the true boxes, shape (frames, 4).
        absent: whether the target is fully occluded or out of view, shape (frames,); by default it never is.
        rules: the scoring conventions.
        name: name of the sequence, for messages.
        image_size: width and height of the image in pixels, for rules that clip to it.

    Raises:
        DataError: a shape does not fit, or a prediction is not finite or has a negative size.

    Example:
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
        # repetitions count like further frames when the mean is taken over frames, as in got10k
        frames += counted
    # a perfect tracker gets 20 / 21 = 95.238: with strict thresholds no overlap is above the last one, 1
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
    """Score a tracker on a test set. There is a number only if every sequence has the right number of boxes.

    Args:
        tracker_name: name of the tracker.
        predictions: boxes by sequence name, as ``score_sequence`` takes them.
        ground_truths: the ground truth of the sequences.
        rules: the scoring conventions.
        partial: score what is there; the score is marked as partial.
        sequence_names: all names of the set, if it has more than ``ground_truths``.
        expected_sequences: number of sequences in the complete set; by default those of ``ground_truths``.
        deviations: how ``ground_truths`` differ from the official set; any deviation makes the score partial.
        notes: what a reader should know; passed on to the score.

    Raises:
        IncompleteError: sequences are missing or have the wrong length and ``partial`` is off, or none is left.
        DataError: a prediction is not a box, or the first boxes of more than a few sequences are far from the ground
            truth and ``partial`` is off.
    """
    expected_sequences = len(ground_truths) if expected_sequences is None else expected_sequences
    # a sequence is missing if it has no prediction, or if the set names it but its ground truth is not there
    known = dict.fromkeys(truth.name for truth in ground_truths)  # found at once, also among 100,000
    # a dictionary keeps the order of the set and drops duplicates
    missing = tuple(
        name for name in dict.fromkeys([*sequence_names, *known]) if name not in predictions or name not in known
    )
    runs = {
        truth.name: _as_repetitions(predictions[truth.name]) for truth in ground_truths if truth.name in predictions
    }
    wrong = _find_wrong_lengths(runs, ground_truths)
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
    box_faults, doubts = _check_start(tracker_name, {t.name: runs[t.name] for t in fitting}, fitting, partial)
    return TrackerScore(
        tracker_name, rules, scores, expected_sequences, missing, wrong, deviations, (*notes, *doubts), box_faults
    )


def _find_wrong_lengths(
    runs: Mapping[str, Sequence[FloatArray]], ground_truths: Sequence[SequenceGroundTruth]
) -> tuple[str, ...]:
    """Return one phrase for each sequence with too few or too many boxes."""
    return tuple(
        f"{truth.name} ({len(run)} of {len(truth.boxes)} boxes)"
        for truth in ground_truths
        for run in [run for run in runs.get(truth.name, ()) if len(run) != len(truth.boxes)][:1]
    )


def _check_start(
    tracker_name: str,
    runs: Mapping[str, Sequence[FloatArray]],
    ground_truths: Sequence[SequenceGroundTruth],
    partial: bool,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what makes a score partial, and what is only a note, about boxes that do not start from the ground truth.

    Raises:
        DataError: they do not in more than a few sequences, and ``partial`` is off.
    """
    fault = find_start_fault(runs, ground_truths)
    if fault.is_serious and not partial:
        raise DataError(
            f"{tracker_name}: {fault.sentence}; {fault.fix}, or ask for a number that is marked partial with --partial"
        )
    if fault.is_serious:
        return (f"{fault.sentence}; {fault.fix}",), ()
    return (), (fault.sentence,) if fault.sentence else ()


def _as_repetitions(predicted: FloatArray | Sequence[FloatArray]) -> list[FloatArray]:
    """Return a list of repetitions; a single array of boxes is one repetition."""
    # tested by type: the length of a list of boxes could be taken for the number of repetitions
    return [predicted] if isinstance(predicted, np.ndarray) else list(predicted)


def _format_incomplete(
    tracker_name: str,
    num_scorable: int,
    num_expected: int,
    missing: Sequence[str],
    wrong_length: Sequence[str],
    deviations: Sequence[str],
    partial: bool,
) -> str:
    """Return the message for a tracker that cannot be scored completely."""
    faults = [f"missing: {format_name_list(missing)}"] if missing else []
    faults += [f"wrong length: {format_name_list(wrong_length)}"] if wrong_length else []
    faults += deviations
    why = f" ({'; '.join(faults)})" if faults else ""
    fix = "" if partial else "; complete them, or ask for a number that is marked partial with --partial"
    return f"{tracker_name}: {num_scorable} of {num_expected} sequences can be scored, so there is no number{why}{fix}"


def _require_ground_truth(
    truth: FloatArray, absent: BoolArray, rules: ScoringRules, image_size: tuple[float, float] | None, name: str
) -> None:
    """Check the shapes and values of a sequence's ground truth.

    Raises:
        DataError: they do not fit together, or a visible target has a box that is not finite.
    """
    if truth.ndim != 2 or truth.shape[1] != 4 or not len(truth):
        raise DataError(f"ground truth of {name} must be n x 4 boxes x, y, w, h, not an array of shape {truth.shape}")
    if absent.shape != (len(truth),):
        raise DataError(
            f"{name} has {len(truth)} ground-truth boxes but {absent.size} absence labels; give one label per box"
        )
    # the first box also replaces the first prediction, so it must be finite in any case
    if not np.isfinite(truth[~absent]).all() or not np.isfinite(truth[0]).all():
        raise DataError(
            f"ground truth of {name} has a number that is not finite in a frame with the target; mark that frame absent"
        )
    if rules.clip_to_image and image_size is None:
        raise DataError(f"{name} has no image size, to which these rules clip boxes; give image_size")


def _require_predicted_boxes(boxes: FloatArray, num_frames: int, name: str) -> None:
    """Check that predictions are finite boxes, one per frame.

    Raises:
        DataError: they are not; the message names the frame.
    """
    if boxes.shape != (num_frames, 4):
        raise DataError(f"predictions of {name} must be {num_frames} x 4 boxes, not an array of shape {boxes.shape}")
    bad = ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] < 0).any(axis=1)
    if bad.any():
        # frames are counted from 1 here, as in the lines of result files
        frame = int(bad.argmax())
        raise DataError(
            f"prediction of {name} in frame {frame + 1} is not a box (not finite, or a negative size): "
            f"{boxes[frame].tolist()}; correct it"
        )
