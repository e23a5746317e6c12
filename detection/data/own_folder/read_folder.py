"""Read a user's own images and boxes, in the formats in which people have them. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from detection.data.ground_truth import DetectionDataset, DetectionSplit
from detection.data.item_limits import take_images
from detection.data.own_folder.coco_files import is_coco_tree, read_coco_files
from detection.data.own_folder.found_images import FoundFolder
from detection.data.own_folder.voc import is_voc_tree, read_voc_tree
from detection.data.own_folder.yolo import is_yolo_tree, read_yolo_tree
from engine.data.file_hashes import hash_files
from engine.data.tree_files import TreeFiles, list_tree, require_all_used
from foundation.errors import DataError
from foundation.hash_order import order_by_hash
from foundation.run_scope import memoize_in_run

TEST_FRACTION = 0.2
"""Fraction of the images that becomes the test split if nothing is named after val or test."""

SPLIT_SALT = "bench-cocofolder-split-1"
"""Part of every hash that decides on the test split; it stands in the ids of runs, so it never changes."""


@memoize_in_run
def read_cocofolder(root: Path, *, test_only: bool = False) -> DetectionDataset:
    """Find a user's images and boxes below ``root``: COCO's json files, YOLO's text files or VOC's xml files.

    Folders and files are read by their names: ``train``, ``val`` (``valid`` ...) and ``test`` anywhere in a path say
    which split something is of. Every file must be used, except images that an annotation file does not list.

    Args:
        root: the folder.
        test_only: leave the other splits out.

    Raises:
        DataError: the folder cannot be read in exactly one way; the message names the file and what helps.
    """
    if not root.is_dir():
        raise DataError(f"no cocofolder under {root}: there is no such folder; name your folder with --data-root")
    tree = list_tree(root)
    found = _read_tree(tree, test_only)
    splits, notes = _name_splits(root, found, test_only)
    if not test_only:
        require_all_used(tree, found.used)
    if test_only:
        splits = {"test": splits["test"]}
    has_masks = all(each.annotations.masks is not None for each in splits.values() if len(each.annotations))
    ordered: dict[str, DetectionSplit] = {split: splits[split] for split in ("train", "val", "test") if split in splits}
    return DetectionDataset("cocofolder", root, ordered, found.categories, has_masks, (*found.notes, *notes))


def _read_tree(tree: TreeFiles, test_only: bool) -> FoundFolder:
    kinds = {
        "COCO json files": is_coco_tree(tree),
        "VOC xml files": is_voc_tree(tree),
        "YOLO label files": is_yolo_tree(tree),
    }
    present = [kind for kind, is_there in kinds.items() if is_there]
    if len(present) != 1:
        inside = ", ".join(sorted(path.name for path in tree.root.iterdir())[:6]) or "an empty folder"
        what = f"found {' and '.join(present)}; leave one out with --exclude" if present else f"found {inside}"
        raise DataError(
            f"no cocofolder under {tree.root}: looked for images with one kind of annotations (COCO json files, VOC "
            f"xml files or YOLO label files), {what}"
        )
    if kinds["COCO json files"]:
        return read_coco_files(tree, test_only=test_only)
    return read_voc_tree(tree) if kinds["VOC xml files"] else read_yolo_tree(tree)


def _name_splits(root: Path, found: FoundFolder, test_only: bool) -> tuple[dict[str, DetectionSplit], tuple[str, ...]]:
    """Return train, test and, if there is one beside test, val; and what was decided.

    Without a test split, val is it; without both, a fifth of the images is it, chosen by a hash of their content: the
    same on every machine and for every seed, with equal images on one side.

    Raises:
        DataError: some images are in no split, or there is no train split.
    """
    splits = {split: each for split, each in found.splits.items() if split is not None}
    loose = found.splits.get(None)
    if loose is not None and splits:
        raise DataError(
            f"{loose.images[0].path} is in no split, and others are in {' and '.join(sorted(splits))}; name the "
            "annotation file or folder after a split, or leave it out with --exclude"
        )
    if loose is not None or set(splits) == {"train"}:
        return _cut_test_split(root, loose if loose is not None else splits["train"])
    notes: tuple[str, ...] = ()
    if "test" not in splits:
        splits["test"] = splits.pop("val")
        notes = ("val is the test split, as there is no other",)
    if "train" not in splits and not test_only:
        raise DataError(
            f"{root} has no train split, only {' and '.join(sorted(splits))}; add one, or use bench evaluate or bench "
            "score, which read the test split alone"
        )
    return splits, notes


def _cut_test_split(root: Path, whole: DetectionSplit) -> tuple[dict[str, DetectionSplit], tuple[str, ...]]:
    paths = [image.path.relative_to(root).as_posix() for image in whole.images]
    # every byte, also of a very large set: else the split would move with --hash-all
    keys = hash_files(root, paths, reads_all=True).digests
    # each content once, so that copies of an image are on one side
    ordered = order_by_hash(set(keys), SPLIT_SALT)
    if len(ordered) < 2:
        raise DataError(f"{root} has {len(ordered)} different images; it takes 2 or more to train and to test")
    tests = set(ordered[: max(1, round(TEST_FRACTION * len(ordered)))])
    rows: Mapping[bool, list[int]] = {
        side: [index for index, key in enumerate(keys) if (key in tests) == side] for side in (False, True)
    }
    splits = {"train": take_images(whole, rows[False]), "test": take_images(whole, rows[True])}
    note = f"no val or test split: a fixed fifth, {len(rows[True])} of {len(paths)} images, is the test split"
    return splits, (note,)
