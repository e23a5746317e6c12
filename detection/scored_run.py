"""What a record holds of a scored test split: its metrics, and the files and facts beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from detection.data.ground_truth import DetectionDataset
from detection.evaluation import DetectionMetric
from detection.scoring.detection_files import write_matches
from detection.scoring.image_scores import ImageScores, score_images
from detection.scoring.metric_names import MATCHES_ENTRY
from detection.scoring.results_file import read_results
from detection.scoring.score_kinds import score_kinds
from engine.task import Task
from foundation.files import sha256_file
from results.records.record import MetricValue
from results.statistics.average_precision.match_tables import MatchTable

RESULT_FILE = "detections.json"
"""The detections of the test split as a results file of COCO."""


def make_metric_values(task: Task, values: Mapping[str, float], num_images: int) -> dict[str, MetricValue]:
    """Return the metrics that a task declares and a run has.

    A data set with boxes alone has no mask AP, and one without large objects no AP of these: such metrics are left out,
    because a number that is not there must not be read as 0.

    Args:
        task: declares the metrics.
        values: in percent by name.
        num_images: number of test images.
    """
    return {
        spec.name: MetricValue(
            value=values[spec.name], unit=spec.unit, higher_is_better=spec.higher_is_better, n=num_images
        )
        for spec in task.metrics
        if spec.name in values
    }


class RescoredSplit(NamedTuple):
    """What stored detections give: a row for each image, and the matches by kind."""

    image_scores: list[ImageScores]
    match_tables: dict[str, MatchTable]


def rescore_detections(dataset: DetectionDataset, path: Path) -> RescoredSplit:
    """Score the detections that a run has stored.

    Args:
        dataset: the data that the run was scored on.
        path: its file of detections.

    Raises:
        DataError: the file is not there, or a detection fits no image or category.
    """
    split = dataset.splits["test"]
    detections = read_results(path, split, dataset.categories)
    # a file without any detection does not say whether it would have had masks
    if not len(detections):
        empty = [] if dataset.has_masks else None
        detections = replace(detections, boxes=np.zeros((0, 4)), masks=empty)
    tables = {kind: each.matches for kind, each in score_kinds(split, dataset.categories, detections).items()}
    return RescoredSplit(score_images(split, detections, tables["box"]), tables)


def describe_scores(dataset: DetectionDataset, metric: DetectionMetric, folder: Path) -> dict[str, Any]:
    """Return what a record holds besides the metrics, and write the matches of every image to a file.

    Args:
        dataset: the data set.
        metric: after its evaluation of the test split, for which its results file was written to the folder.
        folder: the run's folder.
    """
    return {
        "classes": len(dataset.categories),
        "has_masks": dataset.has_masks,
        "counts": metric.counts,
        "second_implementation": metric.second_implementation,
        "AP_by_class": metric.class_scores,
        MATCHES_ENTRY: write_matches(folder, metric.match_tables),
        "detections": {"file": RESULT_FILE, "sha256": sha256_file(folder / RESULT_FILE)},
    }
