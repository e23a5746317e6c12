"""Open files that anyone may have put there: only regular files, and only up to a size.

A named pipe with the name of a record keeps a command waiting for ever, a device never ends, and a made-up file of
gigabytes fills the memory. Every reader of a file that bench did not write in this very run opens it here.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO


class NotRegularFileError(OSError):
    """A path leads to a pipe, a device, a socket or a folder."""


class FileTooLargeError(OSError):
    """A file has more bytes than such a file can have."""


def open_regular(path: Path, max_bytes: int | None = None) -> IO[bytes]:
    """Open a file for reading without ever waiting for another process; links are followed.

    Args:
        path: the file.
        max_bytes: the size above which the file is refused; ``None`` for any size.

    Raises:
        NotRegularFileError: it is a pipe, a device, a socket or a folder.
        FileTooLargeError: it has more than ``max_bytes`` bytes.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise NotRegularFileError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(found.st_mode):
            raise NotRegularFileError("it is not a regular file")
        if max_bytes is not None and found.st_size > max_bytes:
            raise FileTooLargeError(f"it has {found.st_size:,} bytes, and at most {max_bytes:,} are read")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Read a whole file as ``open_regular`` opens it; it is refused too if it grows meanwhile.

    Args:
        path: the file.
        max_bytes: the size above which the file is refused.

    Raises:
        OSError: as ``open_regular``.
    """
    with open_regular(path, max_bytes) as file:
        # Python takes memory for all the bytes that it is asked for, so a gigabyte costs time also for a small file
        wanted = min(os.fstat(file.fileno()).st_size, max_bytes) + 1
        # nothing, and not an empty text, where a file of the kernel would make a reader wait
        content = file.read(wanted) or b""
        if len(content) == wanted:  # it has grown, or is a file of the kernel, whose size is said to be 0
            content += file.read(max_bytes + 1 - wanted) or b""
    if len(content) > max_bytes:
        raise FileTooLargeError(f"it has more than {max_bytes:,} bytes")
    return content
