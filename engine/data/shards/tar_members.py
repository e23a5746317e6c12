"""List what is in a tar archive and where, so that every member can be read alone, without the ones before it.

An archive is data of others: only regular members count, under names that stay in the folder, and its headers take
bounded memory. Python's ``tarfile`` ends at the first header that it cannot read, without a word. So the end of an
archive has to look as one (POSIX.1-1988, ustar: blocks of zeros), or members would be missing and nobody would know.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from engine.data.image_formats import MAX_FILE_BYTES
from foundation.errors import DataError
from foundation.storage.regular_files import open_regular

_BLOCK = tarfile.BLOCKSIZE
_MAX_HEADER_BYTES = 1 << 20
"""Size of the longest header: a header with a long name or with comments may state any size."""

_RECORD = tarfile.RECORDSIZE
"""Tools fill up the last record, of 10 KB, with zeros. More of them are what an unfinished download leaves."""


class TarMember(NamedTuple):
    """A regular file in a tar archive.

    Attributes:
        name: its path in the archive, without a leading ``./``.
        offset: where its content begins, bytes from the start of the archive.
        size: length of its content, bytes.
    """

    name: str
    offset: int
    size: int


def list_members(path: Path) -> list[TarMember]:
    """List the regular files of an uncompressed tar archive, in its order.

    Args:
        path: the archive.

    Raises:
        DataError: it is damaged or cut off, or a member is a link, a device, too large, or named outside of the
            folder; names the archive and the member.
    """
    try:
        with open_regular(path) as file:
            return list(_iter_members(path, file))
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise DataError(f"{path} is not a tar archive that can be read ({error}); fetch it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); fetch it again") from error


def read_member(path: Path, member: TarMember) -> bytes:
    """Return the content of a member.

    Args:
        path: the archive.
        member: what ``list_members`` found there.

    Raises:
        DataError: the archive cannot be read, or has become shorter.
    """
    try:
        with open_regular(path) as file:
            file.seek(member.offset)
            content = file.read(member.size)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); fetch it again") from error
    if len(content) != member.size:
        raise DataError(f"{path} was cut off while it was read; fetch it again")
    return content


def _iter_members(path: Path, file: IO[bytes]) -> Iterator[TarMember]:
    num_bytes = file.seek(0, 2)
    file.seek(0)
    end = 0
    # the type says that this is any object with read, seek and tell
    reader: Any = _HeaderReader(path, file)
    archive: Any = tarfile.TarFile(fileobj=reader, errors="surrogateescape")
    with archive:
        while (found := archive.next()) is not None:
            archive.members = []  # tarfile keeps them all, and a shard may have a million
            if found.isdir():
                end = found.offset_data
                continue
            name = found.name.removeprefix("./")
            if found.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or found.issparse():
                raise DataError(f"{path} has a member {name!r} that is no plain file; make the archive again")
            _require_inside(path, name)
            if not 0 <= found.size <= MAX_FILE_BYTES:
                raise DataError(
                    f"{path} has a member {name!r} of {found.size:,} bytes, and an image has at most "
                    f"{MAX_FILE_BYTES:,}; make the archive again without it"
                )
            end = found.offset_data + -(-found.size // _BLOCK) * _BLOCK
            if found.offset_data + found.size > num_bytes:
                raise DataError(f"{path} is cut off in its member {name!r}; fetch it again")
            yield TarMember(name, found.offset_data, found.size)
    _require_end(path, file, end, num_bytes)


def _require_inside(path: Path, name: str) -> None:
    """Require a name with which a member would be unpacked below the folder."""
    if "\\" in name or "\0" in name or not all(part not in ("", ".", "..") for part in name.split("/")):
        raise DataError(f"{path} has a member named {name!r}, outside of its folder; make the archive again")


def _require_end(path: Path, file: IO[bytes], end: int, num_bytes: int) -> None:
    """Require that an archive ends where its last member does, with a block of zeros and nothing after it."""
    if num_bytes < end + _BLOCK:
        raise DataError(f"{path} is cut off: it has no end after {end:,} bytes; fetch it again")
    file.seek(end)
    # two blocks of zeros end an archive, and the record in which they are is filled up
    longest = -(-(end + 2 * _BLOCK) // _RECORD) * _RECORD - end
    if num_bytes - end > longest or any(file.read(longest)):
        raise DataError(
            f"{path} is damaged at byte {end:,}: no further member can be read, and the archive does not end there; "
            "fetch it again"
        )


class _HeaderReader:
    """A file of which only headers are read; a longer piece is refused before memory is taken for it."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self.file = path, file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise DataError(f"{self.path} has a header of {size:,} bytes; make the archive again")
        return self.file.read(size)
