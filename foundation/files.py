"""Files that are either complete or not there, and their SHA-256 digests."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from foundation.errors import StorageError
from foundation.storage.leftovers import make_partial_file
from foundation.storage.reading_progress import report_reading
from foundation.storage.regular_files import NotRegularFileError, open_regular
from foundation.storage.write_faults import make_storage_error, name_write_faults


class _WatchedFile(io.FileIO):
    """A file that remembers why it could not be written: libraries report that in words of their own, or not at all.

    Attributes:
        fault: the first error of a write.
    """

    fault: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write as ``io.FileIO`` does."""
        try:
            return super().write(data)
        except OSError as error:
            self.fault = self.fault or error
            raise


@contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that becomes ``path`` when the block ends well, and leaves no trace otherwise.

    Written next to the target, flushed to disk and renamed, so a reader (or a kill at any moment) sees the
    old file or the new one, never part of one.

    Raises:
        StorageError: the file cannot be written, or would replace a device or pipe; also where the block has overlooked
            a fault.
    """
    with name_write_faults(path):
        _require_no_device(path)
        descriptor, partial = make_partial_file(path)
    watched = _WatchedFile(descriptor, "wb")
    file = io.BufferedWriter(watched)
    try:
        try:
            yield file
        except Exception as error:
            if fault := watched.fault or _find_short_write(error):
                raise make_storage_error(path, fault) from error
            raise
        with name_write_faults(path):
            file.flush()
            if watched.fault is not None:
                raise watched.fault
            os.fsync(descriptor)
            file.close()
            grant_default_mode(partial)
            partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # what is still in the buffer does not fit either
            file.close()
        partial.unlink(missing_ok=True)
        raise
    _fsync_dir(path.parent)


def _require_no_device(path: Path) -> None:
    """Refuse to replace a device or a pipe: as root, a file would stand in its place for the whole machine.

    Raises:
        StorageError: it is one, or a name in /dev such as /dev/stdout, which may lead to a regular file.
    """
    place = os.path.realpath(path.parent)
    try:
        kind = path.stat().st_mode
    except OSError:  # not there yet, or a link to nothing
        return
    is_file = stat.S_ISREG(kind) or stat.S_ISDIR(kind)
    if not is_file or (place == "/dev" or place.startswith(("/dev/fd", "/proc/"))):
        raise make_storage_error(path, NotRegularFileError("it is a device or a pipe, and only files are written"))


def _find_short_write(error: Exception) -> OSError | None:
    """Return the full disk behind NumPy's error for it; NumPy writes around Python's file and says only how much."""
    is_short = type(error) is OSError and error.errno is None and "requested and" in str(error)
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if is_short else None


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write ``content`` to ``path`` in one piece; text as UTF-8, with codes for what is none in a file's name."""
    with atomic_writer(path) as file:
        file.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)


def grant_default_mode(path: Path) -> None:
    """Give a temporary file or folder the mode that an ordinary ``open`` or ``mkdir`` would have given it.

    ``tempfile`` makes both private; what is renamed into place would then be closed to other users.
    """
    mask = os.umask(0)  # the only way to read the mask is to set another one
    os.umask(mask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


def sha256_chunks(chunks: Iterable[bytes]) -> str:
    """The SHA-256 of bytes that come in pieces (names and values, for example), as 64 hexadecimal digits.

    Where the pieces end does not count, so each needs its own length or a separator in it.

    >>> sha256_chunks([b"a", b"bc"]) == sha256_chunks([b"abc"])
    True
    """
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's content, as 64 hexadecimal digits.

    Raises:
        OSError: it cannot be read, or is a pipe or device, which may never end.
    """
    with open_regular(path) as file:
        return sha256_chunks(
            report_reading(path, os.fstat(file.fileno()).st_size, iter(lambda: file.read(1 << 20), b""))
        )


_FileState = tuple[str, int, int, int, int]
_HASHES: dict[_FileState, str] = {}
"""Of files that ``sha256_unchanged_file`` has read in this process."""

SETTLED_SECONDS = 2.0
"""A file that was written less long ago may change again without its times showing it: file systems count in steps,
FAT's of two seconds."""


def sha256_unchanged_file(path: Path) -> str:
    """As ``sha256_file``, but a file that this process has hashed before, and that has not changed since, is not read.

    For weight files, which are large and asked for in several places of one run. Unchanged means: the same inode,
    size, and times of change; a file that was written just now is read each time. Where a file's content itself is in
    question, as in ``bench verify``, call ``sha256_file``.
    """
    before = _get_file_state(path)
    if before in _HASHES:
        return _HASHES[before]
    settled = time.time() - max(before[3:]) / 1e9 > SETTLED_SECONDS
    digest = sha256_file(path)
    if settled and _get_file_state(path) == before:
        _HASHES[before] = digest
    return digest


def _get_file_state(path: Path) -> _FileState:
    """What changes when a file is written or replaced."""
    stat = path.stat()
    return os.path.realpath(path), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def iter_files(root: Path) -> Iterator[Path]:
    """Yield the files at or below a folder, sorted within each folder; hidden files and folders are left out.

    Links are followed, as data sets are often linked into place, but no folder is entered twice: an item that is
    reached on two paths would be counted twice.
    """
    seen: set[str] = set()
    for place, folders, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def ensure_writable_dir(folder: Path) -> None:
    """Create ``folder`` (and its parents) and check that a file can be written there.

    Raises:
        StorageError: if it is a file, or cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _make_output_error(folder, error) from error


def require_writable_place(folder: Path) -> None:
    """Check that ``ensure_writable_dir`` would succeed, as far as that can be told without making the folder.

    Raises:
        StorageError: if it is or lies in a file, or in a folder that may not be written.
    """
    place = next(each for each in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(each))
    if not place.is_dir():
        raise _make_output_error(folder, OSError(errno.EEXIST if place == folder.absolute() else errno.ENOTDIR, ""))
    if not os.access(place, os.W_OK | os.X_OK):
        raise _make_output_error(folder, OSError(errno.EACCES, ""))


def _make_output_error(folder: Path, error: OSError) -> StorageError:
    fault = make_storage_error(folder, error)
    advice = "make room, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return StorageError(
        f"cannot write to the output folder {folder} ({fault.strerror}); {advice}name another one with --out",
        error.errno or 0,
        str(folder),
        fault.strerror or "",
    )


def _fsync_dir(folder: Path) -> None:
    """Make a rename survive a power cut, on systems that can (POSIX)."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
