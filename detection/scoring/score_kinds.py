"""Score detections by boxes and by masks, and say what stands beside the numbers. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from detection.data.ground_truth import Category, DetectionSplit
from detection.scoring.coco_metric import KIND_OF_PREFIX, KindScores, score_split
from detection.scoring.detections import DetectionColumns, count_tied_detections


def score_kinds(
    split: DetectionSplit, categories: Sequence[Category], detections: DetectionColumns
) -> dict[str, KindScores]:
    """Score the detections by boxes, if they have them, and by masks; by prefix of the metrics' names."""
    # each kind is scored from its own field alone
    given = {"box": detections.boxes is not None, "mask": detections.masks is not None}
    return {
        prefix: score_split(split, categories, detections, kind)
        for prefix, kind in KIND_OF_PREFIX.items()
        if given[prefix]
    }


def list_scores(found: Mapping[str, KindScores]) -> dict[str, float]:
    """Return the numbers in percent under their full names, without those that no object has the size for."""
    return {
        f"{prefix}_{name}": value
        for prefix, each in found.items()
        for name, value in each.scores.items()
        if value is not None
    }


def name_class_scores(found: Mapping[str, KindScores], categories: Sequence[Category]) -> dict[str, dict[str, float]]:
    """Return AP by kind and name of the class."""
    return {
        prefix: {categories[label].name: value for label, value in each.class_scores.items()}
        for prefix, each in found.items()
    }


def count_detections(split: DetectionSplit, detections: DetectionColumns) -> dict[str, int]:
    """Return what is said beside the numbers: counts of images, detections and ties."""
    # crowds are never to be found, so a class with crowds alone has no AP
    counted = split.annotations.labels[~split.annotations.is_crowd]
    return {
        "images": len(split),
        "images_without_detections": len(split) - len(np.unique(detections.images)),
        "detections": len(detections),
        "tied_detections": count_tied_detections(detections),
        "classes_with_objects": len(np.unique(counted)),
        "objects": len(counted),
    }
