"""Read a user's own images: class folders with or without splits, or a table of labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from classification.data.dataset_splits import RawDataset, RawSplit
from classification.data.image_collections import ImageFiles
from classification.data.own_images.class_folders import read_class_folders
from classification.data.own_images.class_list import (
    abbreviate_names,
    find_class_list,
    note_similar_names,
    number_classes,
)
from classification.data.own_images.find_splits import find_split_folders
from classification.data.own_images.image_tree import ImageTree, open_image_tree
from classification.data.own_images.label_tables import find_tables, read_table_images
from classification.data.own_images.table_content import TABLE_SUFFIXES
from classification.data.own_images.user_images import WHOLE, LabeledImages, UserImages, cut_splits
from engine.data.data_options import get_data_options
from engine.data.tree_files import require_all_used
from foundation.errors import DataError, UserError
from foundation.text.user_names import normalize_name

_CUT_NOTE = "no test split found: it is a fixed fifth of each class, chosen by content"


def read_imagefolder(root: Path) -> RawDataset:
    """Read a user's folder: ``train/CLASS/*.jpg`` with ``test/`` or ``val/`` or both, class folders only, or a table.

    With train and val but no test, val is the test split. Without splits, a fixed fifth of each class is the test
    split. A file ``classes.txt`` with one class per line sets the order of the classes; otherwise they are sorted
    by name.

    Raises:
        DataError: the folder may mean several things, or a file is not used.
    """
    tree = open_image_tree(root)
    found = _read_user_images(tree, needs_train=True)
    if WHOLE in found.splits:
        splits = cut_splits(tree, found.splits[WHOLE])
        return _make_dataset(tree, found, splits, (_CUT_NOTE, *found.notes))
    tested = "test" if "test" in found.splits else "val"
    if "train" not in found.splits or tested not in found.splits:
        lacks = "train" if "train" not in found.splits else "test or val"
        raise DataError(
            f"{root} has no {lacks} split, only {', '.join(found.splits)}; add it, or leave the column split out of "
            "the table, so that a fixed fifth is the test split"
        )
    notes = list(found.notes)
    # val stays val only if there is a test next to it
    names = {"train": "train", "test": tested} | ({"val": "val"} if tested == "test" and "val" in found.splits else {})
    if tested == "val":
        notes.append(
            f"{_call_split(found, 'val')} is the test split: a fixed part of {_call_split(found, 'train')} is used to "
            "choose on"
        )
    # before the classes are numbered, since numbers say nothing to whoever reads the sentence
    _require_trained_classes(tree, found)
    return _make_dataset(tree, found, {split: found.splits[name] for split, name in names.items()}, tuple(notes))


def read_imagefolder_test(root: Path, whole_folder: bool) -> RawDataset:
    """Read the test images of a user's folder: the test split, else the val split, else all images.

    Args:
        root: the folder.
        whole_folder: of images without splits, take every image; ``False`` takes the fixed fifth that a run on
            this folder was tested on, as it was trained on the others.

    Raises:
        DataError: as ``read_imagefolder``, but no train split is needed.
    """
    tree = open_image_tree(root)
    found = _read_user_images(tree, needs_train=False)
    if WHOLE in found.splits:
        if not whole_folder:
            splits = cut_splits(tree, found.splits[WHOLE])
            return _make_dataset(tree, found, {"test": splits["test"]}, (_CUT_NOTE, *found.notes))
        notes = ("no test split found: all images are tested", *_note_decisions(found))
        return _make_dataset(tree, found, {"test": found.splits[WHOLE]}, notes)
    name = "test" if "test" in found.splits else "val"
    if name not in found.splits:
        raise DataError(f"{root} has no test or val split, only {', '.join(found.splits)}; add one")
    _require_trained_classes(tree, found)
    # a class that only train has is one of a run's classes as well
    tested = set(found.splits[name].names)
    untested = [each for each in found.classes if each not in tested] if "train" in found.splits else []
    if untested:
        raise DataError(
            f"class {untested[0]!r} in {_locate_split(tree, found, 'train')} has no folder in "
            f"{_locate_split(tree, found, name)} ({len(untested)} of {len(found.classes)} classes have none); add test "
            "images, or remove the class"
        )
    return _make_dataset(tree, found, {"test": found.splits[name]}, _note_decisions(found))


def _read_user_images(tree: ImageTree, needs_train: bool) -> UserImages:
    """Read all images of a user's folder, and account for every other file in it."""
    tables = find_tables(tree)
    if tables:
        _refuse_idle_options(tables[0].file)
        class_list = find_class_list(tree)
        found = read_table_images(tree, tables, tree.root / class_list if class_list else None)
        used = [placed.path for placed in tables]
        hint = f"give every image a row in {tables[0].file.name}"
    else:
        layout = find_split_folders(tree, needs_train)
        class_list = find_class_list(tree, layout.base)
        found = _read_folder_images(tree, layout.base, layout.splits, tree.root / class_list if class_list else None)
        found = found._replace(notes=(*layout.notes, *found.notes))
        used = []
        hint = _suggest_use(tree, layout.base, layout.splits)
    # images of all splits, although a test of a finished model reads one of them only
    paths = [path for images in found.splits.values() for path in images.paths]
    require_all_used(tree.files, [*paths, *used, *([class_list] if class_list else [])], hint)
    return found


