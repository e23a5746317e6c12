"""Read the per-item files next to a record: its table and its pixel areas or matches.

A file is used only if it has the SHA-256 that the record states. It may lie there compressed, as ``items.csv.gz``: the
SHA-256 is that of the content.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.display_text import shorten_value
from foundation.errors import RecordError
from foundation.storage.regular_files import FileTooLargeError, read_regular
from results.records.record import Record
from results.records.strict_model import require_plain_name
from results.statistics.average_precision.match_tables import MatchTable, split_match_tables
from results.statistics.segmentation_scores import AreaArray

DEFAULT_AREAS_ENTRY = "areas"
"""The entry of ``details`` that names the file of areas in records whose metrics do not state their statistic."""

FILE_KINDS = ("area_ratio", "average_precision")
"""Statistics that need a file besides the table; their only column is the entry of ``details`` that names it."""

MAX_ITEM_BYTES = 256_000_000
"""A larger file is no per-item file. Areas of 20,000 images in 150 classes have 72 MB, and a table of five draws of
50,000 images 15 MB."""


GZIP_SUFFIX = ".gz"
"""Ending of a per-item file that was compressed by gzip to save space; the file itself then need not be there."""

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
"""zlib's word for data with the head and the checksum of gzip."""


class ItemTable(NamedTuple):
    """A per-item table.

    Attributes:
        path: the file of the table.
        sha256: SHA-256 of that file.
        columns: cells as text, by name of the column; all columns have the same length.
    """

    path: Path
    sha256: str
    columns: dict[str, tuple[str, ...]]

    @property
    def num_rows(self) -> int:
        """Return the number of items."""
        return len(next(iter(self.columns.values()), ()))


def list_item_files(folder: Path, record: Record) -> dict[Path, str]:
    """Return the SHA-256 of each per-item file of a complete record: first the table, then files of areas or matches.

    A file that is there only in its compressed form has the path of that; the SHA-256 is always of the content.

    Args:
        folder: folder of the run.
        record: record of the run.

    Raises:
        RecordError: the record has no per-item files, or names one outside its folder.
    """
    if record.result is None:
        raise RecordError(f"{folder} is {record.status} and has no per-item file")
    files = {record.result.items.file: record.result.items.sha256}
    statistics = [metric.statistic for metric in record.result.metrics.values() if metric.statistic]
    entries = [DEFAULT_AREAS_ENTRY, *(each.columns[0] for each in statistics if each.kind in FILE_KINDS)]
    for named in (record.result.details.get(entry) for entry in entries):
        if isinstance(named, dict):
            files[str(named.get("file"))] = str(named.get("sha256"))
    # records may come from anybody: a name such as "../other/items.csv" must not lead out of the folder
    for name in files:
        try:
            require_plain_name(name)
        except ValueError as error:
            shown = shorten_value(name)
            raise RecordError(f"{folder}: the record names the per-item file {shown}, but that {error}") from error
    return {find_item_file(folder / name): sha256 for name, sha256 in files.items()}


def find_item_file(path: Path) -> Path:
    """Return the place of a per-item file: as it is named, or compressed beside it if only that is there."""
    packed = path.with_name(path.name + GZIP_SUFFIX)
    return packed if packed.is_file() and not path.exists() else path


def read_item_table(folder: Path, record: Record) -> ItemTable:
    """Read the per-item table of a complete record.

    Raises:
        RecordError: there is no table, its SHA-256 is not the one in the record, or it is not a table.
    """
    path, sha256 = next(iter(list_item_files(folder, record).items()))
    return ItemTable(path, sha256, parse_item_table(read_verified_file(path, sha256), path))


def read_areas(folder: Path, record: Record, entry: str, num_items: int) -> AreaArray:
    """Read the pixel areas of every image, int64 (n, 3, classes).

    Args:
        folder: folder of the run.
        record: record of the run.
        entry: the entry of the record's ``details`` that names the file.
        num_items: number of images in the per-item table.

    Raises:
        RecordError: there is no such entry, the file's SHA-256 is not the recorded one, or it does not hold areas.
    """
    path, areas = _read_stored_array(folder, record, entry, "areas")
    if areas.dtype != np.int64 or areas.ndim != 3 or areas.shape[:2] != (num_items, 3):
        raise RecordError(f"{path} holds {areas.dtype} {areas.shape}, not int64 ({num_items}, 3, classes)")
    return np.asarray(areas, np.int64)


