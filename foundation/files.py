"""Files that are either whole or not there, and their fingerprints."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from foundation.errors import UserError


@contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that becomes ``path`` when the block ends well, and leaves no trace otherwise.

    Written beside the target, flushed to disk and renamed, so a reader (or a kill at any moment) sees the
    old file or the new one, never a half.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)  # mkstemp makes files private; give them the mode an ordinary open() would
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _fsync_dir(path.parent)


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write ``content`` to ``path`` in one piece (text as UTF-8)."""
    with atomic_writer(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


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
    """The SHA-256 of a file's content, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return sha256_chunks(iter(lambda: file.read(1 << 20), b""))


def iter_files(root: Path) -> Iterator[Path]:
    """Files at or below a folder, sorted within each; hidden files and folders are left out.

    Links are followed, as data sets are often linked into place, but no folder is entered twice: an item that was met
    on two ways would be counted twice.
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
    """Make ``folder`` (and its parents) and prove that a file can be written there.

    Raises:
        UserError: if it is a file, or cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"cannot write to the output folder {folder} ({reason}); name another one with --out"
        ) from error


def _fsync_dir(folder: Path) -> None:
    """Make a rename last through a power cut, where the system can (POSIX)."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
