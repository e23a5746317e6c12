"""Detections of a set of images in columns, as the metric takes them. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detection.data.ground_truth import RleMask
from foundation.array_types import FloatArray, IntArray


@dataclass(frozen=True)
class DetectionColumns:
    """Detections of all images of a split.

    Attributes:
        images: index of the image within the split, (n,).
        labels: index of the category, (n,).
        scores: from 0 to 1, (n,), float64.
        boxes: left, top, width and height in pixels of the original image, (n, 4), float64; ``None`` if there are masks
            alone.
        masks: compressed run lengths at the size of the original image; ``None`` if there are boxes alone.
    """

    images: IntArray
    labels: IntArray
    scores: FloatArray
    boxes: FloatArray | None
    masks: Sequence[RleMask] | None

    def __len__(self) -> int:
        return len(self.scores)


def sort_detections(detections: DetectionColumns) -> DetectionColumns:
    """Return the detections in the order in which bench writes them: image, falling score, label; then as they were.

    Equal scores are ordered by nothing but their place in the file, and AP depends on it.
    """
    # lexsort takes the last key first and is stable
    order = np.lexsort((detections.labels, -detections.scores, detections.images))
    masks, boxes = detections.masks, detections.boxes
    return DetectionColumns(
        *(detections.images[order], detections.labels[order], detections.scores[order]),
        None if boxes is None else boxes[order],
        None if masks is None else [masks[place] for place in order.tolist()],
    )


def count_tied_detections(detections: DetectionColumns) -> int:
    """Return how many detections share their score with another one of their class, so that AP depends on their order.

    Across images the order is that of the image ids; within an image it is that of the file.
    """
    if not len(detections):
        return 0
    # of one class: detections of other classes are never compared with each other
    _, place, counts = np.unique(
        np.stack([detections.labels.astype(np.float64), detections.scores]),
        axis=1, return_inverse=True, return_counts=True,
    )  # fmt: skip
    return int((counts[place.ravel()] > 1).sum())
