"""How much room a disk has, and whether it is enough for what a run is going to write."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from foundation.errors import StorageError


class FreeSpace(NamedTuple):
    """What a file system has left for this user.

    Attributes:
        num_bytes: free bytes. A quota is not known: the system tells only what the disk has.
        num_files: how many more files it can hold; ``None`` where there is no such limit, or it is not known.
    """

    num_bytes: int
    num_files: int | None


def measure_free_space(folder: Path) -> FreeSpace:
    """Return what is free where a folder is, or would be.

    Args:
        folder: a folder, which need not exist yet.

    Raises:
        OSError: the file system does not answer.
    """
    place = find_existing_parent(folder)
    free = shutil.disk_usage(place).free
    if not hasattr(os, "statvfs"):  # Windows
        return FreeSpace(free, None)
    state = os.statvfs(place)
    # file systems that make inodes as they need them (btrfs, some network ones) say that they have 0 in all
    return FreeSpace(free, state.f_favail if state.f_files else None)


def require_space(folder: Path, num_bytes: int, what: str, num_files: int = 1) -> None:
    """Require that a disk has room for what is about to be written, before the work that makes it.

    Args:
        folder: where it is written; it need not exist yet.
        num_bytes: how much, in bytes.
        what: what it is, as a plural noun, for example ``the checkpoints of this training``.
        num_files: how many new files it is.

    Raises:
        StorageError: there is too little.
    """
    try:
        free = measure_free_space(folder)
    except OSError:  # nobody knows; the write itself will tell
        return
    if num_bytes > free.num_bytes:
        needed, found = format_size(num_bytes), f"only {format_size(free.num_bytes)} are free"
        advice = "free some space"
    elif free.num_files is not None and num_files > free.num_files:
        needed, found = f"{num_files:,} files", f"the disk can hold only {free.num_files:,} more (it is out of inodes)"
        advice = "remove some files"
    else:
        return
    raise StorageError(
        f"{what} need {needed} in {folder}, but {found}; {advice}, or choose another place{_name_variable(folder)}",
        errno.ENOSPC,
        str(folder),
        f"{needed} are needed, but {found}",
    )


def _name_variable(folder: Path) -> str:
    """Return in brackets which variable chooses a folder for temporary files; empty for any other folder."""
    return " ($TMPDIR)" if folder.is_relative_to(tempfile.gettempdir()) and folder.name.startswith("bench-") else ""


def find_existing_parent(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def format_size(num_bytes: int) -> str:
    """Format a number of bytes as a person reads it, in decimal units as disks are sold.

    >>> format_size(2_500_000_000), format_size(340_000), format_size(12)
    ('2.50 GB', '340 KB', '12 bytes')
    """
    for limit, unit, digits in ((1e9, "GB", 2), (1e6, "MB", 1), (1e3, "KB", 0)):
        if num_bytes >= limit:
            return f"{num_bytes / limit:,.{digits}f} {unit}"
    return f"{num_bytes} bytes"
