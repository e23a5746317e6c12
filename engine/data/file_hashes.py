"""Digests of the content of many files. Imports no torch.

A data set is identified by what is in its files, not by where they are or when they were written. Reading every byte
before every run would take minutes, so a digest is kept in ``$BENCH_CACHE/file_hashes.sqlite`` together with the
file's inode, size and times of change. As long as these four are the same, the digest is used again: a second look
costs one ``stat`` per file. They only decide that; they are never part of a fingerprint.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import stat
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Literal, NamedTuple

from engine.data.cache_table import CacheTable
from engine.data.image_formats import MAX_FILE_BYTES
from engine.progress_bar import ProgressBar
from foundation.errors import DataError
from foundation.files import SETTLED_SECONDS, sha256_chunks
from foundation.run_scope import get_run_scope
from foundation.storage.regular_files import open_regular

FULL_HASH_LIMIT = 20 * 10**9
"""Bytes of a data set up to which every file is hashed. Above it (ImageNet, LaSOT's frames) a first look would take a
quarter of an hour or more, so the sizes of all files and the bytes of a fixed sample stand for the content."""

SAMPLE_SIZE = 2_000
"""Files of that sample: those whose names have the smallest hashes, so the same ones on every machine."""

_SAMPLE_SALT = "bench-content-sample-1"
_CHUNK = 2_000
"""Files between two updates of the progress bar and two commits to the store."""


Algorithm = Literal["sha256", "crc32"]
"""``crc32`` is for layouts that also come as zips, whose directories hold the CRC-32 of every member: it lets a folder
and the zip that it was unpacked from have one fingerprint. It notices accidents, not forgery."""


class FileState(NamedTuple):
    """What the system changes when a file is written or replaced."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class FileHashes(NamedTuple):
    """The content of some files.

    Attributes:
        digests: one text per file: its SHA-256 (64 hexadecimal digits) or CRC-32 (``crc32:DIGITS:SIZE``), or ``size:N``
            for a file outside the sample.
        coverage: which bytes the digests cover, in words, for the record.
    """

    digests: list[str]
    coverage: str

    @property
    def is_complete(self) -> bool:
        """Return whether every file was hashed."""
        return self.coverage == FULL_COVERAGE


FULL_COVERAGE = "the bytes of every file"
EMPTY_DIGESTS = (sha256_chunks([]), "size:0")
"""The digests of a file without content, hashed or outside of the sample."""


def hash_files(
    root: Path, names: Sequence[str], algorithm: Algorithm = "sha256", reads_all: bool = False
) -> FileHashes:
    """Return the digests of files; unchanged files are not read again.

    Args:
        root: the folder that ``names`` are relative to.
        names: paths of the files.
        algorithm: ``sha256``, or ``crc32`` where zips must have the same fingerprint.
        reads_all: whether every file is read also of a very large data set, because the digests decide on something.

    Raises:
        DataError: a file is missing or cannot be read; names it and says how to fix it.
    """
    # the folder's real path: the store is keyed by it, and the folder may be reached through a link
    home = os.path.realpath(root)
    states = [read_state(os.path.join(home, name)) for name in names]
    wanted, coverage = _choose_hashed(names, 0 if reads_all else sum(state.size for state in states))
    digests = [f"size:{state.size}" for state in states]
    hash_file = _HASH_FUNCTIONS[algorithm]

    def read_digest(index: int) -> str:
        return _read_digest(hash_file, os.path.join(home, names[index]))

    for index, digest in _hash_indices(home, names, states, wanted, HashStore(algorithm), read_digest):
        digests[index] = digest
    _remember_states(root.absolute(), names, states)
    return FileHashes(digests, coverage)


def hash_members(
    root: Path,
    names: Sequence[str],
    sizes: Sequence[int],
    archives: Sequence[str],
    archive_numbers: Sequence[int],
    read_content: Callable[[int], bytes],
) -> FileHashes:
    """Return the digests that ``hash_files`` has for the same files in folders; only archives are looked at.

    Args:
        root: the folder that ``names`` and ``archives`` are relative to.
        names: paths of the files, as they are when the set is unpacked.
        sizes: bytes of each file.
        archives: paths of the archives that hold them.
        archive_numbers: index of the archive of each file.
        read_content: returns the content of the file with an index.

    Raises:
        DataError: an archive cannot be read.
    """
    home = os.path.realpath(root)
    archive_states = [read_state(os.path.join(home, name), None) for name in archives]
    wanted, coverage = _choose_hashed(names, sum(sizes))
    digests = [f"size:{size}" for size in sizes]
    # a digest is that of an unchanged archive
    states = [archive_states[number] for number in archive_numbers]

    def read_digest(index: int) -> str:
        return hashlib.sha256(read_content(index)).hexdigest()

    for index, digest in _hash_indices(home, names, states, wanted, HashStore("sha256"), read_digest):
        digests[index] = digest
    _remember_states(root.absolute(), archives, archive_states)
    return FileHashes(digests, coverage)


def sample_digests(names: Sequence[str], digests: Sequence[str]) -> FileHashes:
    """Return the digests that ``hash_files`` has for files of which every CRC-32 is known, as of members of a zip.

    A large set in zips then has the fingerprint of the same set unpacked, of which only a sample is read.

    Args:
        names: paths of the files, as they are when the set is unpacked.
        digests: the digest of each file, with its size.
    """
    sizes = [int(digest.rpartition(":")[2]) for digest in digests]
    wanted, coverage = _choose_hashed(names, sum(sizes))
    sampled = [f"size:{size}" for size in sizes]
    for index in wanted:
        sampled[index] = digests[index]
    return FileHashes(sampled, coverage)


def _choose_hashed(names: Sequence[str], total_size: int) -> tuple[Sequence[int], str]:
    """Return the indices of the files whose bytes count, and the coverage in words."""
    if total_size <= FULL_HASH_LIMIT or get_run_scope().hashes_all:
        return range(len(names)), FULL_COVERAGE
    wanted = _choose_sample(names)
    return wanted, f"the sizes of all files and the bytes of {len(wanted):,} of {len(names):,} (--hash-all reads all)"


def require_unchanged_files() -> None:
    """Check that no file whose digest this run has taken was changed since; call it before results are stored.

    Features that were computed from changed files would otherwise be stored under the digest of the old ones.

    Raises:
        DataError: a file was changed or removed; names it.
    """
    taken: list[tuple[Path, Sequence[str], bytes]] = get_run_scope().memo.get(_STATES_KEY, [])
    for root, names, expected in taken:
        # through the folder's own name, as the images were read: it may be a link, which may lead elsewhere by now
        states = [read_state(os.path.join(root, name), None) for name in names]
        if _digest_states(states) != expected:
            newest = max(range(len(names)), key=lambda index: states[index].ctime_ns)
            raise DataError(
                f"the data under {root} were changed while the run was reading them (last: {names[newest]}); "
                "the run has no number, so start it again"
            )


_STATES_KEY = "file states"
_MAX_INODE = (1 << 63) - 1


def _remember_states(root: Path, names: Sequence[str], states: Sequence[FileState]) -> None:
    # one digest for all states, because a million tuples would take 200 MB
    get_run_scope().memo.setdefault(_STATES_KEY, []).append((root, names, _digest_states(states)))


def _digest_states(states: Iterable[FileState]) -> bytes:
    digest = hashlib.sha256()
    for state in states:
        digest.update(b"%d %d %d %d\n" % state)
    return digest.digest()


def read_state(path: str, max_bytes: int | None = MAX_FILE_BYTES) -> FileState:
    """Return what the system changes when a file is written.

    Args:
        path: the file.
        max_bytes: the size above which it is refused; ``None`` for an archive of any size.

    Raises:
        DataError: it is missing, too large, or not a file.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise DataError(f"{path} {reason}; unpack the data set again") from None
    # before any byte is read: a pipe would never end, and a sparse file of a terabyte would take an hour
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path} is not a file but a device or pipe; remove it, or leave it out with --exclude")
    if max_bytes is not None and found.st_size > max_bytes:
        raise DataError(
            f"{path} has {found.st_size:,} bytes, and an image or table at most {max_bytes:,}; fetch it again, or "
            "leave it out with --exclude"
        )
    # SQLite keeps signed numbers, and some file systems (mergerfs, SMB) use all 64 bits of an inode
    return FileState(found.st_ino & _MAX_INODE, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _choose_sample(names: Sequence[str]) -> list[int]:
    """Return the indices of the files with the smallest hashes of their names."""
    ranked = (
        (hashlib.sha256(f"{_SAMPLE_SALT}:{_format_name(name)}".encode("utf-8", "surrogateescape")).digest(), index)
        for index, name in enumerate(names)
    )
    return sorted(index for _, index in heapq.nsmallest(SAMPLE_SIZE, ranked))


def _format_name(name: str) -> str:
    """Return ``Path(name).as_posix()``, without a ``Path`` for each of a million names, which takes a second or two."""
    is_plain = os.sep == "/" and "//" not in name and "./" not in name
    return name if is_plain else Path(name).as_posix()


def _hash_indices(
    home: str,
    names: Sequence[str],
    states: Sequence[FileState],
    wanted: Sequence[int],
    store: HashStore,
    read_digest: Callable[[int], str],
) -> Iterator[tuple[int, str]]:
    """Yield index and digest of each wanted file, from the store where the file is unchanged."""
    known = store.load(home) if get_run_scope().trusts_caches else {}
    unknown = []
    for index in wanted:
        stored = known.get(names[index])
        if stored is not None and stored[0] == states[index]:
            yield index, stored[1]
        else:
            unknown.append(index)
    if not unknown:
        return
    with ThreadPoolExecutor(4) as pool, ProgressBar("content of the data", "files", len(unknown)) as bar:
        for start in range(0, len(unknown), _CHUNK):
            chunk = unknown[start : start + _CHUNK]
            began = time.time()
            # threads help, because hashlib and read release the interpreter's lock
            digests = list(pool.map(read_digest, chunk))
            fresh = {}
            for index, digest in zip(chunk, digests, strict=True):
                yield index, digest
                state = states[index]
                # A file written just now may change again without its times showing it: file systems count in steps.
                if began - max(state.mtime_ns, state.ctime_ns) / 1e9 > SETTLED_SECONDS:
                    fresh[names[index]] = (state, digest)
            store.save(home, fresh)
            bar.advance(num_items=len(chunk))


def _read_digest(hash_file: Callable[[IO[bytes]], str], path: str) -> str:
    try:
        with open_regular(Path(path)) as file:
            return hash_file(file)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); fetch it again") from error


def _iter_chunks(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(1 << 20), b"")


def _compute_sha256(file: IO[bytes]) -> str:
    return sha256_chunks(_iter_chunks(file))


def _compute_crc32(file: IO[bytes]) -> str:
    value = size = 0
    for chunk in _iter_chunks(file):
        value, size = zlib.crc32(chunk, value), size + len(chunk)
    return format_crc32(value, size)


def format_crc32(value: int, size: int) -> str:
    """Return the digest of a file or a member of a zip from its CRC-32 and its number of bytes."""
    return f"crc32:{value:08x}:{size}"


_HASH_FUNCTIONS: Mapping[Algorithm, Callable[[IO[bytes]], str]] = {"sha256": _compute_sha256, "crc32": _compute_crc32}


class HashStore:
    """The digests of earlier runs. It only saves time: without it (read-only cache, damaged file) files are read."""

    def __init__(self, algorithm: Algorithm) -> None:
        columns = "path BLOB PRIMARY KEY, inode INTEGER, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, digest TEXT"
        self._rows = CacheTable("file_hashes.sqlite", f"{algorithm}_digests", columns)

    def load(self, home: str) -> Mapping[str, tuple[FileState, str]]:
        """Return state and digest of every stored file below a folder, by its path relative to the folder."""
        # as bytes, since a file name need not be valid UTF-8
        prefix = os.fsencode(os.path.join(home, ""))
        # in the order of bytes, all paths with this prefix lie between it and the prefix followed by 0xff
        query = f"SELECT * FROM {self._rows.table} WHERE path >= ? AND path < ?"  # noqa: S608 - a constant name
        rows = self._rows.select_rows(query, (prefix, prefix + b"\xff"))
        return {os.fsdecode(path[len(prefix) :]): (FileState(*state), digest) for path, *state, digest in rows}

    def save(self, home: str, digests: Mapping[str, tuple[FileState, str]]) -> None:
        """Store digests; a store that cannot be written is no error, and a damaged one begins anew."""
        self._rows.insert_rows(
            [(os.fsencode(os.path.join(home, name)), *state, digest) for name, (state, digest) in digests.items()]
        )
