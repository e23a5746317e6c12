"""The labeled images of a user: what class folders and tables of labels have in common. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from classification.data.image_collections import hash_image_files
from classification.data.own_images.content_split import require_one_label, split_by_content
from classification.data.own_images.image_tree import ImageTree

WHOLE = ""
"""Name of the one split of images that have no splits."""


class LabeledImages(NamedTuple):
    """Some images and the class of each.

    Attributes:
        paths: path of each image below the user's folder.
        names: name of the class of each.
        digests: SHA-256 of the content of each, where it was needed already; else ``None``.
    """

    paths: Sequence[str]
    names: Sequence[str]
    digests: Sequence[str] | None = None


class UserImages(NamedTuple):
    """What was found in a user's folder.

    Attributes:
        splits: the images by split, as ``train``, ``val`` and ``test``, or all of them as ``WHOLE``.
        places: folder of each split below the user's folder; empty for a table.
        classes: number of each class.
        notes: what was decided, one sentence each.
    """

    splits: Mapping[str, LabeledImages]
    places: Mapping[str, str]
    classes: Mapping[str, int]
    notes: tuple[str, ...]


def sort_images(images: LabeledImages) -> LabeledImages:
    """Return images class by class and by path, the order of class folders, whatever the order of a table is."""
    pairs = sorted(zip(images.paths, images.names, strict=True), key=lambda pair: (pair[1], os.path.split(pair[0])))
    return LabeledImages([path for path, _ in pairs], [name for _, name in pairs])


def hash_labeled_images(tree: ImageTree, images: LabeledImages) -> LabeledImages:
    """Return images with the digest of the content of each.

    Raises:
        DataError: a file is empty or cannot be read, or two files of equal content have two labels.
    """
    digests = hash_image_files(tree.root, images.paths)
    require_one_label(images.paths, images.names, digests, str(tree.root))
    return images._replace(digests=digests)


def cut_splits(tree: ImageTree, whole: LabeledImages) -> dict[str, LabeledImages]:
    """Cut the fixed test and val split from images without splits.

    Raises:
        DataError: as ``hash_labeled_images``, or a class is too small.
    """
    # the content of every file decides, so here no sample of a very large set is enough
    hashed = hash_labeled_images(tree, whole)
    assert hashed.digests is not None
    chosen = split_by_content(hashed.names, hashed.digests, str(tree.root))
    splits = {}
    for split in ("train", "val", "test"):
        items = [item for item, name in enumerate(chosen) if name == split]
        splits[split] = LabeledImages(*([column[item] for item in items] for column in hashed))  # type: ignore[index]
    return splits
