"""The part of a data set that a limit of items keeps. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from detection.data.ground_truth import Annotations, DetectionDataset, DetectionSplit
from engine.data.item_limits import spread_indices


def limit_dataset(dataset: DetectionDataset, max_items: int | None) -> DetectionDataset:
    """Return the part of each split that a limit keeps.

    Args:
        dataset: the data set.
        max_items: see ``ProtocolSettings.max_items``.
    """
    splits = {
        name: split if len(kept := spread_indices(len(split), max_items)) == len(split) else take_images(split, kept)
        for name, split in dataset.splits.items()
    }
    return replace(dataset, splits=splits)


def take_images(split: DetectionSplit, kept: Sequence[int]) -> DetectionSplit:
    """Return some images of a split with their objects.

    Args:
        split: images and objects.
        kept: indices of the images, ascending.
    """
    found = split.annotations
    # objects are sorted by image, so those of an image are one range of rows
    ranges = [found.find_rows(image) for image in kept]
    rows = np.concatenate([np.zeros(0, np.int64), *(np.arange(each.start, each.stop) for each in ranges)])
    objects = Annotations(
        # images are numbered anew, from 0, in the same order
        images=np.repeat(np.arange(len(kept)), [each.stop - each.start for each in ranges]).astype(np.int64),
        ids=found.ids[rows],
        labels=found.labels[rows],
        boxes=found.boxes[rows],
        areas=found.areas[rows],
        is_crowd=found.is_crowd[rows],
        masks=None if found.masks is None else [found.masks[row] for row in rows.tolist()],
    )
    return DetectionSplit([split.images[image] for image in kept], objects)
