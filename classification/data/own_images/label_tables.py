"""Read images whose labels stand in a table: that of ``--labels``, or the ``metadata`` files of Hugging Face."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from classification.data.own_images.class_list import (
    abbreviate_names,
    note_similar_names,
    number_classes,
    read_class_list,
)
from classification.data.own_images.image_tree import ImageTree, is_below
from classification.data.own_images.match_rows import match_rows
from classification.data.own_images.table_columns import LabelTable, parse_labels
from classification.data.own_images.table_content import read_label_file
from classification.data.own_images.user_images import (
    WHOLE,
    LabeledImages,
    UserImages,
    hash_labeled_images,
    sort_images,
)
from engine.data.data_options import find_option_file, format_exclusion, get_data_options
from engine.data.file_hashes import hash_files
from engine.data.split_folders import parse_split_name
from foundation.errors import DataError

METADATA_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Names of the tables of Hugging Face's ``ImageFolder``, which lie beside their images."""


class PlacedTable(NamedTuple):
    """A table and the images that it may name.

    Attributes:
        file: the table.
        path: its path below the user's folder; "" if it lies elsewhere.
        base: the folder below the user's folder whose images it names.
    """

    file: Path
    path: str
    base: str


def find_tables(tree: ImageTree) -> list[PlacedTable]:
    """Return the tables of labels of a user's folder; empty if the folders are the labels.

    Raises:
        DataError: ``--labels`` names no file, or two tables may hold the label of one image.
    """
    labels = get_data_options().labels
    if labels is not None:
        file = find_option_file(tree.root, labels)
        alike = (path for path in tree.files.files if path.rpartition("/")[2] == file.name)
        inside = next((path for path in alike if (tree.root / path).samefile(file)), "")
        return [PlacedTable(file, inside, "")]
    found = [path for path in tree.files.files if path.rpartition("/")[2] in METADATA_NAMES]
    tables = [PlacedTable(tree.root / path, path, path.rpartition("/")[0]) for path in found]
    tables.sort(key=lambda table: table.base)
    for first, second in pairwise(tables):
        if is_below(second.base, first.base):
            raise DataError(
                f"{first.file} and {second.file} may both hold the label of an image; leave one out with --exclude "
                f"{second.path}"
            )
    return tables


def read_table_images(tree: ImageTree, tables: Sequence[PlacedTable], class_list: Path | None) -> UserImages:
    """Read the images that tables name.

    Args:
        tree: the images.
        tables: from ``find_tables``; not empty.
        class_list: ``classes.txt``, whose line k (from 0) names the class that a table calls k; ``None`` without.

    Raises:
        DataError: a table cannot be read, or rows and images do not fit each other.
    """
    paths: list[str] = []
    names: list[str] = []
    splits: list[str] = []
    parsed: list[LabelTable] = []
    num_excluded = 0
    for placed in tables:
        found = _parse_table(placed)
        # a table that changes while the run reads the images is noticed, as a changed image is
        hash_files(placed.file.parent, [placed.file.name])
        matched = match_rows(tree, placed.file, found.rows, placed.base)
        paths += matched.paths
        names += [row.label for row in matched.rows]
        splits += [row.split for row in matched.rows]
        num_excluded += matched.num_excluded
        parsed.append(found)
    file = tables[0].file
    if get_data_options().labels is None:
        _require_agreeing_folders(tables, paths, names)
    if len({bool(split) for split in splits}) == 2 or len({bool(found.numbers) for found in parsed}) == 2:
        raise DataError(f"the tables of {tree.root} differ in their columns; write all of them as {file} is")
    numbers = _merge_numbers(file, parsed)
    if class_list is not None and numbers and all(name == str(number) for name, number in numbers.items()):
        names, numbers = _name_integers(class_list, file, names), {}
    columns = ", ".join(parsed[0].columns)
    notes = [f"labels from {', '.join(placed.file.name for placed in tables[:1])} (columns {columns})"]
    if num_excluded:
        notes.append(_count_excluded_rows(num_excluded))
    has_column = any(splits)
    if not has_column:
        splits, said = _find_folder_splits(tree, file, paths)
        notes += said
    _refuse_idle_options(file, has_column, has_splits=any(splits))
    by_split: dict[str, LabeledImages] = {
        split: hash_labeled_images(tree, sort_images(_select_split(paths, names, splits, split)))
        for split in (("train", "val", "test") if any(splits) else (WHOLE,))
        if split in splits
    }
    classes = numbers if numbers and class_list is None else number_classes(names, class_list)
    order = sorted(classes, key=classes.__getitem__)
    notes += [*note_similar_names(order), f"classes in the order {abbreviate_names(order)}"]
    return UserImages(by_split, {}, {name: place for place, name in enumerate(order)}, tuple(notes))


