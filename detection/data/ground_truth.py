"""The annotated images of a data set, in columns. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PolygonMask = list[NDArray[np.float64]]
"""The outlines of one object, each (points, 2): x and y in pixels; their union is the object."""

RleMask = dict[str, Any]
"""COCO's run lengths of one object, compressed: ``size`` [height, width] and ``counts`` (bytes), column by column."""

InstanceMask = PolygonMask | RleMask


class Category(NamedTuple):
    """A class of objects: its id in the annotation file, which may have gaps, and its name."""

    id: int
    name: str


class DetectionImage(NamedTuple):
    """An image of a split: its id and size in the annotation file, and where it lies.

    Attributes:
        id: of the annotation file.
        name: ``file_name`` of the annotation file, with forward slashes.
        path: the file.
        height, width: in pixels, as the annotation file states them.
    """

    id: int
    name: str
    path: Path
    height: int
    width: int


@dataclass(frozen=True)
class Annotations:
    """The objects of all images of a split, image after image.

    Attributes:
        images: index of each object's image within the split, (n,), int64, ascending.
        ids: of the annotation file, (n,), int64.
        labels: index of each object's category in ``DetectionDataset.categories``, (n,), int64.
        boxes: left, top, width and height in pixels, (n, 4), float64, as the file states them.
        areas: the field ``area``, square pixels, (n,), float64.
        is_crowd: whether one mask covers a group of objects, (n,), bool.
        masks: the mask of each object; ``None`` if the data set has boxes alone.
    """

    images: NDArray[np.int64]
    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    is_crowd: NDArray[np.bool_]
    masks: Sequence[InstanceMask] | None

    def __len__(self) -> int:
        return len(self.ids)

    def find_rows(self, image: int) -> slice:
        """Return the rows of an image's objects.

        Args:
            image: index of the image within the split.
        """
        start, end = np.searchsorted(self.images, [image, image + 1])
        return slice(int(start), int(end))


@dataclass(frozen=True)
class DetectionSplit:
    """The images of a split, in ascending order of their ids, and their objects."""

    images: Sequence[DetectionImage]
    annotations: Annotations

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class DetectionDataset:
    """A data set as found on disk.

    Attributes:
        name: the task's name.
        root: the data set's folder.
        splits: ``train``, ``test``, and ``val`` if there is one. The public validation split of COCO is ``test`` here:
            nothing is chosen on it.
        categories: in ascending order of their ids; a label is an index into them.
        has_masks: whether all objects have masks; if not, there is no mask AP, and no mask head.
        notes: what was decided while the files were read, for the report.
    """

    name: str
    root: Path
    splits: Mapping[str, DetectionSplit]
    categories: Sequence[Category]
    has_masks: bool
    notes: tuple[str, ...] = ()
