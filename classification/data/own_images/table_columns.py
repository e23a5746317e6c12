"""Find the columns of a table that name the image, its label and its split, in the spellings that people use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from classification.data.own_images.table_content import TableContent
from engine.data.image_formats import IMAGE_SUFFIXES
from engine.data.split_folders import parse_split_name
from foundation.errors import DataError

# the first that a table has is taken: an id beside a path only numbers the rows
FILE_COLUMNS = (
    *("file", "filename", "file_name", "image_file", "image_filename", "path", "filepath", "file_path"),
    *("image_path", "img_path", "image", "img", "image_name", "img_name", "image_id", "img_id", "id"),
)
LABEL_COLUMNS = (
    *("label", "labels", "class", "classes", "class_name", "classname", "label_name", "category", "category_name"),
    *("target", "targets"),
)
SPLIT_COLUMNS = ("split", "set", "subset", "partition", "phase")

# with more digits it is a name: an identifier
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.0+)?")
_NUMBER = re.compile(r"[-+]?(\d+(?:\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_FLAGS = frozenset(("0", "1", "true", "false", "yes", "no", "y", "n", "t", "f"))
_SEPARATORS = re.compile(r"[|;,/+]|\s+")


class LabelRow(NamedTuple):
    """What a row says.

    Attributes:
        place: where it is, for messages: ``line 3``.
        file: the image, as the table names it.
        label: its class.
        split: ``train``, ``val`` or ``test``; "" if the table has no splits.
    """

    place: str
    file: str
    label: str
    split: str


class LabelTable(NamedTuple):
    """A table of labels.

    Attributes:
        rows: what the rows say.
        numbers: number of each class, where the table says it; else empty.
        columns: names of the columns that were taken.
    """

    rows: list[LabelRow]
    numbers: Mapping[str, int]
    columns: tuple[str, ...]


def parse_labels(table: TableContent) -> LabelTable:
    """Find the columns of a table and check every label and split.

    Raises:
        DataError: a column is missing or may be several, or a row has no label, several, or an unknown split.
    """
    plain = _index_columns(table)
    file = next((plain[name] for name in FILE_COLUMNS if name in plain), None)
    if file is None:
        raise _make_header_error(table)
    # the order of the table's columns means nothing, so the first known name is taken
    split = next((plain[name] for name in SPLIT_COLUMNS if name in plain), None)
    label, number = _find_label_columns(table, plain, {file, split})
    labels = _read_labels(table, label)
    if split is None:
        _require_no_split_flag(table, {file, label, number})
    splits = _read_splits(table, split) if split else [""] * len(labels)
    unnamed = next((row for row in table.rows if not row.cells[file]), None)
    if unnamed is not None:
        raise DataError(f"{unnamed.place} of {table.file} names no image in the column {file}; complete or remove it")
    rows = [
        LabelRow(row.place, row.cells[file], name, part)
        for row, name, part in zip(table.rows, labels, splits, strict=True)
    ]
    numbers = _pair_numbers(table, label, number) if number else _number_integers(labels)
    used = tuple(name for name in (file, label, number, split) if name)
    return LabelTable(rows, numbers, used)


def _index_columns(table: TableContent) -> dict[str, str]:
    """Return the columns by their names in lower case, with ``_`` for spaces and signs.

    Raises:
        DataError: two columns that may be meant differ in that alone.
    """
    known = {*FILE_COLUMNS, *LABEL_COLUMNS, *SPLIT_COLUMNS}
    plain: dict[str, str] = {}
    for name in table.columns:
        key = re.sub(r"\W+", "_", name.strip().lower())
        if plain.setdefault(key, name) != name and key in known:
            raise DataError(f"{table.file} has the columns {plain[key]} and {name}; keep one of them")
    return plain


def _make_header_error(table: TableContent) -> DataError:
    if any(name.lower().endswith(IMAGE_SUFFIXES) for name in table.columns):
        return DataError(
            f"{table.file} begins with an image and has no line that names its columns; add the first line file,label"
        )
    return DataError(
        f"{table.file} has the columns {', '.join(table.columns)}, none of which names the images; call that column "
        "file (or filename, image, path, image_id, id)"
    )


def _find_label_columns(
    table: TableContent, plain: Mapping[str, str], taken: set[str | None]
) -> tuple[str, str | None]:
    """Return the column of the labels, and that of the numbers of classes if there is one beside it."""
    found = [plain[name] for name in LABEL_COLUMNS if name in plain]
    others = [name for name in table.columns if name not in taken]
    if not found and len(others) == 1:
        return others[0], None  # id,breed: nothing else can be the label
    if not found:
        # one-hot tables of Roboflow and of Kaggle's plant pathology
        if others and all(row.cells[name] in ("0", "1", "0.0", "1.0") for row in table.rows for name in others):
            raise DataError(
                f"{table.file} has a column of 0 and 1 for each class ({', '.join(others[:3])}, ...); write a table "
                "with the columns file and label, where label is the name of the one column with 1"
            )
        raise DataError(
            f"{table.file} has the columns {', '.join(table.columns)}, none of which is called label, class, category "
            "or target; rename the one that holds the labels to label"
        )
    if len(found) == 1:
        return found[0], None
    # a number and a name of the same class; _pair_numbers holds that they agree
    numeric = [name for name in found if all(_WHOLE_NUMBER.fullmatch(row.cells[name]) for row in table.rows)]
    if len(found) == 2 and len(numeric) == 1:
        return next(name for name in found if name not in numeric), numeric[0]
    raise DataError(f"{table.file} has the columns {', '.join(found)}, and each may be the label; keep one of them")


def _read_labels(table: TableContent, column: str) -> list[str]:
    """Return the label of each row.

    Raises:
        DataError: a row has no label or several, or the labels are measurements.
    """
    labels = []
    for row in table.rows:
        label = row.cells[column]
        if label.lower() in ("", "nan"):
            raise DataError(
                f"{row.place} of {table.file} has no label in the column {column}; complete it, or remove the row and "
                "leave its image out with --exclude"
            )
        if not label.isprintable():
            raise DataError(f"{row.place} of {table.file} has the label {label!r}; write it without control characters")
        labels.append(label)
    if all(_NUMBER.fullmatch(label) for label in labels):
        # 1.0 is a class that pandas wrote as a float, 0.37 is none
        fraction = next((row for row in table.rows if not _WHOLE_NUMBER.fullmatch(row.cells[column])), None)
        if fraction is not None and "." in fraction.cells[column]:
            raise DataError(
                f"{fraction.place} of {table.file} has the label {fraction.cells[column]}, a measurement and not a "
                "class; write the classes into a column label"
            )
        labels = [label.partition(".")[0] for label in labels]
        if "-1" in labels:
            row = table.rows[labels.index("-1")]
            raise DataError(
                f"{row.place} of {table.file} has the label -1, which usually marks an image without a label; number "
                "the classes from 0, or remove such rows and leave their images out with --exclude"
            )
    _require_single_labels(table, column, labels)
    return labels


def _require_single_labels(table: TableContent, column: str, labels: Sequence[str]) -> None:
    """Require that no cell holds several labels: a list, or names that are labels of other rows."""
    known = set(labels)
    for row, label in zip(table.rows, labels, strict=True):
        # "great white shark" is one label, unless great, white and shark are labels of other rows
        parts = [part for part in _SEPARATORS.split(label) if part]
        if label.startswith(("[", "{")) or (len(parts) > 1 and all(part in known for part in parts)):
            raise DataError(
                f"{row.place} of {table.file} has several labels ({label}) in the column {column}, and an image has "
                "one class here; keep one, or make each combination a class with a name of its own"
            )


def _read_splits(table: TableContent, column: str) -> list[str]:
    """Return the split of each row.

    Raises:
        DataError: a cell names no split, or two different words name one.
    """
    spelling: dict[str, str] = {}
    splits = []
    for row in table.rows:
        text = row.cells[column]
        found = parse_split_name(text)
        if found is None:
            raise DataError(
                f"{row.place} of {table.file} has {text or 'nothing'} in the column {column}, which names no split; "
                "write train, val or test, or rename the column if it means something else"
            )
        # dev and val in one column may be two splits, of which one would be put into the other
        if spelling.setdefault(found.split, text.lower()) != text.lower():
            raise DataError(
                f"{row.place} of {table.file} has {text} in the column {column} and others {spelling[found.split]}, "
                f"and both mean the {found.split} split; write one word"
            )
        splits.append(found.split)
    return splits


def _require_no_split_flag(table: TableContent, taken: set[str | None]) -> None:
    """Require that no further column says in another way which rows are for training, as ``is_train`` with 0 and 1.

    Raises:
        DataError: one does; without a word, the fixed fifth would be tested on in place of these rows.
    """
    for name in table.columns:
        values = {row.cells[name].lower().removesuffix(".0") for row in table.rows}
        if name not in taken and parse_split_name(name) is not None and values <= _FLAGS:
            raise DataError(
                f"{table.file} has the column {name}, which may say the split of each row; write a column split with "
                f"train, val and test, or remove {name} if it means something else"
            )


def _number_integers(labels: Sequence[str]) -> dict[str, int]:
    """Return the numbers of classes that are numbers themselves, in their order; empty if the labels are names."""
    names = set(labels)
    if not all(_WHOLE_NUMBER.fullmatch(name) for name in names):
        return {}
    return {name: int(name) for name in sorted(names, key=int)}


def _pair_numbers(table: TableContent, label: str, number: str) -> dict[str, int]:
    """Return the number of each class from a column beside the names.

    Raises:
        DataError: a name has two numbers, or a number two names.
    """
    numbers: dict[str, int] = {}
    names: dict[int, str] = {}
    for row in table.rows:
        name, value = row.cells[label], int(row.cells[number].partition(".")[0])
        if numbers.setdefault(name, value) != value or names.setdefault(value, name) != name:
            raise DataError(
                f"{row.place} of {table.file} has {name} in {label} and {value} in {number}, and another row pairs "
                "one of them otherwise; correct it, or remove one of the columns"
            )
    return numbers
