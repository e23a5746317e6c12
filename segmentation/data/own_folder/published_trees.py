"""Recognize the trees of Cityscapes and Pascal VOC, also as CVAT writes the latter. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from engine.data.data_options import format_exclusion
from engine.data.split_folders import SPLIT_ALIASES
from engine.data.tree_files import TreeFiles
from foundation.errors import DataError
from foundation.text.user_text import read_user_text
from segmentation.data.dataset_layout import ImageLabelPair
from segmentation.data.own_folder.class_lists import ClassList

VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The classes of Pascal VOC's label maps by label value; 255 is void (VOC2012 development kit, section 3.2)."""

CITYSCAPES_CLASSES: Mapping[int, str] = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
"""The 19 evaluated classes by the value in ``labelIds``, in the order of the ``trainId`` (cityscapesScripts)."""

CITYSCAPES_LAST_ID = 33

_VOC_FOLDER = re.compile(r"VOC20\d\d")
_TRAIN_IDS, _LABEL_IDS = "_gtFine_labelTrainIds.png", "_gtFine_labelIds.png"


class VocTree(NamedTuple):
    """A tree with lists of names in ``ImageSets/Segmentation``.

    Attributes:
        splits: the pairs by split; ``None`` for a list that is not named after a split.
        used: paths of all files that belong to the tree.
        is_official: whether the folder is called as the official ones are, ``VOC2012``.
        notes: what was taken, for the report.
    """

    splits: Mapping[str | None, Sequence[ImageLabelPair]]
    used: frozenset[str]
    is_official: bool
    notes: tuple[str, ...]


def find_voc_tree(tree: TreeFiles) -> VocTree | None:
    """Pair the images that the lists in ``ImageSets/Segmentation`` name; ``None`` if there are no such lists.

    ``JPEGImages`` holds the images and ``SegmentationClass`` the label files. ``trainval`` is left aside where there
    are ``train`` and ``val``.

    Raises:
        DataError: a listed image or label file is missing, or an image is in two lists.
    """
    lists = [path for path in tree.files if "/ImageSets/Segmentation/" in f"/{path}" and path.endswith(".txt")]
    if not lists:
        return None
    homes = {path[: -len(f"ImageSets/Segmentation/{PurePosixPath(path).name}")] for path in lists}
    if len(homes) > 1:
        first, second = sorted(homes)[:2]
        raise DataError(
            f"{tree.root} holds two data sets ({first} and {second}); name the folder of one of them with --data-root"
        )
    home = homes.pop()
    # datumaro writes Train.txt, the official kit train.txt
    by_name = {PurePosixPath(path).stem.lower(): path for path in lists}
    if {"train", "val"} <= by_name.keys():
        by_name.pop("trainval", None)
    _require_split_lists(tree, by_name)
    folders = [_index_folder(tree, home + name) for name in ("JPEGImages", "SegmentationClass")]
    splits: dict[str | None, list[ImageLabelPair]] = {}
    taken: dict[str, str] = {}
    for list_name, path in by_name.items():
        split = SPLIT_ALIASES.get(list_name)
        pairs = splits.setdefault(split, [])
        # names with a space are quoted
        for name in filter(None, (line.strip().strip('"') for line in read_user_text(tree.root / path).split("\n"))):
            if name in taken and taken[name] == path:
                raise DataError(f"{tree.root / path} lists {name} twice, which would count it twice; take one line out")
            if taken.setdefault(name, path) != path:
                raise DataError(
                    f"{name} is listed in {taken[name]} and in {path} of {tree.root}; leave one of the lists out with "
                    f"{format_exclusion(path)}"
                )
            pairs.append(_find_listed_pair(tree.root, home, name, path, folders))
        if not pairs:
            raise DataError(
                f"{tree.root / path} lists no image; complete it, or leave it out with {format_exclusion(path)}"
            )
    for pairs in splits.values():
        pairs.sort(key=lambda pair: pair.name)
    # the 21 names are a fact of the official set only; an export in its layout has its own list
    is_official = _VOC_FOLDER.fullmatch((tree.root / home).resolve().name) is not None
    used = {*lists, *(path for path in tree.files if path.startswith(f"{home}SegmentationObject/"))}
    paired = [path for each in splits.values() for pair in each for path in (pair.image_path, pair.label_path)]
    used.update(path.relative_to(tree.root).as_posix() for path in paired)
    if is_official:  # of 17,125 images 2,913 have label maps; the others are for detection
        parts = tuple(f"{home}{name}/" for name in ("JPEGImages", "Annotations", "ImageSets"))
        used.update(path for path in tree.files if path.startswith(parts))
    listed = ", ".join(
        f"{PurePosixPath(path).name} {len(splits[SPLIT_ALIASES.get(name)])}" for name, path in by_name.items()
    )
    return VocTree(splits, frozenset(used), is_official, (f"pairs listed in {home}ImageSets/Segmentation: {listed}",))


