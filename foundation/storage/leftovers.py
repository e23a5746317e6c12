"""Unfinished files and folders: their names, and the removal of those whose process was killed.

What is not finished has one of these names, so that nothing else is ever taken for it:

- ``.NAME.XXXXXXXX.tmp`` beside the file or folder NAME that it becomes (X: a letter, a digit or ``_``; never a date or
  a word, which people put there),
- ``.NAME.pth.tmp`` beside the checkpoint NAME of a run,
- ``bench-PURPOSE-XXXXXXXX.tmp`` in the system's folder for temporary files, closed to other users.

Its process holds a lock of the operating system on it, which ends with the process. It is removed if no process holds
it and, where nothing else says that its process is gone, nobody has written to it for an hour.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from foundation.storage.write_faults import name_write_faults

try:
    import fcntl
except ImportError:  # Windows, which does not remove a file that a process has open
    fcntl = None  # type: ignore[assignment]

ABANDONED_SECONDS = 3600.0
"""An unfinished file that nobody has written to for so long, and that no process holds, is a leftover."""

UNLOCKABLE_SECONDS = 24 * 3600.0
"""The same on a file system that cannot tell whether a process holds the file, as some network disks."""

SCRATCH_PREFIX = "bench-"
_RANDOM = r"(?=[a-z]*[0-9_])(?=[0-9_]*[a-z])[a-z0-9_]{8}"
"""Eight characters by which ``tempfile`` makes a name new, with a letter and something else among them: neither
``.notes.20261127.tmp`` nor ``.notes.original.tmp`` is ours."""

_MAX_NAMES = 20
"""How many names are tried, of which one in 16 is a word."""

_BESIDE_TARGET = re.compile(rf"\.(?P<target>.+)\.{_RANDOM}\.tmp", re.DOTALL)
_CHECKPOINT = re.compile(r"\.(step|best|last)_\d{8}\.pth\.tmp")
_SWEEP_MARK = re.compile(r"(driver|node)-[0-9a-f]{32}")  # what a sweep and its workers tell each other
_SCRATCH = re.compile(rf"{SCRATCH_PREFIX}[a-z]+-{_RANDOM}\.tmp")


class Leftover(NamedTuple):
    """What a killed process left.

    Attributes:
        path: the file or folder.
        num_bytes: size of everything in it.
    """

    path: Path
    num_bytes: int


def make_partial_file(target: Path) -> tuple[int, Path]:
    """Make the file that becomes ``target``, and remove what killed writers of this target left.

    Returns:
        A descriptor for writing, with which the file is held until it is closed, and the path.

    Raises:
        OSError: it cannot be made.
    """
    remove_abandoned(target)
    for more in reversed(range(_MAX_NAMES)):
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        if not more or _BESIDE_TARGET.fullmatch(Path(name).name):
            break
        os.close(descriptor)
        Path(name).unlink()
    _lock(descriptor)
    return descriptor, Path(name)


@contextmanager
def open_partial_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder that the block renames to ``target``; if it does not, the folder is removed.

    Raises:
        StorageError: it cannot be made.
    """
    with name_write_faults(target):
        remove_abandoned(target)
        folder = _make_folder(f".{target.name}.", _BESIDE_TARGET, target.parent)
    with _hold_folder(folder):
        yield folder


@contextmanager
def open_scratch_folder(purpose: str) -> Iterator[Path]:
    """Yield a private folder in the system's place for temporary files; it is removed after the block.

    Args:
        purpose: what for, one word of small letters; part of its name.
    """
    with _hold_folder(_make_folder(f"{SCRATCH_PREFIX}{purpose}-", _SCRATCH)) as folder:
        yield folder


def _make_folder(prefix: str, pattern: re.Pattern[str], place: Path | None = None) -> Path:
    """Make a private folder whose name shows whose it is."""
    for more in reversed(range(_MAX_NAMES)):
        folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=".tmp", dir=place))
        if not more or pattern.fullmatch(folder.name):
            break
        folder.rmdir()
    return folder


