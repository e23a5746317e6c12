"""Find the image file of each row of a table of labels; no row and no image is left over."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from classification.data.own_images.image_tree import ImageTree
from classification.data.own_images.table_columns import LabelRow
from engine.data.image_formats import IMAGE_SUFFIXES
from foundation.errors import DataError
from foundation.text.user_names import normalize_name

MAX_NAMED_ROWS = 3


class MatchedImages(NamedTuple):
    """The images of a table, in the order of its rows.

    Attributes:
        paths: path of each image below the user's folder.
        rows: the row of each.
        num_excluded: rows whose image ``--exclude`` leaves out.
    """

    paths: list[str]
    rows: list[LabelRow]
    num_excluded: int


def match_rows(tree: ImageTree, table: Path, rows: Sequence[LabelRow], base: str) -> MatchedImages:
    """Find the image of each row.

    A name is a path below the table's folder or the user's folder, also with folders of another machine before it, or
    the end of the path of exactly one image, whose suffix may be missing (``id`` of Kaggle).

    Args:
        tree: the images.
        table: the file, for messages.
        rows: its rows.
        base: the folder of the table below the user's folder; images outside of it are not looked at.

    Raises:
        DataError: a row fits no image or several, or two rows name one image.
    """
    # a damaged image is left out with --exclude alone, and its row need not be removed
    wanted = {_clean_name(row.file) for row in rows}
    finder = _ImageFinder(tree.list_images(base), wanted, table, base)
    excluded = _ImageFinder([path for path in tree.files.excluded if _is_image(path)], wanted, table, base)
    paths: list[str] = []
    kept: list[LabelRow] = []
    lost: list[LabelRow] = []
    first: dict[str, LabelRow] = {}
    num_excluded = 0
    for row in rows:
        path = finder.find_image(row)
        if path is None:
            if excluded.find_image(row) is None:
                lost.append(row)
            else:
                num_excluded += 1
            continue
        # two rows that agree are refused too: one of them may have been meant for another image
        other = first.setdefault(path, row)
        if other is not row:
            labels = "" if other.label == row.label else f", with the labels {other.label} and {row.label}"
            raise DataError(f"{other.place} and {row.place} of {table} name one image ({path}){labels}; keep one row")
        paths.append(path)
        kept.append(row)
    if lost:
        named = ", ".join(f"{row.file} ({row.place})" for row in lost[:MAX_NAMED_ROWS])
        more = f" and {len(lost) - MAX_NAMED_ROWS:,} more" if len(lost) > MAX_NAMED_ROWS else ""
        raise DataError(
            f"{len(lost):,} of {len(rows):,} rows of {table} name no image below {tree.get_path(base)}: {named}{more}; "
            "put the images there, or remove the rows"
        )
    return MatchedImages(paths, kept, num_excluded)


def _clean_name(text: str) -> str:
    """Return how a table names an image, with forward slashes and accents in one form."""
    parts = normalize_name(text).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def _is_image(path: str) -> bool:
    return path.lower().endswith(IMAGE_SUFFIXES)


class _ImageFinder:
    """Finds images by how a table names them.

    Args:
        paths: the images, relative to the user's folder.
        wanted: the names that will be asked for; of a million images, not every end of every path is kept.
        table: the table, for messages.
        base: the folder of the table.
    """

    def __init__(self, paths: Iterable[str], wanted: Container[str], table: Path, base: str) -> None:
        self.table, self.base = table, base
        self.by_path: dict[str, str] = {}
        self.by_end: dict[str, list[str]] = {}
        for path in paths:
            # a Mac writes accents of file names in another form than the table
            parts = PurePosixPath(normalize_name(path)).parts
            self.by_path["/".join(parts)] = path
            for start in range(len(parts)):
                end = "/".join(parts[start:])
                for name in (end, os.path.splitext(end)[0]):  # noqa: PTH122 - text, not a path of this system
                    if name in wanted:
                        self.by_end.setdefault(name, []).append(path)

    def find_image(self, row: LabelRow) -> str | None:
        """Return the image of a row, ``None`` if there is none.

        Raises:
            DataError: there are several.
        """
        name = _clean_name(row.file)
        parts = name.split("/")
        inside = self.by_path.get(f"{self.base}/{name}" if self.base else name)
        if inside is not None:
            return inside
        # never the first of several: images of one name in two folders have two labels
        found = self.by_end.get(name, [])
        if len(found) > 1:
            raise DataError(
                f"{row.place} of {self.table} names {row.file}, which may be {found[0]} or {found[1]}; write the path "
                "below the data folder into the table"
            )
        if found:
            return found[0]
        # /home/somebody/photos/cat/0.jpg: folders of the machine that the table comes from
        ends = ("/".join(parts[start:]) for start in range(1, len(parts)))
        return next((self.by_path[end] for end in ends if end in self.by_path), None)
