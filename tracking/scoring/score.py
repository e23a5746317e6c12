"""Scores of sequences and of trackers, from boxes in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from foundation.errors import DataError, IncompleteError
from tracking.scoring.metrics import Array, Curves, Mask, iou, mean_curves, metric, sequence_curves
from tracking.scoring.rules import OFFICIAL, Rules

NAMED = 20
"""How many faulty sequences a sentence names."""


class GroundTruth(NamedTuple):
    """What is known of one sequence.

    Attributes:
        name: of the sequence.
        boxes: n x 4, x, y, w, h in pixels; NaN only where ``absent``.
        absent: n; the target is fully occluded or out of view.
        category: of the target, or empty.
        attributes: challenges of the sequence.
        size: width and height of its images, where rules clip to them.
    """

    name: str
    boxes: Array
    absent: Mask
    category: str = ""
    attributes: tuple[str, ...] = ()
    size: tuple[float, float] | None = None


class SequenceScore(NamedTuple):
    """The score of one sequence: its curves over the ``frames`` that count."""

    name: str
    frames: int
    curves: Curves
    rules: Rules
    category: str = ""
    attributes: tuple[str, ...] = ()

    def value(self, name: str) -> float:
        """A metric, percent."""
        return metric(name, self.curves, self.rules)

    def values(self) -> dict[str, float]:
        """All metrics of the rules, percent."""
        return {name: self.value(name) for name in self.rules.metrics}


@dataclass(frozen=True)
class TrackerScore:
    """The score of one tracker on a set.

    Attributes:
        tracker: its name.
        rules: the conventions of every number.
        sequences: what was scored, in the order of the set.
        expected: sequences that the set has.
        missing: sequences without a result.
        wrong_length: sequences whose result has too few or too many boxes, a phrase each; not scored.
        departures: how the ground truth differs from the official set, a sentence each.
        notes: what a reader should know.
    """

    tracker: str
    rules: Rules
    sequences: tuple[SequenceScore, ...]
    expected: int
    missing: tuple[str, ...] = ()
    wrong_length: tuple[str, ...] = ()
    departures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def partial(self) -> bool:
        """Whether the set was not scored whole."""
        return bool(self.missing or self.wrong_length or self.departures) or len(self.sequences) != self.expected

    @cached_property
    def curves(self) -> Curves:
        """The mean curves, pooled as the rules say."""
        return pool(self.sequences, self.rules)

    def values(self) -> dict[str, float]:
        """All metrics of the rules over the scored sequences, percent."""
        return {name: metric(name, self.curves, self.rules) for name in self.rules.metrics}

    def groups(self, by: str) -> dict[str, tuple[SequenceScore, ...]]:
        """The sequences by ``category`` or by ``attribute``; names sorted."""
        grouped: dict[str, list[SequenceScore]] = {}
        for score in self.sequences:
            for name in (score.category,) if by == "category" else score.attributes:
                grouped.setdefault(name, []).append(score)
        return {name: tuple(grouped[name]) for name in sorted(grouped) if name}


def pool(scores: Sequence[SequenceScore], rules: Rules) -> Curves:
    """The mean curves of sequences, equally weighted or by their frames."""
    counted = [score for score in scores if score.frames]
    if not counted:
        raise IncompleteError("no sequence has a frame that counts, so there is no number")
    weights = [score.frames for score in counted] if rules.pooling == "frames" else None
    return mean_curves([score.curves for score in counted], weights)


def score_sequence(
    predicted: Array | Sequence[Array],
    ground_truth: Array,
    absent: Mask | None = None,
    rules: Rules = OFFICIAL,
    *,
    name: str = "the sequence",
    size: tuple[float, float] | None = None,
) -> SequenceScore:
    """Score the boxes of one sequence.

    Args:
        predicted: n x 4, x, y, w, h in pixels; or a list of them, one a repetition, which are averaged.
        ground_truth: n x 4.
        absent: n; True where the target is fully occluded or out of view; none by default.
        rules: the conventions.
        name: of the sequence, for messages.
        size: width and height of the image, where the rules clip to it.

    Raises:
        DataError: a shape that does not fit, a predicted number that is not finite, a negative size.

    >>> box = np.array([[10.0, 10, 20, 20], [12, 10, 20, 20]])
    >>> round(score_sequence(box, box).value("AUC"), 3)
    95.238
    """
    truth = np.asarray(ground_truth, dtype=np.float64)
    gone = np.zeros(len(truth), dtype=bool) if absent is None else np.asarray(absent, dtype=bool)
    _require_truth(truth, gone, rules, size, name)
    runs = _runs(predicted)
    curves, frames = [], 0
    for run in runs:
        boxes = np.asarray(run, dtype=np.float64)
        _require_predictions(boxes, len(truth), name)
        run_curves, counted = sequence_curves(boxes, truth, gone, rules, size)
        curves.append(run_curves)
        frames += counted
    return SequenceScore(name, frames, mean_curves(curves), rules)


def score_tracker(
    tracker: str,
    predictions: Mapping[str, Array | Sequence[Array]],
    truths: Sequence[GroundTruth],
    rules: Rules = OFFICIAL,
    *,
    partial: bool = False,
    names: Iterable[str] = (),
    expected: int | None = None,
    departures: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> TrackerScore:
    """Score a tracker on a set; every sequence with the right number of boxes, or no number.

    Args:
        tracker: its name.
        predictions: boxes by sequence name (n x 4, or a list of repetitions).
        truths: the ground truth.
        rules: the conventions.
        partial: score what is there; the score says that it is partial.
        names: all names of the set, where it has more than ``truths``.
        expected: sequences of the whole set; default: those of ``truths``.
        departures: how ``truths`` differ from the official set; any makes the score partial.
        notes: passed on.

    Raises:
        IncompleteError: sequences are missing or of the wrong length and ``partial`` is not set, or none is left.
        DataError: boxes that are none, or that are corner coordinates.
    """
    expected = len(truths) if expected is None else expected
    known = [truth.name for truth in truths]
    missing = tuple(name for name in dict.fromkeys([*names, *known]) if name not in predictions or name not in known)
    runs = {truth.name: _runs(predictions[truth.name]) for truth in truths if truth.name in predictions}
    wrong = tuple(
        f"{truth.name} ({len(run)} of {len(truth.boxes)} boxes)"
        for truth in truths
        for run in [run for run in runs.get(truth.name, ()) if len(run) != len(truth.boxes)][:1]
    )
    fitting = [t for t in truths if t.name in runs and all(len(run) == len(t.boxes) for run in runs[t.name])]
    whole = not (missing or wrong or departures) and len(fitting) == expected
    if not fitting or not (whole or partial):
        raise IncompleteError(_incomplete(tracker, len(fitting), expected, missing, wrong, departures, partial))
    scores = tuple(
        score_sequence(runs[t.name], t.boxes, t.absent, rules, name=t.name, size=t.size)._replace(
            category=t.category, attributes=t.attributes
        )
        for t in fitting
    )
    notes += tuple(_first_boxes(tracker, {t.name: runs[t.name][0] for t in fitting}, fitting))
    return TrackerScore(tracker, rules, scores, expected, missing, wrong, departures, notes)


def _runs(predicted: Array | Sequence[Array]) -> list[Array]:
    """Repetitions: one array of boxes is one of them."""
    return [predicted] if isinstance(predicted, np.ndarray) else list(predicted)


def listed(items: Sequence[str]) -> str:
    """Items in a sentence, not more than ``NAMED`` of them."""
    more = len(items) - NAMED
    return ", ".join(items[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _incomplete(
    tracker: str,
    fitting: int,
    expected: int,
    missing: Sequence[str],
    wrong: Sequence[str],
    departures: Sequence[str],
    partial: bool,
) -> str:
    faults = [f"missing: {listed(missing)}"] if missing else []
    faults += [f"wrong length: {listed(wrong)}"] if wrong else []
    faults += departures
    why = f" ({'; '.join(faults)})" if faults else ""
    mend = "" if partial else "; complete them, or ask for a number that is marked partial with --partial"
    return f"{tracker}: {fitting} of {expected} sequences can be scored, so there is no number{why}{mend}"


def _require_truth(truth: Array, absent: Mask, rules: Rules, size: tuple[float, float] | None, name: str) -> None:
    if truth.ndim != 2 or truth.shape[1] != 4 or not len(truth):
        raise DataError(f"ground truth of {name} must be n x 4 boxes, not of shape {truth.shape}")
    if absent.shape != (len(truth),):
        raise DataError(f"{name} has {len(truth)} ground-truth boxes but {absent.size} absence labels")
    if not np.isfinite(truth[~absent]).all() or not np.isfinite(truth[0]).all():
        raise DataError(f"ground truth of {name} has a number that is not finite in a frame that is not absent")
    if rules.clip_to_image and size is None:
        raise DataError(f"{name} needs the size of its images: these rules clip boxes to them")


def _require_predictions(boxes: Array, frames: int, name: str) -> None:
    if boxes.shape != (frames, 4):
        raise DataError(f"predictions of {name} must be {frames} x 4 boxes, not of shape {boxes.shape}")
    bad = ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] < 0).any(axis=1)
    if bad.any():
        frame = int(bad.argmax())
        raise DataError(
            f"prediction of {name} in frame {frame + 1} is no box (not finite, or a negative size): "
            f"{boxes[frame].tolist()}"
        )


def _first_boxes(tracker: str, predicted: Mapping[str, Array], truths: Sequence[GroundTruth]) -> list[str]:
    """Every tracker is started on the ground truth: first boxes that are far from it tell of another format.

    Raises:
        DataError: most first boxes are the ground truth as corners x1, y1, x2, y2.
    """
    first = np.stack([predicted[truth.name][0] for truth in truths])
    truth = np.stack([truth.boxes[0] for truth in truths])
    far = iou(first, truth) < 0.5
    corners = np.hstack([first[:, :2], first[:, 2:] - first[:, :2]])
    as_corners = far & (iou(corners, truth) >= 0.5)
    if as_corners.mean() > 0.5:
        raise DataError(
            f"{tracker}: the first boxes of {as_corners.sum()} of {len(truths)} sequences are the ground truth as "
            "corners x1,y1,x2,y2; write x,y,w,h"
        )
    names = [truth.name for truth, is_far in zip(truths, far, strict=True) if is_far]
    return (
        [f"first box far from the ground truth (IoU < 0.5) in {len(names)} sequences: {listed(names)}"] if names else []
    )
