"""Sequences straight from the zip files that LaSOT ships in; nothing is unpacked."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError

_SEQUENCE_PATTERN = re.compile(r"(?:.*/)?(?P<name>[^/]+-\d+)/(?:img/(?P<number>\d{8})\.jpg|(?P<text>[a-z_]+\.txt))")
_LIST_PATTERN = re.compile(r"(?:[^/]+/)?(?P<name>(?:testing|training)_set\.txt)")
_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
_HEADER_SIZE, _ENCRYPTED_FLAG, _MAX_FILE_SIZE = 30, 1, 1 << 28


class ZipEntry(NamedTuple):
    """Where a file lies in a zip: offset of its header, bytes packed and unpacked, CRC-32, method."""

    offset: int
    compressed_size: int
    size: int
    crc32: int
    compression: int


@dataclass(frozen=True)
class ZipMember:
    """One file in a zip, read as a ``Path`` is.

    The zip is opened for each read, as a plain file is, at the place its directory told: a data set has millions of
    frames in dozens of zips, ``zipfile`` would keep half a kilobyte for each of them in every process, and an open
    handle may not be shared by processes.
    """

    archive: Path
    path: str
    entry: ZipEntry

    def __str__(self) -> str:
        return f"{self.archive}/{self.path}"

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePosixPath(self.path).name

    def read_bytes(self) -> bytes:
        """The content, its checksum verified.

        Raises:
            DataError: the zip is damaged, or no longer there.
        """
        try:
            packed = self._read_compressed()
            content = packed
            if self.entry.compression == _DEFLATED:
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, self.entry.size or 1)
        except OSError as error:
            raise DataError(f"{self.archive} cannot be read ({error.strerror}); is it still there?") from error
        except (zlib.error, ValueError) as error:
            raise self._damaged_error() from error
        if len(content) != self.entry.size or zlib.crc32(content) != self.entry.crc32:
            raise self._damaged_error()
        return content

    def read_text(self) -> str:
        """The content as UTF-8.

        Raises:
            UnicodeDecodeError: it is no text.
            DataError: see ``read_bytes``.
        """
        return self.read_bytes().decode()

    def _read_compressed(self) -> bytes:
        with self.archive.open("rb") as file:
            file.seek(self.entry.offset)
            header = file.read(_HEADER_SIZE)
            if len(header) < _HEADER_SIZE or not header.startswith(b"PK\3\4"):
                raise ValueError("no file begins here")
            file.seek(sum(struct.unpack("<HH", header[-4:])), 1)  # the name and an extra field, of any length
            return file.read(self.entry.compressed_size)

    def _damaged_error(self) -> DataError:
        return DataError(f"{self.path} in {self.archive} is damaged; fetch that zip again")


FileLike = Path | ZipMember
"""A file of its own, or one in a zip: both have ``name``, ``read_bytes`` and ``read_text``."""


class ZippedFrames(Sequence[ZipMember]):
    """The frames 1, 2 .. of a sequence in a zip, made when asked for.

    Args:
        archive: the zip.
        folder: their folder in it.
        entries: (frames, 5) a ``ZipEntry`` a row.
    """

    def __init__(self, archive: Path, folder: str, entries: NDArray[np.int64]) -> None:
        self.archive, self.folder, self.entries = archive, folder, entries

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> ZipMember: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[ZipMember]: ...

    def __getitem__(self, index: int | slice) -> ZipMember | Sequence[ZipMember]:
        numbers = range(len(self.entries))[index]
        if isinstance(numbers, range):
            return [self[number] for number in numbers]
        place = ZipEntry(*self.entries[numbers].tolist())
        return ZipMember(self.archive, f"{self.folder}/img/{numbers + 1:08d}.jpg", place)


@dataclass
class ZippedSequence:
    """One sequence in a zip: its folder, its text files by name, its frames' numbers and places in that order."""

    archive: Path
    folder: str
    text_files: dict[str, ZipMember] = field(default_factory=dict)
    frame_numbers: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    frame_entries: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 5), np.int64))

    def text_file(self, name: str) -> ZipMember:
        """A text file.

        Raises:
            DataError: it is not there.
        """
        if name not in self.text_files:
            raise DataError(f"{self.archive} has no {self.folder}/{name}; fetch that zip again")
        return self.text_files[name]

    def first_frames(self, count: int) -> ZippedFrames:
        """The first ``count`` frames."""
        return ZippedFrames(self.archive, self.folder, self.frame_entries[:count])


