"""The row of each image in the per-item table: what it holds, and how well it alone was detected. Imports no torch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detection.data.ground_truth import DetectionSplit
from detection.scoring.detections import DetectionColumns
from foundation.array_types import IntArray
from results.statistics.average_precision.match_tables import MatchTable


class ImageScores(NamedTuple):
    """An image of the test split.

    Attributes:
        item: index of the image within the split.
        image_id: its id in the annotation file.
        name: its file name in the annotation file.
        objects: number of objects without crowds.
        detections: number of detections.
        found: objects found by a box (without boxes: a mask) at IoU 0.50.
        wrong: detections that match no object at IoU 0.50; those on crowds are not counted.
        F1: 2 found / (2 found + wrong + missed), in percent; 100 for an image without objects and detections. It sorts
            pictures from worst to best; it is no part of AP.
    """

    item: int
    image_id: int
    name: str
    objects: int
    detections: int
    found: int
    wrong: int
    F1: float


def score_images(split: DetectionSplit, detections: DetectionColumns, matches: MatchTable) -> list[ImageScores]:
    """Return a row for each image of a split, in its order.

    Args:
        split: the images and their objects.
        detections: all detections.
        matches: the matches of their boxes, or of their masks if there are no boxes.
    """
    count = len(split)

    def count_rows(images: IntArray) -> IntArray:
        return np.bincount(images, minlength=count)

    # a crowd is no object that could be found or missed
    objects = count_rows(split.annotations.images[~split.annotations.is_crowd])
    # bit 0 is IoU 0.50, column 0 all sizes
    found = count_rows(matches.images[matches.found[:, 0] & 1 == 1])
    wrong = count_rows(matches.images[matches.wrong[:, 0] & 1 == 1])
    # missed + found = objects, so 2 found + wrong + missed = found + wrong + objects
    total = found + wrong + objects
    f1 = np.where(total > 0, 200 * found / np.maximum(total, 1), 100.0)
    numbers = (objects, count_rows(detections.images), found, wrong, f1)
    columns = zip(split.images, *(each.tolist() for each in numbers), strict=True)
    return [ImageScores(item, image.id, image.name, *cells) for item, (image, *cells) in enumerate(columns)]
