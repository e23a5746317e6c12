"""Score the detections that a run has stored again, for ``bench verify``. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from detection.data.ground_truth import Annotations, Category, DetectionSplit
from detection.scoring.detection_files import DETECTIONS_FILE
from detection.scoring.image_scores import ImageScores, score_images
from detection.scoring.metric_names import CLASS_SCORES_ENTRY, COUNTS_ENTRY
from detection.scoring.results_file import read_results
from detection.scoring.score_kinds import count_detections, name_class_scores, score_kinds
from results.statistics.average_precision.match_tables import MatchTable


class RescoredDetections(NamedTuple):
    """What follows from stored detections.

    Attributes:
        rows: of the per-item table.
        matches: by kind.
        facts: entries of a record's details that follow from the detections too, by name.
    """

    rows: list[ImageScores]
    matches: dict[str, MatchTable]
    facts: dict[str, Any]


def rescore_detections(
    split: DetectionSplit, categories: Sequence[Category], has_masks: bool, folder: Path
) -> RescoredDetections:
    """Score the file of detections in a run's folder.

    Args:
        split: the images that the run was tested on, and their objects.
        categories: in ascending order of their ids.
        has_masks: whether the run scored masks, which a file without any detection does not say.
        folder: the run's folder.

    Raises:
        DataError: the file is missing or does not belong to the images.
    """
    detections = read_results(folder / DETECTIONS_FILE, split, categories)
    if not len(detections):
        detections = replace(detections, boxes=np.zeros((0, 4)), masks=[] if has_masks else None)
    found = score_kinds(split, categories, detections)
    return RescoredDetections(
        score_images(split, detections, found["box"].matches),
        {kind: each.matches for kind, each in found.items()},
        {CLASS_SCORES_ENTRY: name_class_scores(found, categories), COUNTS_ENTRY: count_detections(split, detections)},
    )


def select_images(split: DetectionSplit, names: Collection[str]) -> DetectionSplit:
    """Return the images with these names and their objects: what a limited run was tested on.

    Args:
        split: all images.
        names: of the images to keep; others are ignored.
    """
    # by name, not by number: the table of a limited run has the numbers of the limited split
    wanted = set(names)
    kept = np.array([image.name in wanted for image in split.images], np.bool_)
    if kept.all():
        return split
    rows = split.annotations
    chosen = kept[rows.images]
    masks = rows.masks
    # the index of an image is the number of kept ones before it
    places = np.cumsum(kept) - 1
    annotations = Annotations(
        *(places[rows.images[chosen]], rows.ids[chosen], rows.labels[chosen], rows.boxes[chosen], rows.areas[chosen]),
        rows.is_crowd[chosen],
        None if masks is None else [masks[row] for row in np.flatnonzero(chosen).tolist()],
    )
    return DetectionSplit([image for image in split.images if image.name in wanted], annotations)
