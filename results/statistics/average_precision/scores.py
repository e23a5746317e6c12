"""COCO's twelve numbers from a table of matches, of all images and with each of several groups of images left out.

The accumulation is that of pycocotools: same order of equal scores, same 101 recall points, same rounding. So the
numbers of all images are equal to its numbers in all digits.

Only detections that matched matter for the curve: between two of them precision falls, so the largest precision at or
after any recall is attained at a match. COCO's 36,000 objects are far fewer than its detections. And without a group of
images, the k-th match of a class becomes number k minus those of the group before it, likewise the wrong detections
before it. So all groups are computed at once from the one sorted list.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.array_types import FloatArray, IntArray
from results.statistics.average_precision.match_tables import NUM_THRESHOLDS, MatchTable

RECALL_POINTS = np.linspace(0.0, 1.00, 101)
"""Recall 0, 0.01 ... 1, the very floats of pycocotools: 0.07 is not 7 / 100 in them."""

ABSENT = -1.0
"""The value of a class without objects, which is left out of the mean; pycocotools has the same mark."""

ALL_THRESHOLDS = tuple(range(NUM_THRESHOLDS))


class ScoreDefinition(NamedTuple):
    """What a number is the mean of.

    Attributes:
        is_precision: whether it is a precision (AP) and not a recall (AR).
        area: index of the area range: all, small, medium, large.
        thresholds: indices of the IoU thresholds.
        per_image: how many detections of a class count in an image.
    """

    is_precision: bool
    area: int
    thresholds: tuple[int, ...] = ALL_THRESHOLDS
    per_image: int = 100


SCORE_DEFINITIONS: dict[str, ScoreDefinition] = {
    "AP": ScoreDefinition(True, 0),
    "AP50": ScoreDefinition(True, 0, (0,)),
    "AP75": ScoreDefinition(True, 0, (5,)),
    "AP_small": ScoreDefinition(True, 1),
    "AP_medium": ScoreDefinition(True, 2),
    "AP_large": ScoreDefinition(True, 3),
    "AR1": ScoreDefinition(False, 0, per_image=1),
    "AR10": ScoreDefinition(False, 0, per_image=10),
    "AR100": ScoreDefinition(False, 0),
    "AR_small": ScoreDefinition(False, 1),
    "AR_medium": ScoreDefinition(False, 2),
    "AR_large": ScoreDefinition(False, 3),
}


class _ClassMatches(NamedTuple):
    """The detections of one class from the highest score to the lowest, and its objects by group of images.

    Attributes:
        groups: group of the image of each detection, (n,).
        found, wrong: bits of the thresholds, (n,).
        totals: number of objects without none of the groups, then without each of them, (G + 1,).
    """

    groups: IntArray
    found: NDArray[np.uint16]
    wrong: NDArray[np.uint16]
    totals: IntArray


def compute_detection_score(table: MatchTable, score: str) -> float | None:
    """Return one of COCO's numbers, in percent; ``None`` if no object is in its area range.

    Args:
        table: the matches of all images.
        score: a name in ``SCORE_DEFINITIONS``.
    """
    found = _compute_rows(table, score, np.zeros(table.num_images, np.int64), 0)[0]
    return None if np.isnan(found) else float(found)


def compute_without_groups(table: MatchTable, score: str, groups: IntArray) -> FloatArray:
    """Return the number without each group of images in turn, (G,), in percent.

    The classes are those with objects in all images; one whose objects are all in the group that is left out leaves the
    mean, as it does in pycocotools. If it kept its value instead, a class that is on a single image would seem to have
    no spread at all: in the simulation of docs/explanation/statistics.md (30 classes, many of them rare, 100 images),
    intervals then covered 73 % instead of 82 %.

    Args:
        table: the matches of all images.
        score: a name in ``SCORE_DEFINITIONS``.
        groups: group of each image, (num_images,), numbered from 0.
    """
    return _compute_rows(table, score, groups, int(groups.max()) + 1)[1:]


def compute_class_scores(table: MatchTable, score: str) -> dict[int, float]:
    """Return the number of each class that has objects in the area range, in percent, by label."""
    # all images in one group that is not left out
    definition = SCORE_DEFINITIONS[score]
    alone = np.zeros(table.num_images, np.int64)
    return {
        label: 100 * float(_sample_class(each, definition, 0).mean())
        for label, each in _iter_classes(table, definition, alone, 0)
    }


def _compute_rows(table: MatchTable, score: str, groups: IntArray, num_groups: int) -> FloatArray:
    """Return the number of all images, then without each group, (G + 1,); NaN if no class has objects."""
    definition = SCORE_DEFINITIONS[score]
    classes = [
        _sample_class(each, definition, num_groups) for _, each in _iter_classes(table, definition, groups, num_groups)
    ]
    if not classes:
        return np.full(num_groups + 1, np.nan)
    # (G + 1, thresholds, recall points, classes): the order in which pycocotools sums, so that the last digit is equal
    values = np.stack(classes, -1)
    return np.array([100 * np.mean(each[each > ABSENT]) for each in values])


def _iter_classes(
    table: MatchTable, definition: ScoreDefinition, groups: IntArray, num_groups: int
) -> Iterator[tuple[int, _ClassMatches]]:
    """Yield the matches of each class that has objects in the area range, and its label."""
    area = definition.area
    kept = _find_rank_in_image(table) < definition.per_image
    for label in np.unique(table.object_labels).tolist():
        first, last = np.searchsorted(table.object_labels, [label, label + 1])
        counts, owners = table.object_counts[first:last, area], groups[table.object_images[first:last]]
        total = int(counts.sum())
        if total == 0:
            continue
        first, last = np.searchsorted(table.labels, [label, label + 1])
        rows = first + np.flatnonzero(kept[first:last])
        # stable, as pycocotools sorts: equal scores stay in the order of the images and of the file
        rows = rows[np.argsort(-table.scores[rows], kind="stable")]
        # weighted by the numbers of objects, so the counts come back as floats
        lost = np.bincount(owners, counts, num_groups)[:num_groups].astype(np.int64)
        yield (
            label,
            _ClassMatches(
                groups[table.images[rows]],
                *(table.found[rows, area], table.wrong[rows, area]),
                np.concatenate([[total], total - lost]),
            ),
        )


def _find_rank_in_image(table: MatchTable) -> IntArray:
    """Return the place of each detection among those of its class in its image, from 0, (n,)."""
    place = table.labels * table.num_images + table.images
    starts = np.flatnonzero(np.r_[True, np.diff(place) != 0]) if len(place) else np.zeros(0, np.int64)
    return np.arange(len(place)) - np.repeat(starts, np.diff(np.r_[starts, len(place)]))


def _sample_class(matches: _ClassMatches, definition: ScoreDefinition, num_groups: int) -> FloatArray:
    """Return precision at the recall points or the recall, (G + 1, thresholds, points)."""
    sample = _sample_precision if definition.is_precision else _find_recall
    # a group without detections and objects of the class changes nothing, and most groups of few images are such
    is_touched = matches.totals[1:] < matches.totals[0]
    if num_groups:
        is_touched[matches.groups] = True
    touched = np.flatnonzero(is_touched)
    local = np.cumsum(is_touched) - 1 if num_groups else np.zeros(1, np.int64)
    part = matches._replace(groups=local[matches.groups], totals=np.r_[matches.totals[:1], matches.totals[1:][touched]])
    found = np.stack([sample(part, threshold, len(touched)) for threshold in definition.thresholds], 1)
    # the groups that were not computed are equal to row 0, where nothing is left out
    whole = np.repeat(found[:1], num_groups + 1, 0)
    whole[touched + 1] = found[1:]
    whole[matches.totals == 0] = ABSENT
    return whole


def _find_recall(matches: _ClassMatches, threshold: int, num_groups: int) -> FloatArray:
    """Return the recall of all detections, without none and without each of the groups, (G + 1, 1)."""
    # the last value of the curve of recall: all matches at this threshold
    owners = matches.groups[(matches.found >> threshold) & 1 == 1]
    right = len(owners) - np.r_[0, np.bincount(owners, minlength=num_groups)[:num_groups]]
    return np.asarray((right / np.maximum(matches.totals, 1))[:, None])


def _sample_precision(matches: _ClassMatches, threshold: int, num_groups: int) -> FloatArray:
    """Return the precision at the recall points, without none and without each of the groups, (G + 1, 101)."""
    is_right = (matches.found >> threshold) & 1 == 1
    is_wrong = (matches.wrong >> threshold) & 1 == 1
    owners, count = matches.groups[is_right], int(is_right.sum())
    if count == 0:
        return np.zeros((num_groups + 1, len(RECALL_POINTS)))
    # of a wrong detection: how many right ones stand before it
    wrong_owners, wrong_places = matches.groups[is_wrong], np.cumsum(is_right)[is_wrong]
    wrong_before = np.cumsum(np.bincount(wrong_places, minlength=count + 1))[:count]
    # row 0 leaves nothing out; column j counts what of the group stands at or before the j-th right detection
    lost_right = np.zeros((num_groups + 1, count), np.int64)
    lost_wrong = np.zeros((num_groups + 1, count), np.int64)
    if num_groups:
        lost_right[owners + 1, np.arange(count)] = 1
        cells = wrong_owners * (count + 1) + wrong_places
        sized = np.bincount(cells, minlength=num_groups * (count + 1)).reshape(num_groups, count + 1)
        lost_wrong[1:] = np.cumsum(sized, 1)[:, :count]
    is_lost = lost_right == 1
    right = np.arange(1, count + 1) - np.cumsum(lost_right, 1)
    wrong = wrong_before - lost_wrong
    # pycocotools adds the spacing of 1, which is seen in the last digit
    precision = right / (wrong + right + np.spacing(1))
    precision[is_lost] = 0.0
    # the largest precision at this recall or a higher one; behind the last match it is 0
    envelope = np.zeros((num_groups + 1, count + 1))
    envelope[:, :count] = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    places = _find_places(right, _count_needed(np.maximum(matches.totals, 1)))
    return np.asarray(np.take_along_axis(envelope, places, 1))


def _count_needed(totals: IntArray) -> IntArray:
    """Return how many matches reach each recall point: the least k with k / total >= recall in floats, (rows, 101)."""
    wanted = np.ceil(RECALL_POINTS * totals[:, None])
    # the product is rounded differently than the quotient that pycocotools compares, so look one below and one above
    wanted -= (wanted - 1) / totals[:, None] >= RECALL_POINTS
    wanted += wanted / totals[:, None] < RECALL_POINTS
    # recall 0 is reached by the first detection, where the largest precision is that of the first match or later
    return np.maximum(wanted, 1).astype(np.int64)


def _find_places(right: IntArray, needed: IntArray) -> IntArray:
    """Return the first column at which each row reaches the needed numbers; the number of columns if it does not.

    Args:
        right: numbers of matches, rising along each row, (rows, n).
        needed: (rows, points).
    """
    rows, count = right.shape
    # one search for all rows: shifted by more than the largest number, the rows follow each other in rising order
    shift = np.arange(rows)[:, None] * (count + 2)
    flat = np.searchsorted((right + shift).ravel(), (np.minimum(needed, count + 1) + shift).ravel())
    return np.asarray(flat.reshape(needed.shape) - np.arange(rows)[:, None] * count, np.int64)
