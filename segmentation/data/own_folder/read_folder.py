"""Read a user's own images and label files, in the layouts in which people have them. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from engine.data.data_options import DataOptions, find_option_file, format_exclusion, get_data_options
from engine.data.file_hashes import hash_files
from engine.data.image_formats import UNREAD_IMAGE_SUFFIXES, describe_unopened, is_image_name
from engine.data.split_folders import SPLIT_ALIASES
from engine.data.tree_files import TreeFiles, list_tree, require_all_used
from foundation.errors import DataError
from foundation.hash_order import order_by_hash
from foundation.run_scope import memoize_in_run
from foundation.text.user_names import require_text_name
from segmentation.data.dataset_layout import ImageLabelPair, SegmentationDataset
from segmentation.data.own_folder.class_lists import (
    NAME_LIST,
    TABLE_FILES,
    ClassList,
    read_class_table,
    read_name_list,
    require_same_lists,
)
from segmentation.data.own_folder.file_roles import find_file_role, require_one_name_per_split
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
    # everything below the folder, and not only what the layout expects: see require_all_used below
    tree = list_tree(root)
    for path in tree.files:  # a name that no record can hold
        require_text_name(path)
    _require_no_inner_links(root)
    lists, list_paths = _find_class_lists(tree, options)
    found = _find_files(tree, bool(lists), test_only)
    splits, split_notes = _name_splits(root, found.splits, test_only)
    # a finished model is tested on a folder whose training part may be incomplete
    if not test_only:
        require_all_used(tree, {*found.used, *list_paths}, _hint_unused(tree, found.used))
    # the user's own list wins over the facts of a published set
    if lists:
        classes = require_same_lists(root, lists)
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


def shorten_note(text: str, limit: int = 120) -> str:
    """Return a note that fits in a line."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _require_no_inner_links(root: Path) -> None:
    """Refuse a folder that is a link to another one of the data: its files would be in two places, or in neither."""
    # list_tree enters no folder twice, so of two links one would be missing
    home = root.resolve()
    for place, folders, _ in os.walk(root):
        for name in folders:
            path = Path(place, name)
            if path.is_symlink() and path.resolve().is_relative_to(home):
                raise DataError(
                    f"{path} is a link to {path.resolve()}, which is in the data too, so its files would be twice; "
                    "remove the link, or put other files there"
                )


def _find_class_lists(tree: TreeFiles, options: DataOptions) -> tuple[list[ClassList], list[str]]:
    """Read every class list of the data, that of ``--colours`` first, and return them with their paths below the root.

    Roboflow puts one beside the images of each split, so a list may lie anywhere.
    """
    paths = [path for path in tree.files if PurePosixPath(path).name.lower() in (NAME_LIST, *TABLE_FILES)]
    lists = []
    if options.colours is not None:
        file = find_option_file(tree.root, options.colours)
        lists.append(read_class_table(file))
        paths += [path for path in tree.files if path not in paths and (tree.root / path).samefile(file)]
    # the outermost list is named in notes
    for path in sorted(paths, key=lambda path: (path.count("/"), path)):
        file = tree.root / path
        if not any(file.samefile(each.file) for each in lists):
            lists.append(read_name_list(file) if file.name.lower() == NAME_LIST else read_class_table(file))
    return lists, paths


def _find_files(tree: TreeFiles, has_list: bool, test_only: bool) -> _FoundFiles:
    """Find the pairs in the layout that the tree has."""
    if (voc := find_voc_tree(tree)) is not None:
        names = ClassList(Path("Pascal VOC"), VOC_CLASSES, tuple(range(len(VOC_CLASSES))))
        return _FoundFiles(voc.splits, voc.used, names if voc.is_official else None, voc.notes)
    # a list beside the tree says that the label files are the user's own
    cityscapes = None if has_list else find_cityscapes_tree(tree)
    paths = frozenset(cityscapes.files if cityscapes else filter(is_image_name, tree.files))
    roles = [find_file_role(tree.root, path) for path in sorted(paths)]
    require_one_name_per_split(tree.root, roles)
    if test_only:  # the other splits need not be there, nor be whole
        named = [split for split in ("test", "val") if any(role.split == split for role in roles)]
        roles = [role for role in roles if not named or role.split == named[0]]
    if roles and not any(role.role == "mask" for role in roles):
        _require_label_images(tree, paths)
    if not roles:
        inside = ", ".join(sorted(path.name for path in tree.root.iterdir())[:6])
        raise DataError(
            f"no segfolder under {tree.root}: looked for {NAME_LIST} (one class name per line), images and label "
            f"files, found {inside or 'an empty folder'}; name the folder that holds them with --data-root"
        )
    pairs = pair_named_files(tree.root, roles)
    if cityscapes is None:
        return _FoundFiles(pairs.splits, pairs.used, None, pairs.notes)
    return _FoundFiles(pairs.splits, pairs.used | cityscapes.used, cityscapes.classes, cityscapes.notes)


