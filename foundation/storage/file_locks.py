"""Locks between processes: those of the operating system, which are free as soon as their process ends."""

from __future__ import annotations

import errno
import warnings
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from foundation.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
"""What a file system answers that has no locks, such as NFS whose lock service is not reached."""


def take_file_lock(path: Path, timeout: float = -1) -> FileLock:
    """Lock a file for this process, creating it, and return the lock to release.

    Args:
        path: the file. What it holds counts for nothing, and a file that a dead process left, on whatever machine,
            locks nothing.
        timeout: seconds to wait for another process; negative: for as long as it takes.

    Raises:
        Timeout: another process has it.
        UserError: the file system has no locks. A marker file in their place, which filelock would write, stays for
            ever when its process is killed, and says nothing about processes of another machine.
        OSError: the file cannot be created.
    """
    lock = FileLock(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # refused below, in a sentence of our own
            lock.acquire(timeout=timeout)
    except Timeout:
        raise
    except (OSError, NotImplementedError) as error:
        # any other error, of a full disk for one, is the caller's to explain
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        raise UserError(_explain_missing_locks(path)) from error
    if isinstance(lock, SoftFileLock):
        lock.release()
        raise UserError(_explain_missing_locks(path))
    return lock


def is_file_locked(path: Path) -> bool | None:
    """Return whether a process holds the lock of a file; ``None`` where that cannot be known. Nothing is written.

    Whoever takes the lock in this very moment finds it taken, so ``take_file_lock`` needs a timeout above 0.

    Args:
        path: the file.
    """
    if fcntl is None:
        return None
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def _explain_missing_locks(path: Path) -> str:
    return (
        f"the file system of {path.parent} has no file locks, without which two processes could write the same files; "
        "name a folder on another disk, or let the administrator mount this one with locks (NFS: without nolock; "
        "Lustre: with flock)"
    )