def read_matches(folder: Path, record: Record, entry: str, num_items: int) -> tuple[dict[str, MatchTable], str]:
    """Read the matches of every image, by kind (``box``, ``mask``), and the SHA-256 of their file.

    Args:
        folder: folder of the run.
        record: record of the run.
        entry: the entry of the record's ``details`` that names the file.
        num_items: number of images in the per-item table.

    Raises:
        RecordError: there is no such entry, the file's SHA-256 is not the recorded one, or it does not hold matches.
    """
    # whoever makes up a file can make up its matches too; the number in the record must follow from them all the same
    path, rows = _read_stored_array(folder, record, entry, "matches")
    try:
        tables = split_match_tables(rows, num_items)
    except ValueError as error:
        raise RecordError(f"{path} does not hold the matches of {num_items} images: {error}") from error
    return tables, list_item_files(folder, record)[path]


def _read_stored_array(folder: Path, record: Record, entry: str, what: str) -> tuple[Path, NDArray[Any]]:
    """Read the array in the file that an entry of the record's details names."""
    stated = record.result.details.get(entry) if record.result else None
    if not isinstance(stated, dict):
        raise RecordError(f"{folder}: the record's details name no file of {what} under {entry!r}")
    path = find_item_file(folder / str(stated.get("file")))
    sha256 = list_item_files(folder, record)[path]
    # parse the very bytes that were hashed
    content = read_verified_file(path, sha256)
    try:
        return path, _parse_array(content)
    # numpy reads a strange head by tokenize, whose errors from Python 3.12 on are its own and no SyntaxErrors
    except (ValueError, EOFError, SyntaxError, TokenError) as error:
        raise RecordError(f"{path} does not hold {what}: {error}") from error


def read_verified_file(path: Path, sha256: str) -> bytes:
    """Return the content of a file, unpacked if it is compressed, provided that it has the expected SHA-256.

    Raises:
        RecordError: the file cannot be read, or has another content.
    """
    try:
        content = read_regular(path, MAX_ITEM_BYTES)
        if path.suffix == GZIP_SUFFIX:
            content = _unpack_gzip(content)
    except (OSError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise RecordError(
            f"cannot read the per-item file {path} ({why}); copy it from where the run was made"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RecordError(f"{path} is not the file that its record was made with (another SHA-256); copy it again")
    return content


def _unpack_gzip(content: bytes) -> bytes:
    """Return what one gzip member holds.

    Raises:
        FileTooLargeError: it holds more than a per-item file can have; a few bytes could stand for gigabytes.
        zlib.error: it is no gzip, or is cut off.
    """
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    found = unpacker.decompress(content, MAX_ITEM_BYTES + 1)
    if len(found) > MAX_ITEM_BYTES:
        raise FileTooLargeError(f"it unpacks to more than {MAX_ITEM_BYTES:,} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise zlib.error("it is not one whole gzip file")
    return found


def _parse_array(content: bytes) -> NDArray[np.generic]:
    """Read an array from the content of a ``.npy`` file.

    Raises:
        ValueError: it is none, or not as long as its head says: a made-up head would reserve any amount of memory.
    """
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read_head = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_head(file)
    size = math.prod(shape) * dtype.itemsize
    if size != len(content) - file.tell():
        raise ValueError(f"its head says {size:,} bytes of numbers, and {len(content) - file.tell():,} follow")
    file.seek(0)
    # never unpickle a foreign file
    found: NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
    return found


def parse_item_table(content: bytes, path: Path) -> dict[str, tuple[str, ...]]:
    """Parse the columns of a per-item table (CSV with a header line).

    Raises:
        RecordError: the content is not a table, or a row does not have as many cells as the header.
    """
    try:
        # both strict: every row as long as the others, and as many columns as the header names
        head, *rows = csv.reader(io.StringIO(content.decode()))
        if not head:
            raise ValueError("its first line names no columns")
        if len(set(head)) < len(head):
            raise ValueError("two columns have the same name")
        return dict(zip(head, zip(*rows, strict=True), strict=True))
    except (ValueError, csv.Error) as error:
        raise RecordError(f"{path} is not a table whose rows have as many cells as its header: {error}") from error