class ZipContents(NamedTuple):
    """What the zips of a folder hold: sequences by name, and lists of names."""

    sequences: dict[str, ZippedSequence]
    list_files: dict[str, ZipMember]


def read_zip_contents(root: Path, include_frameless: bool = False) -> ZipContents:
    """The sequences in all zips of a folder. Of one that is in several, ``<category>.zip`` has it, else the first.

    Args:
        root: the folder.
        include_frameless: also sequences of which a zip has no frame, as where annotation alone is zipped.

    Raises:
        DataError: a file is no zip, or not as LaSOT's are.
    """
    sequences: dict[str, ZippedSequence] = {}
    lists: dict[str, ZipMember] = {}
    for path in sorted(root.glob("*.zip")):
        state = path.stat()
        found = _read_one_zip(path, state.st_size, state.st_mtime_ns)
        for name, sequence in found.sequences.items():
            if not include_frameless and not len(sequence.frame_numbers):
                continue
            if name not in sequences or path.stem == name.rpartition("-")[0]:
                sequences[name] = sequence
        lists = {**found.list_files, **lists}
    return ZipContents(sequences, lists)


@cache
def _read_one_zip(path: Path, size: int, mtime_ns: int) -> ZipContents:
    """One zip's; read once while it stays as it is (a category's directory takes a second)."""
    sequences: dict[str, ZippedSequence] = {}
    lists: dict[str, ZipMember] = {}
    frames: dict[str, dict[int, ZipEntry]] = {}
    for member in _iter_members(path):
        if match := _LIST_PATTERN.fullmatch(member.path):
            lists[match["name"]] = member
        elif match := _SEQUENCE_PATTERN.fullmatch(member.path):
            name, folder = match["name"], member.path[: match.end("name")]
            sequence = sequences.setdefault(name, ZippedSequence(path, folder))
            if sequence.folder != folder:
                raise DataError(f"{path} holds sequence {name} twice, in {sequence.folder} and {folder}; remove one")
            if match["text"]:
                sequence.text_files[match["text"]] = member
            else:
                frames.setdefault(name, {})[int(match["number"])] = member.entry
    for name, places in frames.items():
        numbers = sorted(places)
        sequences[name].frame_numbers = np.array(numbers, np.int64)
        sequences[name].frame_entries = np.array([places[number] for number in numbers], np.int64)
    return ZipContents(sequences, lists)


def _iter_members(path: Path) -> Iterator[ZipMember]:
    """The files of a zip that can be of use, each sound by its entry in the directory."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise DataError(f"{path} cannot be read as a zip ({error}); fetch it again, or move it away") from error
    for entry in entries:
        name = entry.filename
        if name.startswith("/") or ".." in name.split("/"):
            raise DataError(f"{path} holds the unsafe path {name}; that is no zip of LaSOT, move it away")
        if not name.endswith((".jpg", ".txt")):
            continue
        if entry.flag_bits & _ENCRYPTED_FLAG or entry.compress_type not in (_STORED, _DEFLATED):
            raise DataError(f"{name} in {path} is encrypted or packed in a rare way; unpack that zip here")
        if entry.file_size > _MAX_FILE_SIZE:
            raise DataError(f"{name} in {path} would be {entry.file_size:,} bytes; that is no frame of LaSOT")
        place = ZipEntry(entry.header_offset, entry.compress_size, entry.file_size, entry.CRC, entry.compress_type)
        yield ZipMember(path, name, place)
