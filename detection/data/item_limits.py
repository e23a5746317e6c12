"""Take a part of the images of a split, with their objects. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from detection.data.ground_truth import Annotations, DetectionDataset, DetectionSplit
from engine.data.item_limits import spread_indices


def select_images(split: DetectionSplit, indices: Sequence[int]) -> DetectionSplit:
    """Return some images of a split with their objects.

    Args:
        split: the whole split.
        indices: of the images, ascending.
    """
    found = split.annotations
    slices = [found.find_rows(index) for index in indices]
    rows = np.concatenate([np.arange(each.start, each.stop) for each in slices] or [np.empty(0)]).astype(np.int64)
    images = np.repeat(np.arange(len(indices)), [each.stop - each.start for each in slices]).astype(np.int64)
    columns = Annotations(
        images=images,
        ids=found.ids[rows],
        labels=found.labels[rows],
        boxes=found.boxes[rows],
        areas=found.areas[rows],
        is_crowd=found.is_crowd[rows],
        masks=None if found.masks is None else [found.masks[row] for row in rows],
    )
    return DetectionSplit([split.images[index] for index in indices], columns)


def limit_dataset(dataset: DetectionDataset, max_items: int | None) -> DetectionDataset:
    """Return the part of each split that a limit keeps.

    Args:
        dataset: the whole data set.
        max_items: see ``ProtocolSettings.max_items``.
    """
    if max_items is None:
        return dataset
    splits = {
        name: select_images(split, list(spread_indices(len(split), max_items)))
        for name, split in dataset.splits.items()
    }
    return replace(dataset, splits=splits)
