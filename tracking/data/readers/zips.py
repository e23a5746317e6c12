"""Read sequences directly from the zip files that LaSOT ships in, without unpacking them."""

from __future__ import annotations

import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.run_scope import memoize_in_run
from foundation.storage.regular_files import open_regular, read_regular

# [folders/]airplane-1/img/00000001.jpg or [folders/]airplane-1/groundtruth.txt
_SEQUENCE_PATTERN = re.compile(r"(?:.*/)?(?P<name>[^/]+-\d+)/(?:img/(?P<number>\d{8})\.jpg|(?P<text>[a-z_]+\.txt))")
_LIST_PATTERN = re.compile(r"(?:[^/]+/)?(?P<name>(?:testing|training)_set\.txt)")
# LaSOT's zips are stored or deflated; other methods are rare and would each need their own decoder
_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
_HEADER_SIZE, _ENCRYPTED_FLAG, _MAX_FILE_SIZE = 30, 1, 1 << 28

ANNOTATION_FILES = ("groundtruth.txt", "full_occlusion.txt", "out_of_view.txt")
"""The text files of a sequence that decide its score."""


class ZipEntry(NamedTuple):
    """Where a file is stored in a zip.

    Attributes:
        offset: offset of its header in bytes.
        compressed_size, size: number of bytes before and after decompression.
        crc32: checksum of the decompressed bytes.
        compression: method of compression, as ``zipfile`` numbers them.
    """

    offset: int
    compressed_size: int
    size: int
    crc32: int
    compression: int


@dataclass(frozen=True)
class ZipMember:
    """One file in a zip, with the reading methods of ``Path``.

    The zip is opened for each read, like a plain file, and read at the offset from its directory. A data set has
    millions of frames in dozens of zips: ``zipfile`` would keep half a kilobyte for each of them in every process, and
    processes must not share an open handle.

    Attributes:
        archive: the zip.
        path: path of the file in the zip.
        entry: where the file is stored.
    """

    archive: Path
    path: str
    entry: ZipEntry

    def __str__(self) -> str:
        return f"{self.archive}/{self.path}"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name

    def read_bytes(self) -> bytes:
        """Read the content and verify its checksum.

        Raises:
            DataError: the zip is damaged or no longer there.
        """
        try:
            packed = self._read_compressed()
            content = packed
            if self.entry.compression == _DEFLATED:
                # at most as many bytes as the directory says, so that a damaged or malicious zip cannot fill the memory
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, self.entry.size or 1)
        except OSError as error:
            raise DataError(f"{self.archive} cannot be read ({error.strerror}); put it back there") from error
        except (zlib.error, ValueError) as error:
            raise self._damaged_error() from error
        if len(content) != self.entry.size or zlib.crc32(content) != self.entry.crc32:
            raise self._damaged_error()
        return content

    def read_text(self) -> str:
        """Read the content as UTF-8.

        Raises:
            UnicodeDecodeError: the content is not text.
            DataError: see ``read_bytes``.
        """
        return self.read_bytes().decode()

    def _read_compressed(self) -> bytes:
        """Read the bytes as they are stored.

        Raises:
            ValueError: there is no file at the offset, as after the zip was replaced.
        """
        with self.archive.open("rb") as file:
            file.seek(self.entry.offset)
            header = file.read(_HEADER_SIZE)
            if len(header) < _HEADER_SIZE or not header.startswith(b"PK\3\4"):
                raise ValueError("no file begins here")
            # the last four bytes of the header are the lengths of the name and of an extra field, which follow it
            file.seek(sum(struct.unpack("<HH", header[-4:])), 1)
            return file.read(self.entry.compressed_size)

    def _damaged_error(self) -> DataError:
        return DataError(f"{self.path} in {self.archive} is damaged; fetch that zip again")


FileLike = Path | ZipMember
"""A file on disk or in a zip."""


def read_file(file: FileLike, max_bytes: int) -> bytes:
    """Return the content of a file.

    Args:
        file: the file, or a member of a zip, whose size was checked when it was found.
        max_bytes: the size above which a file on disk is refused.

    Raises:
        OSError: it cannot be read, is too large, or is a pipe or a device.
        DataError: the zip is damaged or no longer there.
    """
    return file.read_bytes() if isinstance(file, ZipMember) else read_regular(file, max_bytes)