def _refuse_idle_options(file: Path, has_column: bool, has_splits: bool) -> None:
    """Refuse options that have no effect on a table: they would stand in the record and seem to hold.

    Args:
        file: the table.
        has_column: whether the table has splits.
        has_splits: whether the table or the folders have.
    """
    options = get_data_options()
    if options.nested_classes is not None:
        raise DataError(f"{file} says the class of each image, so --nested-classes has no effect; leave it out")
    if options.layout is not None and has_column:
        raise DataError(f"{file} says the split of each image, so --layout has no effect; leave it out")
    if options.layout == "splits" and not has_splits:
        raise DataError(
            f"{file} has no column split, and its images do not lie in folders of a train and a test split, as "
            "--layout splits says; leave it out, or add the column"
        )


def _require_agreeing_folders(tables: Sequence[PlacedTable], paths: Sequence[str], names: Sequence[str]) -> None:
    """Require that class folders, if the images lie in such, say what a table says that nobody named.

    Raises:
        DataError: they differ, and either may be right.
    """
    folders = [path.rpartition("/")[0].rpartition("/")[2] for path in paths]
    if set(folders) != set(names):
        return
    for path, folder, name in zip(paths, folders, names, strict=True):
        if folder != name:
            own = " ".join(shlex.quote(placed.path) for placed in tables)
            table = f"name the table with --labels {own} if it is right, or " if len(tables) == 1 else ""
            raise DataError(
                f"{tables[0].file} has the label {name} for {path}, which lies in the folder of the class {folder}; "
                f"{table}leave {'the table' if table else 'the tables'} out with --exclude {own} if the folders are"
            )


def _parse_table(placed: PlacedTable) -> LabelTable:
    """Read a table and find its columns."""
    try:
        return parse_labels(read_label_file(placed.file))
    except DataError as error:
        if get_data_options().labels is not None:
            raise
        # nobody named this table: it may describe the images of class folders, and not their labels
        raise DataError(f"{error}; or leave the table out with {format_exclusion(placed.path)}") from error


def _select_split(paths: Sequence[str], names: Sequence[str], splits: Sequence[str], wanted: str) -> LabeledImages:
    items = [item for item, split in enumerate(splits) if split == wanted]
    return LabeledImages([paths[item] for item in items], [names[item] for item in items])


def _merge_numbers(file: Path, tables: Sequence[LabelTable]) -> dict[str, int]:
    """Return the numbers of the classes of several tables.

    Raises:
        DataError: two tables number a class differently.
    """
    merged: dict[str, int] = {}
    for table in tables:
        for name, number in table.numbers.items():
            if merged.setdefault(name, number) != number:
                raise DataError(
                    f"{file} and another table beside it number the class {name} as {merged[name]} and {number}; "
                    "write one number"
                )
    return merged


def _name_integers(class_list: Path, table: Path, labels: Sequence[str]) -> list[str]:
    """Return the names of classes that a table numbers.

    Raises:
        DataError: a number is beyond the list, or the first line has no images.
    """
    listed = read_class_list(class_list)
    numbers = sorted(set(map(int, labels)))
    # labels from 1 would all have the name of the class before; so a list that is not used from end to end is refused
    if numbers[0] != 0 or numbers[-1] != len(listed) - 1:
        raise DataError(
            f"{table} has the labels {numbers[0]} to {numbers[-1]}, and {class_list} names the classes 0 to "
            f"{len(listed) - 1}; number the classes from 0, in the order of the list"
        )
    return [listed[int(label)] for label in labels]


def _find_folder_splits(tree: ImageTree, table: Path, paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the splits of images by the folders that they lie in, as Hugging Face does, and what was decided.

    Raises:
        DataError: some folders have names of splits, and others have not.
    """
    if get_data_options().layout == "classes":
        return [WHOLE] * len(paths), []
    depth = 0
    # one folder around all of them says nothing
    while len({path.split("/")[depth] for path in paths if path.count("/") > depth}) == 1 and all(
        path.count("/") > depth + 1 for path in paths
    ):
        depth += 1
    # train_images alone, as Kaggle names it beside a hidden test, is a place and not a split
    folders = [path.split("/")[depth] if path.count("/") > depth else "" for path in paths]
    parsed = {folder: parse_split_name(folder) for folder in set(folders)}
    known = {folder: found.split for folder, found in parsed.items() if found is not None}
    if not known or len(parsed) == 1:
        return [WHOLE] * len(paths), []
    if len(known) < len(parsed) or len(set(known.values())) < len(known) or "train" not in known.values():
        raise DataError(
            f"{table} has no column split, and its images lie in the folders "
            f"{', '.join(sorted(folder or '.' for folder in parsed)[:6])}, of which some may be splits; add a column "
            "split with train, val and test, or --layout classes if the folders say nothing"
        )
    places: Mapping[str, str] = {split: folder for folder, split in known.items()}
    said = ", ".join(f"{split} is {places[split]}/" for split in ("train", "val", "test") if split in places)
    return [known[folder] for folder in folders], [f"splits by folder: {said}"]


def _count_excluded_rows(count: int) -> str:
    return (
        f"{count:,} rows of images that --exclude leaves out"
        if count > 1
        else "1 row of an image that --exclude leaves out"
    )
