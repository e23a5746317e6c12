"""Say in one sentence why a file could not be written or read, whoever tried: we, torch, SQLite, a loader's worker.

Python's own error for a full disk has no path when the write itself fails, and libraries wrap it in errors of their
own, or report only its text. Here all of them become one ``StorageError`` with the path, the reason, what is free and
what to do.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from foundation.environment import CACHE_DIR_VAR, get_cache_dir
from foundation.errors import BenchError, StorageError, UserError
from foundation.storage.disk_space import format_size, measure_free_space

_FREE_SOME = "free some space, or {other}"

_WRITE_FAULTS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", _FREE_SOME),
    errno.EDQUOT: ("your quota on this disk is used up", _FREE_SOME),
    errno.EROFS: ("the disk is read-only", "{other}"),
    errno.EFBIG: ("the file is larger than the disk or ulimit -f allows", "raise the limit, or {other}"),
}
"""Errors that only a write can give: reason, and what to do about it."""

_FAULTS: dict[int, tuple[str, str]] = {
    errno.EIO: ("the disk reports an input/output error", "check the disk and its cable or network, or {other}"),
    errno.ESTALE: ("the network disk has lost it", "mount the disk again, then run the same command again"),
    errno.EMFILE: ("too many files are open in this process", "raise the limit with: ulimit -n 4096"),
    errno.ENFILE: ("too many files are open on this machine", "end other programs, then run the same command again"),
    errno.EACCES: ("permission denied", "change its permissions, or {other}"),
    errno.EPERM: ("the system does not permit it", "change its permissions or attributes, or {other}"),
    errno.ENAMETOOLONG: ("its name is too long", "choose a shorter one"),
    errno.ENOTDIR: ("a part of this path is a file, not a folder", "{other}"),
    errno.EISDIR: ("it is a folder", "name a file"),
    errno.ENOENT: ("it is not there, or was removed meanwhile", "put it back, or correct the path"),
    errno.EEXIST: ("something of this name is there already", "move it away, or {other}"),
    errno.ELOOP: ("its links lead in a circle", "correct them"),
    errno.EBUSY: ("another program is using it", "end that program, or {other}"),
    errno.ETXTBSY: ("another program is running it", "end that program, or {other}"),
    errno.ENXIO: ("it is not a file", "name a file"),
    errno.ENODEV: ("the disk is gone", "connect it again, then run the same command again"),
    errno.ENOTEMPTY: ("the folder is not empty", "{other}"),
    errno.EXDEV: ("it is on another disk", "{other}"),
}
"""Errors that a write or a read can give."""

_LIBRARY_TEXTS = (
    (
        re.compile(
            r"PytorchStreamWriter failed|inline_container\.cc:\d+\] \. unexpected pos|database or disk is full|"
            r"\d+ requested and \d+ written"
        ),
        errno.ENOSPC,
    ),
    (re.compile(r"attempt to write a readonly database"), errno.EROFS),
    (re.compile(r"disk I/O error"), errno.EIO),
)
"""What torch, SQLite and NumPy say where they do not pass on the system's own words."""

_SYSTEM_TEXTS = re.compile(
    "|".join(re.escape(os.strerror(number)) for number in (*_WRITE_FAULTS, errno.EIO, errno.ESTALE, errno.EMFILE))
)
_NUMBERS = {os.strerror(number): number for number in (*_WRITE_FAULTS, *_FAULTS)}

_SHARED_MEMORY = re.compile(r"unable to (?:write to|mmap|resize|open).*file </?torch_|out of shared memory|/dev/shm")
"""What torch says when loader workers cannot pass a batch on (c10/core and torch.utils.data)."""

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the system's own folder, in which nothing is created here

_MAX_CHAIN = 20
"""Number of errors, each the cause of the one before, that are looked at."""

_LITTLE_SPACE = 64 << 20
"""A disk with less is called full, in bytes: what did not fit may be large, and may have been removed already."""

_MAX_PATH = 300
"""Number of characters of a path in a sentence; a name that is too long may have thousands."""


def make_storage_error(path: Path | str, error: OSError) -> StorageError:
    """Return the sentence for a file that could not be written; one that is a sentence already is returned as it is.

    Args:
        path: the file or folder as the user knows it, not its temporary name.
        error: what happened.
    """
    if isinstance(error, StorageError):
        return error
    number = error.errno or 0  # ours, such as NotRegularFileError, have a reason and no number
    reason, advice = (_WRITE_FAULTS | _FAULTS).get(number, (error.strerror or str(error), "{other}"))
    if number == errno.ENOSPC:
        reason, advice = _describe_full_disk(Path(path))
    elif number == errno.ENOENT:
        reason, advice = "its folder is not there, or was removed meanwhile", "make it, or {other}"
    return _make_sentence("write to" if Path(path).is_dir() else "write", path, number, reason, advice)


def find_storage_error(error: BaseException, place: Path | None = None) -> StorageError | None:
    """Return the sentence for an error that comes from the disk, directly or through a library; ``None`` for others.

    Args:
        error: any error; what it came from is looked at too. One that has a sentence of its own is left alone.
        place: the folder in which the work was writing, for errors that name no file.
    """
    if isinstance(error, StorageError):
        return error
    if isinstance(error, BenchError | KeyboardInterrupt | SystemExit):
        return None
    chain = _list_chain(error)
    if any(isinstance(each, RuntimeError | OSError) and _SHARED_MEMORY.search(_read_text(each)) for each in chain):
        return _make_shared_memory_error()
    fault = _find_fault(error, chain)
    return None if fault is None else _name_fault(fault, place)


