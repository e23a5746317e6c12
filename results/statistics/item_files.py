"""The per-item files beside a record: its table and its areas. Only what has the record's hash is used."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.errors import RecordError
from results.records.record import Record
from results.statistics.segmentation_scores import AreaArray

DEFAULT_AREAS_ENTRY = "areas"
"""The entry of a record's details that names its file of areas, in records that do not say it of a metric."""


class ItemTable(NamedTuple):
    """A per-item table: its file, the hash that file has, and its cells by column."""

    path: Path
    sha256: str
    columns: dict[str, tuple[str, ...]]

    @property
    def num_rows(self) -> int:
        """How many items."""
        return len(next(iter(self.columns.values()), ()))


def list_item_files(folder: Path, record: Record) -> dict[Path, str]:
    """The per-item files of a complete record with their SHA-256: the table first, then areas where there are some.

    Raises:
        RecordError: the record has none, or names one outside its folder.
    """
    if record.result is None:
        raise RecordError(f"{folder} is {record.status} and has no per-item file")
    files = {record.result.items.file: record.result.items.sha256}
    statistics = [metric.statistic for metric in record.result.metrics.values() if metric.statistic]
    entries = [DEFAULT_AREAS_ENTRY, *(each.columns[0] for each in statistics if each.kind == "area_ratio")]
    for areas in (record.result.details.get(entry) for entry in entries):
        if isinstance(areas, dict):
            files[str(areas.get("file"))] = str(areas.get("sha256"))
    for name in files:
        if Path(name).name != name:
            raise RecordError(f"{folder}: the record names the per-item file {name!r}, which is not in its folder")
    return {folder / name: sha256 for name, sha256 in files.items()}


def read_item_table(folder: Path, record: Record) -> ItemTable:
    """The per-item table of a complete record.

    Raises:
        RecordError: there is none, it has another hash than the record states, or it is not a table.
    """
    path, sha256 = next(iter(list_item_files(folder, record).items()))
    return ItemTable(path, sha256, parse_item_table(read_verified_file(path, sha256), path))


def read_areas(folder: Path, record: Record, entry: str, num_items: int) -> AreaArray:
    """The pixel areas of every image, (n, 3, classes).

    Args:
        folder: of the run.
        record: of the run.
        entry: of the record's details that names the file.
        num_items: images in the per-item table.

    Raises:
        RecordError: no such entry, another hash than it states, or other content than areas.
    """
    stated = record.result.details.get(entry) if record.result else None
    if not isinstance(stated, dict):
        raise RecordError(f"{folder}: the record's details name no file of areas under {entry!r}")
    path = folder / str(stated.get("file"))
    sha256 = list_item_files(folder, record)[path]
    try:
        areas: NDArray[np.generic] = np.load(io.BytesIO(read_verified_file(path, sha256)), allow_pickle=False)
    except ValueError as error:
        raise RecordError(f"{path} holds no areas: {error}") from error
    if areas.dtype != np.int64 or areas.ndim != 3 or areas.shape[:2] != (num_items, 3):
        raise RecordError(f"{path} holds {areas.dtype} {areas.shape}, not int64 ({num_items}, 3, classes)")
    return np.asarray(areas, np.int64)


def read_verified_file(path: Path, sha256: str) -> bytes:
    """A file's content, if it has the hash.

    Raises:
        RecordError: missing or another content.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordError(
            f"cannot read the per-item file {path} ({error.strerror}); fetch it from where the run was made"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RecordError(f"{path} is not the file that its record was made with (another SHA-256); fetch it again")
    return content


def parse_item_table(content: bytes, path: Path) -> dict[str, tuple[str, ...]]:
    """The columns of a per-item table by name.

    Raises:
        RecordError: no table, or rows of another length.
    """
    try:
        head, *rows = csv.reader(io.StringIO(content.decode()))
        return dict(zip(head, zip(*rows, strict=True), strict=True))
    except (ValueError, csv.Error) as error:
        raise RecordError(f"{path} is not a table whose rows all have the cells of its head: {error}") from error
