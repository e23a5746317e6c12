"""Recognise results in another format than x, y, width, height, or under another sequence's name, by their first boxes.

Every tracker starts from the first box of the ground truth, so its results begin there. Where they do not, in more than
a few sequences, the score would be a plausible number of something else. The second box is checked as well, since some
trackers write the given box as it was and their own boxes in another format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tracking.data.boxes import BoolArray, FloatArray, has_area
from tracking.scoring.ground_truth import SequenceGroundTruth, format_name_list
from tracking.scoring.metrics import compute_iou

MIN_START_IOU = 0.5
"""A first box with a smaller overlap is far from the ground truth, unless the next rule makes it near."""

MAX_START_DISTANCE = 2.0
"""Pixels by which each number of a first box may differ: rounding, and counting from 1, matter for tiny targets."""

MAX_FAR_COUNT, MAX_FAR_SHARE = 2, 0.02
"""So many first boxes may be far (the larger of the two, but at most half of the set): single files do get mixed up in
published results."""

MIN_EXPLAINED_SHARE = 0.8
"""Second boxes can be far because a tracker is poor; a format must explain this share of them to be the cause."""


class StartFault(NamedTuple):
    """What is wrong with the first boxes of a tracker.

    Attributes:
        sentence: which sequences, and the likely cause; empty if nothing is wrong.
        is_serious: whether more than a few sequences are concerned, so that the score would mean nothing.
        fix: what to do about it.
    """

    sentence: str = ""
    is_serious: bool = False
    fix: str = ""


class _Cause(NamedTuple):
    phrase: str
    fix: str
    num_boxes: int
    total_overlap: float  # decides between causes that explain equally many boxes


def _convert_corners(boxes: FloatArray) -> FloatArray:
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])


def _convert_centers(boxes: FloatArray) -> FloatArray:
    return np.hstack([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]])


BOX_FORMATS: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "corners x1,y1,x2,y2": _convert_corners,
    "centers cx,cy,w,h": _convert_centers,
    "x,y,h,w (width and height swapped)": lambda boxes: boxes[:, [0, 1, 3, 2]],
    "y,x,w,h (x and y swapped)": lambda boxes: boxes[:, [1, 0, 2, 3]],
    "y,x,h,w (rows before columns)": lambda boxes: boxes[:, [1, 0, 3, 2]],
    "corners y1,x1,y2,x2": lambda boxes: _convert_corners(boxes[:, [1, 0, 3, 2]]),
}
"""Formats that results were found in, and what makes x, y, width, height of each."""


def find_start_fault(
    predictions: Mapping[str, Sequence[FloatArray]], ground_truths: Sequence[SequenceGroundTruth]
) -> StartFault:
    """Compare the first two boxes of a tracker's results with the ground truth.

    Args:
        predictions: boxes by sequence, one array of shape (frames, 4) per repetition.
        ground_truths: the ground truth of these sequences.
    """
    fault = _judge_first_boxes(predictions, ground_truths)
    if fault.is_serious:
        return fault
    second = _judge_second_boxes(predictions, ground_truths)
    return second if second.is_serious else fault


def _judge_first_boxes(
    predictions: Mapping[str, Sequence[FloatArray]], ground_truths: Sequence[SequenceGroundTruth]
) -> StartFault:
    boxes, truths = _select_far_boxes(predictions, ground_truths, 0)
    if not truths:
        return StartFault()
    names = list(dict.fromkeys(truth.name for truth in truths))
    sentence = (
        f"first box far from the ground truth (IoU < {MIN_START_IOU:g}) in {len(names)} sequences: "
        f"{format_name_list(names)}"
    )
    causes = [*_test_formats(boxes, truths, 0), _match_other_sequences(boxes, truths, ground_truths)]
    cause = _choose_cause(causes)
    fix = "check that the results belong to this set and are x,y,w,h in pixels"
    # a cause of half of them is a coincidence, or not the only one
    if cause.num_boxes > len(truths) / 2:
        sentence, fix = f"{sentence}; {cause.phrase}", cause.fix
    return StartFault(sentence, _is_more_than_a_few(len(names), len(ground_truths)), fix)


def _judge_second_boxes(
    predictions: Mapping[str, Sequence[FloatArray]], ground_truths: Sequence[SequenceGroundTruth]
) -> StartFault:
    # where the ground truth has no second box, there is nothing to compare with
    known = [truth for truth in ground_truths if has_area(truth.boxes[1:2]).any()]
    boxes, truths = _select_far_boxes(predictions, known, 1)
    names = list(dict.fromkeys(truth.name for truth in truths))
    # one or two far boxes are no evidence, even in a set of two sequences
    if len(names) <= MAX_FAR_COUNT or not _is_more_than_a_few(len(names), len(ground_truths)):
        return StartFault()
    cause = _choose_cause(_test_formats(boxes, truths, 1))
    if cause.num_boxes < MIN_EXPLAINED_SHARE * len(truths):
        return StartFault()
    sentence = f"second box far from the ground truth in {len(names)} sequences: {format_name_list(names)}"
    return StartFault(f"{sentence}; {cause.phrase}", True, cause.fix)


def _is_more_than_a_few(num_far: int, num_sequences: int) -> bool:
    return num_far > max(MAX_FAR_COUNT, MAX_FAR_SHARE * num_sequences) or num_far > num_sequences / 2


def _select_far_boxes(
    predictions: Mapping[str, Sequence[FloatArray]], ground_truths: Sequence[SequenceGroundTruth], frame: int
) -> tuple[FloatArray, list[SequenceGroundTruth]]:
    """Return the boxes of a frame that are far from the ground truth, shape (n, 4), and the ground truth of each."""
    boxes, truths = [], []
    for truth in ground_truths:
        # near a neighboring frame is near enough: some results begin one frame early or late
        expected = truth.boxes[max(0, frame - 1) : frame + 2]
        for run in predictions[truth.name]:
            # after the first frame, a box without area says that the target was lost
            is_comparable = frame == 0 or has_area(run[frame : frame + 1]).all()
            if is_comparable and not _is_near(np.repeat(run[frame : frame + 1], len(expected), axis=0), expected).any():
                boxes.append(run[frame])
                truths.append(truth)
    return np.array(boxes, np.float64).reshape(-1, 4), truths


def _is_near(boxes: FloatArray, expected: FloatArray) -> BoolArray:
    # NaN stands for a frame without a target, which nothing is near to
    with np.errstate(invalid="ignore"):
        distance = np.abs(boxes - expected).max(axis=1, initial=0)
        return np.asarray((_measure_overlap(boxes, expected) >= MIN_START_IOU) | (distance <= MAX_START_DISTANCE))


def _measure_overlap(boxes: FloatArray, expected: FloatArray) -> FloatArray:
    # a format that does not fit can give negative sizes
    return compute_iou(np.hstack([boxes[:, :2], np.maximum(boxes[:, 2:], 0)]), expected)


def _test_formats(boxes: FloatArray, truths: Sequence[SequenceGroundTruth], frame: int) -> list[_Cause]:
    """Return how many far boxes are near the ground truth when read as each known format."""
    expected = np.array([truth.boxes[frame] for truth in truths])
    # fractions lie between 0 and 1, or a little outside for a target that reaches beyond the image
    is_fraction = bool(np.abs(boxes).max() <= MAX_START_DISTANCE)
    formats = dict(BOX_FORMATS)
    if is_fraction:
        formats["x,y,w,h"] = lambda boxes: boxes
    causes, fix = [], "write x,y,w,h in pixels"
    for name, convert in formats.items():
        converted = convert(boxes)
        if is_fraction:
            # the size of the image follows from that of the box; then its position tests the format
            with np.errstate(divide="ignore", invalid="ignore"):
                image_size = np.abs(expected[:, 2:] / converted[:, 2:])
                converted = np.nan_to_num(converted * np.tile(image_size, 2), posinf=0, neginf=0)
        near = _is_near(converted, expected)
        suffix = " in fractions of the image" if is_fraction else ""
        phrase = f"{near.sum()} of them are the ground truth as {name}{suffix}"
        overlap = float(_measure_overlap(converted[near], expected[near]).sum())
        causes.append(_Cause(phrase, fix, int(near.sum()), overlap))
    if is_fraction and max(cause.num_boxes for cause in causes) < MIN_EXPLAINED_SHARE * len(boxes):
        # the numbers are too small for pixels, whatever they mean
        return [
            _Cause(
                f"{len(boxes)} of them are too small for pixels, as fractions of the image are", fix, len(boxes), 0.0
            )
        ]
    return causes


def _match_other_sequences(
    boxes: FloatArray, truths: Sequence[SequenceGroundTruth], ground_truths: Sequence[SequenceGroundTruth]
) -> _Cause:
    """Return how many far boxes are the first box of another sequence with the same number of frames."""
    by_length: dict[int, list[SequenceGroundTruth]] = {}
    for truth in ground_truths:
        by_length.setdefault(len(truth.boxes), []).append(truth)
    # arrays once per length: made anew for each far box, they would take most of the time of a set of 10,000 sequences
    names = {length: np.array([truth.name for truth in group]) for length, group in by_length.items()}
    firsts = {length: np.array([truth.boxes[0] for truth in group]) for length, group in by_length.items()}
    found: dict[str, str] = {}
    overlaps = 0.0
    for box, truth in zip(boxes, truths, strict=True):
        length = len(truth.boxes)
        others = names[length] != truth.name
        repeated = np.broadcast_to(box, firsts[length].shape)
        if (_is_near(repeated, firsts[length]) & others).any():
            overlap = np.where(others, _measure_overlap(repeated, firsts[length]), -1.0)
            found[truth.name] = str(names[length][int(overlap.argmax())])
            overlaps += float(overlap.max())
    pairs = format_name_list([f"{name} has that of {other}" for name, other in found.items()])
    phrase = f"{len(found)} of them are the first box of another sequence of equal length: {pairs}"
    return _Cause(phrase, "store each file under the name of its sequence", len(found), overlaps)


def _choose_cause(causes: Sequence[_Cause]) -> _Cause:
    return max(causes, key=lambda cause: (cause.num_boxes, cause.total_overlap))