def _refuse_idle_options(table: Path) -> None:
    """Refuse options of class folders beside a table, which says all of that itself.

    Raises:
        UserError: there is one.
    """
    options = get_data_options()
    if options.nested_classes is not None or options.layout == "splits":
        idle = "--layout splits" if options.nested_classes is None else f"--nested-classes {options.nested_classes}"
        raise UserError(f"{idle} is for class folders, and the labels are in {table}; leave it out")


def _read_folder_images(tree: ImageTree, base: str, splits: Mapping[str, str], class_list: Path | None) -> UserImages:
    """Read the class folders of each split, or of the folder that has none."""
    read = {split: read_class_folders(tree, place) for split, place in (splits or {WHOLE: base}).items()}
    nesting = get_data_options().nested_classes
    # with an option that changes nothing, one number would have two ids
    if nesting is not None and not any(found.notes for found in read.values()):
        raise DataError(
            f"no class folder of {tree.get_path(base)} has images in subfolders, so that --nested-classes {nesting} "
            "changes nothing; leave it out"
        )
    # a class that train lacks is refused with a sentence, and must not look like a fault of classes.txt
    known = ["train"] if "train" in read else list(read)
    classes = number_classes((name for split in known for name in read[split].names), class_list)
    notes = dict.fromkeys(note for images in read.values() for note in images.notes)
    order = f"classes in the order {abbreviate_names(list(classes))}"
    images = {split: LabeledImages(found.paths, found.names) for split, found in read.items()}
    return UserImages(images, splits, classes, (*notes, *note_similar_names(classes), order))


def _suggest_use(tree: ImageTree, base: str, splits: Mapping[str, str]) -> str:
    """Return what an unused file may have been meant for, as the end of a sentence; "" if nothing is known."""
    if any(tree.images_in.get(place) for place in (splits.values() if splits else (base,))):
        return "sort the loose images into class folders"
    table = next((path for path in tree.files.files if path.lower().endswith(TABLE_SUFFIXES)), None)
    return f"if {table} holds the labels, name it with --labels {table}" if table else ""


def _require_trained_classes(tree: ImageTree, found: UserImages) -> None:
    """Require that train has every class of the other splits.

    Raises:
        DataError: one lacks in train; names the class that may be meant.
    """
    if "train" not in found.splits:
        return
    for split, images in found.splits.items():
        unknown = sorted(set(images.names) - set(found.splits["train"].names))
        if not unknown:
            continue
        raise DataError(
            f"{_locate_class(tree, found, split, unknown[0])} is a class that train does not have"
            f"{_suggest_class(found, unknown[0])}; make the classes of the splits agree"
        )


def _suggest_class(found: UserImages, unknown: str) -> str:
    """Return the class of train that may be meant and how it differs, in parentheses; "" if there is none."""
    for name in found.splits["train"].names:
        if normalize_name(name) == normalize_name(unknown):
            return f" (it has {name}, which writes an accent in another form: NFC and NFD)"
        if normalize_name(name).casefold() == normalize_name(unknown).casefold():
            return f" (it has {name}, in other letters of upper and lower case)"
    return ""


def _locate_class(tree: ImageTree, found: UserImages, split: str, name: str) -> str:
    place = found.places.get(split)
    return str(tree.root / place / name) if place else f"{name} in the {split} rows of the table"


def _locate_split(tree: ImageTree, found: UserImages, split: str) -> str:
    place = found.places.get(split)
    return str(tree.root / place) if place else f"the {split} rows of the table"


def _call_split(found: UserImages, split: str) -> str:
    """Return how a split is called in the user's folder or table."""
    place = found.places.get(split)
    return f"{place}/" if place else f"the part {split} of the table"


def _note_decisions(found: UserImages) -> tuple[str, ...]:
    return found.notes[:-1]  # without the order of the classes


def _make_dataset(
    tree: ImageTree, found: UserImages, splits: Mapping[str, LabeledImages], notes: tuple[str, ...]
) -> RawDataset:
    """Return images with the numbers of their classes."""
    raw = {
        split: RawSplit(
            ImageFiles(tree.root, images.paths, images.digests), [found.classes[name] for name in images.names]
        )
        for split, images in splits.items()
    }
    return RawDataset({number: name for name, number in found.classes.items()}, raw, notes=notes)