@contextmanager
def _hold_folder(folder: Path) -> Iterator[Path]:
    descriptor = os.open(folder, os.O_RDONLY) if fcntl else None
    try:
        if descriptor is not None:
            _lock(descriptor)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Say that this process, or one that it forked, still works on a file; without a word where there are no locks."""
    if fcntl:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def is_unfinished_name(name: str) -> bool:
    """Return whether a name is one that only an unfinished file or folder of bench has."""
    return bool(_BESIDE_TARGET.fullmatch(name) or _CHECKPOINT.fullmatch(name))


def remove_owned_leftovers(folder: Path) -> None:
    """Remove everything unfinished in a folder and below, of whatever age; the caller has the lock of the folder."""
    marks = [path for path in folder.iterdir() if _SWEEP_MARK.fullmatch(path.name)]
    for path in [*marks, *_find_unfinished(folder)]:
        if not is_held(path):
            _remove(path)


def remove_abandoned(target: Path, *, is_owner: bool = False) -> None:
    """Remove what killed writers of a file or folder left beside it, if nobody has touched it for an hour.

    Args:
        target: the file or folder that would have become of it.
        is_owner: the caller has the lock of the target, so that no age is asked for.
    """
    for name in _list_unfinished_beside(str(target.parent.absolute())).get(target.name, ()):
        path = target.parent / name
        if is_abandoned(path) or (is_owner and not is_held(path)):
            _remove(path)


def clean_own_folder(folder: Path) -> None:
    """Remove what killed writers left in a folder in which only bench writes, whatever would have become of it.

    For files that are named by their content, so that nobody may ever write the same name again.
    """
    with contextlib.suppress(OSError):
        for path in list(folder.glob(".*.tmp")):
            if is_unfinished_name(path.name) and is_abandoned(path):
                _remove(path)


@lru_cache(maxsize=4096)
def _list_unfinished_beside(folder: str) -> Mapping[str, Sequence[str]]:
    """Return the names of unfinished files by their target; a folder is read once in a process.

    Thousands of files may be written to one folder; to read it before each would take longer than to write them.
    """
    found: dict[str, list[str]] = defaultdict(list)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".tmp") and (match := _BESIDE_TARGET.fullmatch(entry.name)):
                found[match["target"]].append(entry.name)
    return found


def list_leftovers(folders: Iterable[Path]) -> list[Leftover]:
    """Return what killed processes left in folders and below, and in the system's place for temporary files."""
    places = [*(path for folder in folders for path in _find_unfinished(folder)), *_find_scratch_folders()]
    return [Leftover(path, _measure(path)) for path in sorted(places) if is_abandoned(path)]


def remove_leftovers(folders: Iterable[Path]) -> list[Leftover]:
    """Remove what ``list_leftovers`` finds, and return it."""
    found = list_leftovers(folders)
    for each in found:
        if is_abandoned(each.path):
            _remove(each.path)
    return [each for each in found if not os.path.lexists(each.path)]


def is_abandoned(path: Path) -> bool:
    """Return whether nobody has written to an unfinished file or folder for an hour, and no process holds it."""
    age = _measure_age(path)
    if age is None or age < ABANDONED_SECONDS:
        return False
    return not is_held(path, default=age < UNLOCKABLE_SECONDS)


def _find_unfinished(folder: Path) -> list[Path]:
    """Return unfinished files and folders at or below a folder; links are not followed."""
    found = []
    for place, folders, names in os.walk(folder):
        mine = [name for name in folders if is_unfinished_name(name)]
        found += [Path(place, name) for name in (*mine, *filter(is_unfinished_name, names))]
        folders[:] = [name for name in folders if name not in mine]
    return found


def _find_scratch_folders() -> list[Path]:
    """Return this user's scratch folders, living ones too."""
    place = Path(tempfile.gettempdir())
    own = os.getuid() if hasattr(os, "getuid") else None
    found = []
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if not (_SCRATCH.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)):
                continue
            state = entry.stat(follow_symlinks=False)
            if own is None or (state.st_uid == own and not state.st_mode & 0o077):
                found.append(Path(entry.path))
    return found


def _measure_age(path: Path) -> float | None:
    """Return the seconds since the newest change in a file or folder, by the clock of its disk.

    A server's clock may differ from this machine's. ``None`` where it cannot be told, or it is neither a file nor a
    folder.
    """
    try:
        kind = path.lstat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            return None
        inside = path.rglob("*") if stat.S_ISDIR(kind) else ()
        newest = max(each.lstat().st_mtime for each in (path, *inside))
        return _read_disk_clock(path.parent) - float(newest)
    except OSError:  # it has just been removed or finished, or the disk is read-only
        return None


def _read_disk_clock(folder: Path) -> float:
    """Return the time that a file gets that is written now; where there is no room for one, this machine's time.

    Leftovers must go above all from a disk that is out of inodes.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as now:
            return float(os.fstat(now.fileno()).st_mtime)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return time.time()


def is_held(path: Path, *, default: bool = False) -> bool:
    """Return whether a process holds a file or folder; ``default`` where the file system cannot tell."""
    if fcntl is None:
        return default
    try:
        is_folder = stat.S_ISDIR(path.lstat().st_mode)
        # to lock a file for itself, a network disk wants it open for writing
        descriptor = os.open(path, (os.O_RDONLY if is_folder else os.O_RDWR) | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return default
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return default
    finally:
        os.close(descriptor)
    return False


def _measure(path: Path) -> int:
    with contextlib.suppress(OSError):
        inside = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
        return sum(each.lstat().st_size for each in inside)
    return 0


def _remove(path: Path) -> None:
    """Remove a file or a folder, unless it is gone already or may not be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