def _require_split_lists(tree: TreeFiles, by_name: Mapping[str, str]) -> None:
    """Require that every list is named after a split, or none is: as CVAT's ``default.txt``."""
    named = [path for name, path in by_name.items() if name in SPLIT_ALIASES]
    loose = [path for name, path in by_name.items() if name not in SPLIT_ALIASES]
    if named and loose:
        raise DataError(
            f"{tree.root / loose[0]} is not named after a split, and {PurePosixPath(named[0]).name} is; rename it to "
            f"train.txt, val.txt or test.txt, or leave it out with {format_exclusion(loose[0])}"
        )


def _index_folder(tree: TreeFiles, folder: str) -> dict[str, str]:
    """Return the files below a folder by their path in it without the suffix.

    Raises:
        DataError: two files differ in the suffix alone, so a list does not say which one it means.
    """
    start = f"{folder}/"
    index: dict[str, str] = {}
    for path in tree.files:
        if path.startswith(start):
            name = PurePosixPath(path[len(start) :]).with_suffix("").as_posix()
            if index.setdefault(name, path) != path:
                raise DataError(
                    f"{tree.root / index[name]} and {tree.root / path} have one name, so a list does not say which it "
                    f"means; leave one out with {format_exclusion(path)}"
                )
    return index


def _find_listed_pair(
    root: Path, home: str, name: str, list_path: str, folders: Sequence[Mapping[str, str]]
) -> ImageLabelPair:
    found = []
    for folder, index in zip(("JPEGImages", "SegmentationClass"), folders, strict=True):
        if name not in index:
            raise DataError(
                f"{name}, which {root / list_path} lists, has no file in {root / home / folder}; fetch it, take it off "
                f"the list, or leave the list out with {format_exclusion(list_path)}"
            )
        found.append(root / index[name])
    return ImageLabelPair(name.replace("/", "_"), *found)


class CityscapesTree(NamedTuple):
    """What of Cityscapes' own tree is read.

    Attributes:
        classes: the 19 classes by the values of the label files taken.
        files: the images and label files to pair.
        used: the other files that belong to the tree.
        notes: what was taken, for the report.
    """

    classes: ClassList
    files: tuple[str, ...]
    used: frozenset[str]
    notes: tuple[str, ...]


def find_cityscapes_tree(tree: TreeFiles) -> CityscapesTree | None:
    """Choose the label files of Cityscapes' own tree; ``None`` if it is not one.

    ``labelTrainIds`` are taken if every labeled image has one, otherwise ``labelIds`` with the official mapping to the
    19 classes. The test split is left aside, because its official label files are blank.
    """
    kinds = {ending: [path for path in tree.files if path.endswith(ending)] for ending in (_TRAIN_IDS, _LABEL_IDS)}
    images = [path for path in tree.files if path.endswith("_leftImg8bit.png")]
    if not images or not any(kinds.values()) or not any("gtFine" in path.split("/") for path in tree.files):
        return None
    # labelTrainIds are made by a script of cityscapesScripts, maybe for a part of the cities only
    ending = _TRAIN_IDS if len(kinds[_TRAIN_IDS]) >= max(len(kinds[_LABEL_IDS]), 1) else _LABEL_IDS
    names = tuple(CITYSCAPES_CLASSES.values())
    values = tuple(range(len(names))) if ending == _TRAIN_IDS else tuple(CITYSCAPES_CLASSES)
    # 255 stands for all other values in labelTrainIds
    last = 0 if ending == _TRAIN_IDS else CITYSCAPES_LAST_ID
    ignored = tuple(value for value in range(last + 1) if value not in values)
    # the labels of test are withheld, and blank files stand in for them
    blank = [path for path in (*images, *kinds[ending]) if "test" in path.split("/")]
    files = tuple(path for path in (*images, *kinds[ending]) if path not in set(blank))
    rest = [
        path
        for path in tree.files
        if re.search(
            r"_gtFine_(color|instanceIds|instanceTrainIds|labelIds|labelTrainIds)\.png$|_gtFine_polygons\.json$", path
        )
    ]
    notes = [f"Cityscapes: *{ending}, the official 19 classes"]
    if blank:
        notes.append("Cityscapes: test is left aside, because its label files are not public")
    return CityscapesTree(
        ClassList(Path("Cityscapes"), names, values, ignored=ignored), files, frozenset((*blank, *rest)), tuple(notes)
    )
