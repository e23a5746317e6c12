"""What the readers of a user's folder have in common: images with objects, before they get ids. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detection.data.ground_truth import Annotations, Category, DetectionImage, DetectionSplit, InstanceMask
from detection.data.instance_masks import measure_mask
from engine.data.decode import HEADER_ERRORS, decode_rgb, open_header, read_image_file, read_orientation
from engine.data.split_folders import parse_split_name
from foundation.errors import DataError

_TURNED = (5, 6, 7, 8)
"""Orientation tags with which height and width are exchanged."""


class FoundObject(NamedTuple):
    """An object: index of its category, box as left, top, width, height in pixels, and its mask, if it has one."""

    label: int
    box: list[float]
    is_crowd: bool = False
    mask: InstanceMask | None = None


class FoundImage(NamedTuple):
    """An image: path below the root with forward slashes, split (``None``: in none), size in pixels, objects."""

    name: str
    split: str | None
    height: int
    width: int
    objects: Sequence[FoundObject]


class FoundFolder(NamedTuple):
    """A user's folder as a reader found it.

    Attributes:
        splits: the images of each split, with ids; those in no split under ``None``.
        categories: in ascending order of their ids.
        used: paths below the root, with forward slashes, of all files that belong to the data.
        notes: what was decided.
    """

    splits: dict[str | None, DetectionSplit]
    categories: Sequence[Category]
    used: frozenset[str]
    notes: tuple[str, ...]


def find_path_split(path: str) -> str | None:
    """Return the split that a path's folders name, the innermost first; ``None`` if none of them does.

    Args:
        path: with forward slashes.

    >>> find_path_split("images/train/a.jpg"), find_path_split("valid/images/a.jpg"), find_path_split("images/a.jpg")
    ('train', 'val', None)
    """
    for part in reversed(path.split("/")[:-1]):
        if (found := parse_split_name(part)) is not None:
            return found.split
    return None


def read_upright_size(path: Path) -> tuple[int, int]:
    """Return height and width of an image in pixels, turned as its orientation tag says.

    Args:
        path: the image file.

    Raises:
        DataError: it is not an image.
    """
    try:
        with open_header(path) as header:
            width, height = header.size
            has_tag = header.format in ("JPEG", "MPO", "TIFF", "PNG", "WEBP")
    except HEADER_ERRORS:
        width, height = decode_rgb(read_image_file(path), path).size  # says what is wrong
        has_tag = True
    turned = has_tag and read_orientation(read_image_file(path), path) in _TURNED
    return (width, height) if turned else (height, width)


def number_images(root: Path, images: Sequence[FoundImage]) -> dict[str | None, DetectionSplit]:
    """Give images and objects ids from 1 on, in the order of the images' names, and return them by split.

    Args:
        root: the folder.
        images: with their objects.
    """
    # by name, since the order of a folder is the file system's
    ordered = sorted(images, key=lambda image: image.name)
    ids = {image.name: number for number, image in enumerate(ordered, start=1)}
    first_ids = dict(zip(ids, np.cumsum([1, *(len(image.objects) for image in ordered)]).tolist()[:-1], strict=True))
    return {
        split: _build_split(root, [image for image in ordered if image.split == split], ids, first_ids)
        for split in dict.fromkeys(image.split for image in ordered)
    }


def _build_split(
    root: Path, images: Sequence[FoundImage], ids: dict[str, int], first_ids: dict[str, int]
) -> DetectionSplit:
    rows = [(index, image, k, each) for index, image in enumerate(images) for k, each in enumerate(image.objects)]
    masks = [each.mask for _, _, _, each in rows]
    areas = [
        each.box[2] * each.box[3] if each.mask is None else measure_mask(each.mask, image.height, image.width)[0]
        for _, image, _, each in rows
    ]
    columns = Annotations(
        images=np.array([index for index, *_ in rows], np.int64),
        ids=np.array([first_ids[image.name] + k for _, image, k, _ in rows], np.int64),
        labels=np.array([each.label for *_, each in rows], np.int64),
        boxes=np.array([each.box for *_, each in rows], np.float64).reshape(-1, 4),
        areas=np.array(areas, np.float64),
        is_crowd=np.array([each.is_crowd for *_, each in rows], np.bool_),
        masks=[mask for mask in masks if mask is not None] if masks and None not in masks else None,
    )
    entries = [DetectionImage(ids[each.name], each.name, root / each.name, each.height, each.width) for each in images]
    return DetectionSplit(entries, columns)


def require_box_inside(box: Sequence[float], height: int, width: int, where: str) -> None:
    """Require that a box has numbers, no negative size, and a part within its image.

    Args:
        box: left, top, width and height in pixels.
        height: of the image, pixels.
        width: of the image, pixels.
        where: file and line, for the message.

    Raises:
        DataError: it has not.
    """
    left, top, wide, high = box
    # a box of infinite size passes every comparison below, and trains to NaN
    if not all(map(math.isfinite, box)) or wide < 0 or high < 0:
        raise DataError(f"{where} has a box of {wide:g} x {high:g} px; write finite numbers, and no negative sizes")
    if left >= width or top >= height or left + wide <= 0 or top + high <= 0:
        raise DataError(
            f"{where} has a box at {left:g}, {top:g} px (left, top), which lies outside of its image of {width} x "
            f"{height} px; correct it, or remove the object"
        )


def require_known_label(label: int, categories: Sequence[Category], where: str) -> int:
    """Return a category's index, if there is such a category.

    Args:
        label: index from 0.
        categories: the categories.
        where: file and line, for the message.

    Raises:
        DataError: there is none.
    """
    if not 0 <= label < len(categories):
        raise DataError(
            f"{where} has the class {label}, and the list has {len(categories)} names, 0 to {len(categories) - 1}; "
            "correct the number, or add the name"
        )
    return label