@contextmanager
def name_write_faults(path: Path) -> Iterator[None]:
    """Turn errors of the disk, in a block that does nothing but write a file, into the sentence with its name.

    Args:
        path: the file as the user knows it.

    Raises:
        StorageError: the block failed because of the disk.
    """
    try:
        yield
    except Exception as error:
        fault = None if isinstance(error, BenchError) else _find_fault(error, _list_chain(error))
        if fault is None:
            raise
        raise make_storage_error(path, fault) from error


def _find_fault(error: BaseException, chain: Sequence[BaseException]) -> OSError | None:
    """Return the system's error behind an error, made up from its text if a library has dropped it."""
    for each in chain:
        if isinstance(each, StorageError):  # what came after it follows from it, such as a file that cannot be closed
            return each
    for each in chain:
        # an ordinary fault of reading counts only where it is the error itself: libraries try many a file
        if isinstance(each, OSError) and (each.errno in _WRITE_FAULTS or (each is error and each.errno in _FAULTS)):
            return each
    numbers = (_read_number(_read_text(each)) for each in chain)
    number = next((each for each in numbers if each is not None), None)
    return None if number is None else OSError(number, os.strerror(number))


def _list_chain(error: BaseException) -> list[BaseException]:
    """Return an error and what it came from, the newest first."""
    chain: list[BaseException] = []
    newer: BaseException | None = error
    while newer is not None and len(chain) < _MAX_CHAIN and newer not in chain:
        chain.append(newer)
        newer = newer.__cause__ or (None if newer.__suppress_context__ else newer.__context__)
    return chain


def _read_text(error: BaseException) -> str:
    """Return the text of an error; empty for one of a plug-in that cannot even say what it is."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - whoever reports that error says so
        return ""


def _read_number(text: str) -> int | None:
    """Return the number of the fault that an error's text speaks of."""
    if found := _SYSTEM_TEXTS.search(text):
        return _NUMBERS[found[0]]
    return next((number for pattern, number in _LIBRARY_TEXTS if pattern.search(text)), None)


def _name_fault(error: OSError, place: Path | None) -> StorageError:
    """Return the sentence for an error of the system, with the best name that is known for where it happened."""
    if isinstance(error, StorageError):
        return error
    # of a rename, the second name is the one that the user knows
    name = error.filename2 or error.filename
    number = error.errno or errno.EIO
    if isinstance(name, bytes | str):
        if number in _WRITE_FAULTS:
            return make_storage_error(os.fsdecode(name), error)
        return _make_sentence("read or write", os.fsdecode(name), number, *_FAULTS[number])
    full = _find_fullest_place(place) if number == errno.ENOSPC else None
    return (
        _make_shared_memory_error() if full == SHARED_MEMORY else make_storage_error(full or place or "a file", error)
    )


def _make_sentence(verb: str, path: Path | str, number: int, reason: str, advice: str) -> StorageError:
    advice = advice.format(other=_name_other_place(Path(path)))
    return StorageError(f"cannot {verb} {_shorten_path(str(path))}: {reason}; {advice}", number, str(path), reason)


def _shorten_path(path: str) -> str:
    return path if len(path) <= _MAX_PATH else f"{path[: _MAX_PATH // 2]} ... {path[-_MAX_PATH // 2 :]}"


def _find_fullest_place(place: Path | None) -> Path | None:
    """Return the one of the folders that any run may write to that has the least room; ``None`` if none is full."""
    places = [place] if place else []
    with suppress(UserError):  # no home folder
        places.append(get_cache_dir())
    room: dict[Path, int] = {}
    for each in (*places, Path(tempfile.gettempdir()), SHARED_MEMORY):
        with suppress(OSError):
            free = measure_free_space(each)
            room[each] = 0 if free.num_files is not None and free.num_files < 1 else free.num_bytes
    fullest = min(room, key=lambda each: room[each], default=None)
    return fullest if fullest is not None and room[fullest] < _LITTLE_SPACE else None


def _describe_full_disk(path: Path) -> tuple[str, str]:
    """Return why a disk takes no more, with what is free where a path is, and what to do about it."""
    reason, advice = _WRITE_FAULTS[errno.ENOSPC]
    try:
        free = measure_free_space(path.parent)
    except OSError:
        return reason, advice
    if free.num_files is not None and free.num_files < 1 and free.num_bytes > 0:
        room = f"{format_size(free.num_bytes)} are free, but no inodes"
        return f"the disk can hold no more files ({room})", "remove some files, or {other}"
    if free.num_bytes > _LITTLE_SPACE:  # what was half-written has been removed, or other programs have gone
        return f"the disk had no room for it or no inodes ({format_size(free.num_bytes)} are free by now)", advice
    return f"{reason} ({format_size(free.num_bytes)} are free)", advice


def _name_other_place(path: Path) -> str:
    """Return how to choose another place for a path."""
    if str(path).startswith(f"{SHARED_MEMORY}{os.sep}"):
        return "run with fewer loader workers (--set workers=0)"
    with suppress(UserError):  # no home folder
        if path.is_relative_to(get_cache_dir()):
            return f"set ${CACHE_DIR_VAR.name} to another place"
    if path == Path(tempfile.gettempdir()):
        return "set $TMPDIR to another place"
    return "name another place, for example with --out"


def _make_shared_memory_error() -> StorageError:
    room = ""
    with suppress(OSError):  # not a system with such a folder
        room = f" ({format_size(measure_free_space(SHARED_MEMORY).num_bytes)} are free)"
    return StorageError(
        f"the loader workers ran out of shared memory in {SHARED_MEMORY}{room}; run without them (--set workers=0), "
        "or make it larger (a container has 64 MB: docker run --shm-size=2g)",
        errno.ENOSPC,
        str(SHARED_MEMORY),
    )
