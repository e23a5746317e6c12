"""Read the class folders of a user's folder or split: the class of an image is the name of its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from classification.data.own_images.image_tree import ImageTree, is_below
from engine.data.data_options import get_data_options
from engine.data.split_folders import parse_split_name
from foundation.errors import DataError

MAX_NAMED_SUBFOLDERS = 3
MAX_SPLITS = 3


class ClassImages(NamedTuple):
    """The images of some classes, class by class.

    Attributes:
        paths: path of each image below the user's folder.
        names: name of the class of each.
        notes: what was decided, one sentence each.
    """

    paths: list[str]
    names: list[str]
    notes: tuple[str, ...] = ()


def read_class_folders(tree: ImageTree, place: str) -> ClassImages:
    """Read the images of the class folders in a folder; loose images beside them are not among these.

    Args:
        tree: the images.
        place: the folder that holds the class folders.

    Raises:
        DataError: there is no class folder, one is empty, or images lie in subfolders of one and no option says what
            their class is.
    """
    tops = tree.list_folders(place)
    if not tops:
        raise DataError(
            f"{tree.get_path(place)} has no class folders; make one folder per class and put its images there"
        )
    tree.require_filled_folders(place)
    prefix = f"{place}/" if place else ""
    by_class: dict[str, list[str]] = {}
    homes: dict[str, set[str]] = {}
    nested: list[str] = []
    for folder, paths in tree.images_in.items():
        # loose images beside class folders have no label; they end as files that nothing uses
        if folder == place or not is_below(folder, place):
            continue
        inner = folder.removeprefix(prefix)
        nested += [inner] if "/" in inner else []
        name = _name_class(inner)
        by_class.setdefault(name, []).extend(paths)
        homes.setdefault(name, set()).add(inner)
    # apple/rot may be a kind of apple or a kind of rot, and either answer is another task
    nesting = get_data_options().nested_classes
    if nested and nesting is None:
        raise _make_nested_error(tree, place, sorted(nested))
    images, names = [], []
    for name in sorted(by_class):
        # the order of torchvision, so that the fingerprint of plain class folders is what it always was
        images += sorted(by_class[name], key=os.path.split)
        names += [name] * len(by_class[name])
    return ClassImages(images, names, _note_nesting(homes) if nested else ())


def _name_class(inner: str) -> str:
    """Return the class of the images in a folder, by ``--nested-classes``.

    Args:
        inner: the folder, relative to the one that holds the class folders.
    """
    nesting = get_data_options().nested_classes
    if nesting == "path":
        return inner
    return inner.rpartition("/")[2] if nesting == "leaf" else inner.partition("/")[0]


def _make_nested_error(tree: ImageTree, place: str, nested: Sequence[str]) -> DataError:
    top = nested[0].partition("/")[0]
    below = [inner.partition("/")[2] for inner in nested if inner.partition("/")[0] == top]
    shown = ", ".join(below[:MAX_NAMED_SUBFOLDERS]) + (", ..." if len(below) > MAX_NAMED_SUBFOLDERS else "")
    found = f"{tree.get_path(place) / top} has images in subfolders ({shown})"
    if len({inner.partition("/")[2] for inner in nested}) == 1:
        # train/CLASS/images/*.jpg
        return DataError(f"{found}; if all of them are of class {top}, add --nested-classes top")
    splits = {split.split: name for name in below if (split := parse_split_name(name)) is not None}
    # cat/train and cat/test: no way to name the classes makes the user's own splits of them
    if len(splits) == len(below) > 1 and "train" in splits:
        name = splits["train"]
        return DataError(
            f"{found}, which are called like splits; move them so that each split has the classes, as {name}/{top}"
        )
    question = f"say what their class is: --nested-classes path ({nested[0]}), leaf ({nested[0].rpartition('/')[2]}) "
    question += f"or top ({top})"
    # of trn/cat, trn/dog, tst/cat and tst/dog, leaf would make one set of train and test
    if tops := _find_likely_splits(tree, place, nested):
        names = ", ".join(tops)
        return DataError(f"{found}; if {names} are splits, rename them train, val and test; else {question}")
    return DataError(f"{found}; {question}")


def _find_likely_splits(tree: ImageTree, place: str, nested: Sequence[str]) -> list[str]:
    """Return the two or three class folders if they are all and have the same subfolders; else nothing."""
    by_top: dict[str, list[str]] = {}
    for inner in nested:
        by_top.setdefault(inner.partition("/")[0], []).append(inner.partition("/")[2])
    tops = tree.list_folders(place)
    is_alike = list(by_top) == tops and len({tuple(inner) for inner in by_top.values()}) == 1
    return tops if is_alike and 1 < len(tops) <= MAX_SPLITS else []


def _note_nesting(homes: Mapping[str, set[str]]) -> tuple[str, ...]:
    """Say what the subfolders of classes mean, and which classes were put together from several folders."""
    nesting = get_data_options().nested_classes
    count = sum(map(len, homes.values()))
    note = f"--nested-classes {nesting}: {len(homes)} classes in {count} folders"
    # leaf puts a/cat and b/cat together, which is what it is for; the note says so
    merged = [name for name in sorted(homes) if len(homes[name]) > 1]
    if merged:
        note += f" ({merged[0]} is {' and '.join(sorted(homes[merged[0]])[:MAX_NAMED_SUBFOLDERS])}"
        note += f"; {len(merged) - 1} more such)" if len(merged) > 1 else ")"
    return (note,)