class ZippedFrames(Sequence[ZipMember]):
    """The frames 1, 2, .. of a sequence in a zip; members are created on access.

    Args:
        archive: the zip.
        folder: folder of the sequence in the zip.
        entries: one ``ZipEntry`` per row, shape (frames, 5).
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
    """One sequence in a zip.

    Attributes:
        archive: the zip.
        folder: folder of the sequence in the zip.
        text_files: its text files by name.
        frame_numbers: numbers of its frames, ascending, shape (frames,).
        frame_entries: one ``ZipEntry`` per row in the same order, shape (frames, 5).
    """

    archive: Path
    folder: str
    text_files: dict[str, ZipMember] = field(default_factory=dict)
    # arrays take 48 bytes per frame, a tenth of what objects would take
    frame_numbers: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    frame_entries: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 5), np.int64))

    def text_file(self, name: str) -> ZipMember:
        """Return a text file.

        Args:
            name: its name.

        Raises:
            DataError: the zip has no such file.
        """
        if name not in self.text_files:
            raise DataError(f"{self.archive} has no {self.folder}/{name}; fetch that zip again")
        return self.text_files[name]

    def first_frames(self, count: int) -> ZippedFrames:
        """Return the first ``count`` frames.

        Args:
            count: number of frames.
        """
        return ZippedFrames(self.archive, self.folder, self.frame_entries[:count])


class ZipContents(NamedTuple):
    """What the zips of a folder contain.

    Attributes:
        sequences: the sequences by name.
        list_files: lists of sequence names (``testing_set.txt``, ``training_set.txt``) by file name.
    """

    sequences: dict[str, ZippedSequence]
    list_files: dict[str, ZipMember]


def read_zip_contents(root: Path, include_frameless: bool = False) -> ZipContents:
    """Find the sequences in all zips of a folder.

    If several zips contain the same sequence, ``<category>.zip`` is used, or else the first zip by name.

    Args:
        root: the folder.
        include_frameless: include sequences without frames in the zip, as in zips of annotation only.

    Raises:
        DataError: a file is not a zip, does not look like one of LaSOT's, or has other boxes or labels of a sequence
            than another zip.
    """
    sequences: dict[str, ZippedSequence] = {}
    lists: dict[str, ZipMember] = {}
    for path in sorted(root.glob("*.zip")):
        found = _read_one_zip(path)
        for name, sequence in found.sequences.items():
            if not include_frameless and not len(sequence.frame_numbers):
                continue
            if name in sequences:
                _require_equal_annotation(name, sequences[name], sequence)
            # paths are sorted, so the first zip wins unless a later one is that of the category
            if name not in sequences or path.stem == name.rpartition("-")[0]:
                sequences[name] = sequence
        lists = {**found.list_files, **lists}
    return ZipContents(sequences, lists)


def _require_equal_annotation(name: str, first: ZippedSequence, second: ZippedSequence) -> None:
    """Require that two zips with the same sequence have the same boxes and labels.

    Raises:
        DataError: a text file that both have differs.
    """
    for file in ANNOTATION_FILES:
        if file not in first.text_files or file not in second.text_files:
            continue
        # equal checksums and sizes mean equal files, so nothing has to be read
        one, other = (sequence.text_files[file].entry for sequence in (first, second))
        if (one.crc32, one.size) != (other.crc32, other.size):
            raise DataError(
                f"{first.archive} and {second.archive} disagree about {file} of sequence {name}; keep the zip that is "
                "LaSOT's and move the other one away"
            )


# in a run the directories are read once, since a category takes a second
@memoize_in_run
def _read_one_zip(path: Path) -> ZipContents:
    """Read the directory of one zip.

    Raises:
        DataError: see ``_iter_members``; also if a file, a sequence or a list of sequences is in it twice.
    """
    sequences: dict[str, ZippedSequence] = {}
    lists: dict[str, ZipMember] = {}
    frames: dict[str, dict[int, ZipEntry]] = {}
    for member in _iter_members(path):
        if match := _LIST_PATTERN.fullmatch(member.path):
            if match["name"] in lists:
                raise DataError(f"{path} holds the list {match['name']} twice; fetch it again")
            lists[match["name"]] = member
        elif match := _SEQUENCE_PATTERN.fullmatch(member.path):
            name, folder = match["name"], member.path[: match.end("name")]
            sequence = sequences.setdefault(name, ZippedSequence(path, folder))
            if sequence.folder != folder:
                raise DataError(f"{path} holds sequence {name} twice, in {sequence.folder} and {folder}; remove one")
            places = frames.setdefault(name, {})
            # zipfile would take the last of two members of one name, and other programs the first
            if match["text"] in sequence.text_files or (match["number"] and int(match["number"]) in places):
                raise DataError(f"{path} holds {member.path} twice, so its content is unclear; fetch that zip again")
            if match["text"]:
                sequence.text_files[match["text"]] = member
            else:
                places[int(match["number"])] = member.entry
    # members can be in any order in a zip, so the frames are sorted at the end
    for name, places in frames.items():
        numbers = sorted(places)
        sequences[name].frame_numbers = np.array(numbers, np.int64)
        sequences[name].frame_entries = np.array([places[number] for number in numbers], np.int64).reshape(-1, 5)
    return ZipContents(sequences, lists)


def _iter_members(path: Path) -> Iterator[ZipMember]:
    """Yield the images and text files of a zip after checking what the directory says about each.

    Raises:
        DataError: the zip cannot be read, or an entry is unsafe, encrypted, packed in a rare way or too large.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            zip_bytes = os.fstat(file.fileno()).st_size
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise DataError(f"{path} cannot be read as a zip ({error}); fetch it again, or move it away") from error
    for entry in entries:
        name = entry.filename
        # nothing is unpacked, but a path that leads out of the zip is a sign of a manipulated file
        if name.startswith("/") or ".." in name.split("/"):
            raise DataError(f"{path} holds the unsafe path {name}; this is not a zip of LaSOT, move it away")
        if not name.endswith((".jpg", ".txt")):
            continue
        # memory for the stored bytes is taken before they are read
        if not 0 <= entry.header_offset <= entry.header_offset + entry.compress_size <= zip_bytes:
            raise DataError(f"{name} does not fit in the zip {path}, whose directory is wrong; fetch that zip again")
        if entry.flag_bits & _ENCRYPTED_FLAG or entry.compress_type not in (_STORED, _DEFLATED):
            raise DataError(f"{name} in {path} is encrypted or packed in a rare way; unpack that zip in its folder")
        if (size := max(entry.file_size, entry.compress_size)) > _MAX_FILE_SIZE:
            raise DataError(
                f"{name} in {path} would be {size:,} bytes, too large for a frame of LaSOT; move that zip away"
            )
        place = ZipEntry(entry.header_offset, entry.compress_size, entry.file_size, entry.CRC, entry.compress_type)
        yield ZipMember(path, name, place)