def _require_label_images(tree: TreeFiles, images: Collection[str]) -> None:
    """Refuse folders of labels that hold other files than images, which "no label files" would not explain."""
    others = [path for path in tree.files if path not in images]
    drawn = [path for path in others if find_file_role(tree.root, path).role == "mask"]
    if drawn:
        raise DataError(
            f"{tree.root / drawn[0]} is not an image, nor is any of the {len(drawn):,} files in folders of labels; "
            "boxes, polygons and arrays are not read, so export the labels as one PNG per image"
        )


def _name_splits(
    root: Path, found: AnySplits, test_only: bool
) -> tuple[dict[str, Sequence[ImageLabelPair]], list[str]]:
    """Return the pairs of train, test and, if there is one beside test, val; and what was decided.

    Without a test split, val is it; without both, a fifth of the images is it, chosen by a hash of their content: the
    same on every machine and for every seed, with equal images on one side.

    Raises:
        DataError: some files are in no split, or there is no train split.
    """
    splits = {split: pairs for split, pairs in found.items() if split is not None}
    loose = found.get(None)
    if loose and splits:
        raise DataError(
            f"{loose[0].image_path} is in no split, and others are in {' and '.join(splits)}; move it to a folder "
            "named after a split, or leave it out with "
            f"{format_exclusion(loose[0].image_path.relative_to(root).as_posix())}"
        )
    # a fifth of the images is cut off for the test, as from class folders without splits
    if loose or set(splits) == {"train"}:
        return _cut_test_split(root, loose or splits["train"])
    notes = []
    if "test" not in splits and "val" in splits:
        splits["test"] = splits.pop("val")
        notes.append("val is the test split, as there is no other")
    if "train" not in splits and not test_only:
        raise DataError(
            f"{root} has no train split, only {' and '.join(splits)}; put images and label files into folders named "
            "train, or use bench evaluate or bench score, which read the test split alone"
        )
    return splits, notes


def _cut_test_split(
    root: Path, pairs: Sequence[ImageLabelPair]
) -> tuple[dict[str, Sequence[ImageLabelPair]], list[str]]:
    paths = [pair.image_path.relative_to(root).as_posix() for pair in pairs]
    # every byte, also of a very large set: else the split would move with --hash-all
    keys = hash_files(root, paths, reads_all=True).digests
    # each content once, so that copies of an image are on one side
    ordered = order_by_hash(set(keys), SPLIT_SALT)
    if len(ordered) < 2:
        raise DataError(f"{root} has {len(ordered)} different images; it takes 2 or more to train and to test")
    tests = set(ordered[: max(1, round(TEST_FRACTION * len(ordered)))])
    splits: dict[str, Sequence[ImageLabelPair]] = {
        split: [pair for pair, key in zip(pairs, keys, strict=True) if (key in tests) == inside]
        for split, inside in (("train", False), ("test", True))
    }
    return splits, [
        f"no val or test split: a fixed fifth, {len(splits['test'])} of {len(pairs)} images, is the test split"
    ]


def _hint_unused(tree: TreeFiles, used: Iterable[str]) -> str:
    """Return what the files may be that nothing reads; "" if that is not known."""
    taken = set(used)
    unused = [path for path in tree.files if path not in taken]
    for path in unused:
        if path.lower().endswith(UNREAD_IMAGE_SUFFIXES):
            return describe_unopened(tree.root / path)
    texts = [path for path in unused if path.lower().endswith((".txt", ".csv", ".names"))]
    for path in texts:
        if PurePosixPath(path).stem.lower() in SPLIT_ALIASES:
            return "a list of names is a split only in ImageSets/Segmentation, so put the pairs into folders of splits"
        try:
            read_class_table(tree.root / path)
        except DataError:
            continue
        # a table under any name: nothing is taken for one unless the user says so
        return f"if {path} says what the colours of the label files mean, add --colours {path}"
    if any(path.lower().endswith((".json", ".xml")) for path in unused):
        return "polygons and boxes are not read, so export label images if these are the labels"
    if texts:
        return f"classes are read from {NAME_LIST}, and their colours from {', '.join(TABLE_FILES)} or --colours FILE"
    return ""


def _make_unnamed_error(root: Path, pairs: Sequence[ImageLabelPair]) -> DataError:
    from segmentation.data.label_hints import describe_found_labels  # opens label files, with numpy

    looked = ", ".join((NAME_LIST, *TABLE_FILES))
    return DataError(f"no list of classes under {root}: looked for {looked}; {describe_found_labels(pairs)}")
