"""What a record holds of a scored test split: its metrics, and the files and facts beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detection.data.ground_truth import DetectionDataset
from detection.evaluation import DetectionMetric
from detection.scoring.detection_files import DETECTIONS_FILE, write_matches
from detection.scoring.metric_names import CLASS_SCORES_ENTRY, COUNTS_ENTRY, MATCHES_ENTRY
from engine.task import Task
from foundation.files import sha256_file
from results.records.record import MetricValue

CATEGORIES_ENTRY = "categories"
"""Entry of a record's details: id and name of each class, by which a finished detector says what it found."""


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


def describe_scores(dataset: DetectionDataset, metric: DetectionMetric, folder: Path) -> dict[str, Any]:
    """Return what a record holds besides the metrics, and write the matches of every image to a file.

    Args:
        dataset: the data set.
        metric: after its evaluation of the test split, for which its results file was written to the folder.
        folder: the run's folder.
    """
    # anything here may be null or missing in a record of somebody else; readers check what they need
    return {
        "classes": len(dataset.categories),
        CATEGORIES_ENTRY: [[category.id, category.name] for category in dataset.categories],
        "has_masks": dataset.has_masks,
        COUNTS_ENTRY: metric.counts,
        "second_implementation": metric.second_implementation,
        CLASS_SCORES_ENTRY: metric.class_scores,
        # written first: a complete record never lacks the files that it names
        MATCHES_ENTRY: write_matches(folder, metric.match_tables),
        "detections": {"file": DETECTIONS_FILE, "sha256": sha256_file(folder / DETECTIONS_FILE)},
    }
