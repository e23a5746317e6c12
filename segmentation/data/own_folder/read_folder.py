"""Read a user's own images and label files, in the layouts in which people have them. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from engine.data.data_options import DataOptions, find_option_file, get_data_options
from engine.data.file_hashes import hash_files
from engine.data.image_formats import is_image_name
from engine.data.tree_files import TreeFiles, list_tree, require_all_used
from foundation.errors import DataError
from foundation.hash_order import order_by_hash
from foundation.run_scope import memoize_in_run
from segmentation.data.dataset_layout import ImageLabelPair, SegmentationDataset
from segmentation.data.own_folder.class_lists import (
    NAME_LIST,
    TABLE_FILES,
    ClassList,
    read_class_table,
    read_name_list,
    require_same_lists,
)
from segmentation.data.own_folder.file_roles import find_file_role
from segmentation.data.own_folder.label_options import make_own_label_space
from segmentation.data.own_folder.pair_files import pair_named_files
from segmentation.data.own_folder.published_trees import VOC_CLASSES, find_cityscapes_tree, find_voc_tree

TEST_FRACTION = 0.2
"""Fraction of the images that becomes the test split if no folder or list is named after val or test."""

SPLIT_SALT = "bench-segfolder-split-1"
"""Part of every hash that decides on the test split; it stands in the ids of runs, so it never changes."""

AnySplits = Mapping[str | None, Sequence[ImageLabelPair]]


class _FoundFiles(NamedTuple):
    """What a layout is made of: pairs, all files that belong to it, class lists that come with it, and notes."""

    splits: AnySplits
    used: frozenset[str]
    classes: ClassList | None
    notes: tuple[str, ...]


@memoize_in_run
def read_segfolder(root: Path, *, test_only: bool = False) -> SegmentationDataset:
    """Find a user's own images and label files below ``root`` and pair them.

    Folders are read by their names: one of a pair says which split its files belong to, one whether they are images or
    label files (``images/train`` and ``labels/train``, ``train/images`` and ``train/masks``, ``train`` and
    ``train_labels``, images beside ``NAME_mask.png``), in any order; folders of other names become a part of the
    image's name. Cityscapes' and Pascal VOC's own trees are read too. Every file of the tree must be used.

    Args:
        root: the folder.
        test_only: leave the other splits out.

    Raises:
        DataError: the folder cannot be read in exactly one way; the message names the file and what helps.
    """
    if not root.is_dir():
        raise DataError(f"no segfolder under {root}: there is no such folder; name your folder with --data-root")
    options = get_data_options()
    tree = list_tree(root)
    _require_no_inner_links(root)
    lists, list_paths = _find_class_lists(tree, options)
    found = _find_files(tree, has_list=bool(lists))
    splits, split_notes = _name_splits(root, found.splits)
    if not test_only:
        require_all_used(tree, {*found.used, *list_paths}, _hint_unused(tree, found.used))
    if lists:
        classes = require_same_lists(lists)
    elif found.classes is not None:
        classes = found.classes
    else:
        raise _make_unnamed_error(root, [pair for pairs in splits.values() for pair in pairs])
    label_space, label_notes = make_own_label_space(classes, options)
    wanted = [split for split in ("train", "val", "test") if split in splits and (split == "test" or not test_only)]
    notes = (classes.describe(), *label_notes, *split_notes, *found.notes)
    return SegmentationDataset(
        "segfolder",
        root,
        {split: splits[split] for split in wanted},
        label_space,
        has_own_classes=True,
        notes=tuple(shorten_note(note) for note in notes),
        class_file=classes.file,
    )
