"""The feature cache: stores the features of a frozen backbone for a split. Imports no torch.

The key of an entry is a hash over everything that can change the features: weights, preprocessing, data, software and
so on. An entry is three files in ``$BENCH_CACHE/features``: ``KEY.features.npy``, ``KEY.labels.npy`` and ``KEY.json``.
The JSON file is written last. It repeats the fields of the key and holds the size and the hash of the other two files.
An entry without a matching JSON file counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import Timeout
from numpy.lib import format as npy
from numpy.typing import NDArray

from engine.data.file_hashes import require_unchanged_files
from engine.progress_bar import log_message
from foundation.environment import get_cache_dir
from foundation.errors import IncompleteError, StorageError
from foundation.files import atomic_writer, ensure_writable_dir, sha256_file, write_atomic
from foundation.run_scope import get_run_scope
from foundation.storage.disk_space import require_space
from foundation.storage.file_locks import take_file_lock
from foundation.storage.leftovers import is_held, is_unfinished_name

CACHE_FORMAT = 2
"""Increase this whenever the files change their meaning, or features are computed differently."""

ORPHAN_AGE_SECONDS = 3600.0
"""Age after which a file without its JSON counts as a leftover; a newer one may belong to a run that still writes."""

LOCKS_FOLDER = "locks"
"""Sub-folder for the locks of entries that are being computed. Its files are empty."""

_SECONDS_PER_DAY = 86400.0

_FAULT_KEY = "fault of the feature cache"
"""Where a run remembers that it has spoken of its cache."""

_MAX_NOTE_BYTES = 1 << 16
"""More than the JSON file of an entry has."""

FeatureBatch = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Features (b, C) and labels (b,) of some items."""

_SEPARATE_FOLDER: ContextVar[Path | None] = ContextVar("bench_feature_folder", default=None)


class LabeledFeatures(NamedTuple):
    """The features of a split (n, C), float32 and memory-mapped, and its labels (n,), int64, in item order."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]


class CacheEntry(NamedTuple):
    """One entry as ``bench cache`` lists it.

    Attributes:
        key: the entry's key, or the name of a leftover file.
        num_bytes: size of its files.
        last_used: time of the last use, in seconds since 1970.
        num_items: number of items; ``None`` if the entry is incomplete.
        key_fields: what the key was computed from; empty if the entry is incomplete.
        defect: why the entry cannot be used; ``None`` if it can.
    """

    key: str
    num_bytes: int
    last_used: float
    num_items: int | None
    key_fields: Mapping[str, Any]
    defect: str | None


def feature_cache_dir() -> Path:
    """Return the folder of the entries; it need not exist yet."""
    return _SEPARATE_FOLDER.get() or get_cache_dir() / "features"


@contextmanager
def use_feature_folder(folder: Path) -> Iterator[None]:
    """Read and write features in another folder than the cache's, for runs that must leave nothing behind.

    Args:
        folder: the folder.
    """
    token = _SEPARATE_FOLDER.set(folder)
    try:
        yield
    finally:
        _SEPARATE_FOLDER.reset(token)


def compute_cache_key(key_fields: Mapping[str, Any]) -> str:
    """Return the key of an entry: 32 hexadecimal digits of a SHA-256 over the format and all key fields.

    Args:
        key_fields: everything that can change the features, as plain data.

    Raises:
        TypeError: a field that JSON cannot represent.

    >>> first, again, other = (compute_cache_key({"split": split}) for split in ("train", "train", "test"))
    >>> first == again != other
    True
    """
    return hashlib.sha256(_canonical_json({"format": CACHE_FORMAT, **key_fields}).encode()).hexdigest()[:32]


def load_features(key_fields: Mapping[str, Any]) -> LabeledFeatures | None:
    """Load the features with exactly these key fields.

    Args:
        key_fields: everything that can change the features, as plain data.

    Returns:
        The features, memory-mapped; ``None`` if the entry is absent, incomplete, damaged, or has another format, and
        in a run that does not trust caches (``--fresh``).
    """
    if not get_run_scope().trusts_caches:
        return None
    key = compute_cache_key(key_fields)
    note = _read_manifest(feature_cache_dir() / f"{key}.json")
    if (
        # the key is a shortened hash, so the fields themselves are compared as well
        note is None
        or _canonical_json(note["ingredients"]) != _canonical_json(key_fields)
        or note["format"] != CACHE_FORMAT
    ):
        return None
    paths = _array_paths(key)
    try:
        # the full hash on every use: a file that was cut or changed would give a plausible wrong score
        if any(sha256_file(path) != note["files"][path.name]["sha256"] for path in paths):
            return None
        values, labels = (np.load(path, mmap_mode="r", allow_pickle=False) for path in paths)
        os.utime(feature_cache_dir() / f"{key}.json")  # the modification time is the time of the last use, for prune
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return LabeledFeatures(values, labels) if len(values) == len(labels) == note["rows"] else None


def store_features(key_fields: Mapping[str, Any], num_items: int, batches: Iterable[FeatureBatch]) -> LabeledFeatures:
    """Write features to the cache while they are computed, with one batch in memory at a time.

    Args:
        key_fields: everything that can change the features, as plain data.
        num_items: number of items of the split.
        batches: features (b, C), float32, and labels (b,), int64, in item order.

    Returns:
        The features of the complete split, memory-mapped.

    Raises:
        IncompleteError: the batches hold more or fewer items than expected; no usable entry is left behind.
        DataError: the images were changed in the meantime; no usable entry is left behind.
        StorageError: the cache became full meanwhile. (One that cannot be written, or is too full from the start, is
            not used.)
    """
    pending = iter(batches)
    first = next(pending, None)
    pending = pending if first is None else chain([first], pending)
    width = 0 if first is None else first[0].shape[1]
    fault = _find_cache_fault(num_items * (4 * width + 8))  # float32 values and an int64 label per item
    kept = None
    if fault is None:
        _write_arrays(key_fields, num_items, pending)
    else:
        if get_run_scope().memo.setdefault(_FAULT_KEY, fault) is fault:  # once, although each split has an entry
            log_message(f"{fault}; the features are kept in memory, and another run computes them again")
        kept = _collect_features(num_items, pending)
    require_unchanged_files()
    return kept or _complete_entry(key_fields, num_items)


def _collect_features(num_items: int, batches: Iterable[FeatureBatch]) -> LabeledFeatures:
    """Keep features in memory, where there is no cache; the values are those that the cache would have given back."""
    pairs = [(np.ascontiguousarray(values, "<f4"), np.asarray(labels, "<i8")) for values, labels in batches]
    _require_all_items(num_items, sum(len(values) for values, _ in pairs), sum(len(labels) for _, labels in pairs))
    return LabeledFeatures(
        np.concatenate([values for values, _ in pairs]), np.concatenate([labels for _, labels in pairs])
    )


def _write_arrays(key_fields: Mapping[str, Any], num_items: int, batches: Iterable[FeatureBatch]) -> None:
    values_file, labels_file = _array_paths(compute_cache_key(key_fields))
    labels: list[NDArray[np.int64]] = []
    seen = 0
    with atomic_writer(values_file) as file:
        for values, numbers in batches:
            if not labels:
                # the .npy header needs the final shape, and the width is known only from the first batch; little-endian
                # float32 in C order, so the batches can simply follow as raw bytes
                head = {"descr": "<f4", "fortran_order": False, "shape": (num_items, values.shape[1])}
                npy.write_array_header_1_0(file, head)
            file.write(np.ascontiguousarray(values, "<f4").tobytes())
            labels.append(numbers)
            seen += len(values)
        _require_all_items(num_items, seen, sum(map(len, labels)))
    with atomic_writer(labels_file) as file:
        np.save(file, np.concatenate(labels).astype("<i8"))


def _complete_entry(key_fields: Mapping[str, Any], num_items: int) -> LabeledFeatures:
    key = compute_cache_key(key_fields)
    values_file, labels_file = _array_paths(key)
    # opened before the entry is complete: ``bench cache --prune 0`` of another process may remove it from then on
    features = LabeledFeatures(np.load(values_file, mmap_mode="r"), np.load(labels_file, mmap_mode="r"))
    # the JSON file comes last: until it is there, readers treat the two arrays as absent
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)} for path in (values_file, labels_file)
    }
    note = {"format": CACHE_FORMAT, "key": key, "rows": num_items, "ingredients": dict(key_fields), "files": files}
    write_atomic(
        feature_cache_dir() / f"{key}.json", json.dumps(note, indent=2, sort_keys=True, allow_nan=False) + "\n"
    )
    return features


def _require_all_items(expected: int, num_values: int, num_labels: int) -> None:
    if not expected == num_values == num_labels:
        raise IncompleteError(f"{num_values} of {expected} images gave features; an incomplete split has no number")


@contextmanager
def lock_entry(key_fields: Mapping[str, Any], announce_wait: Callable[[], None]) -> Iterator[bool]:
    """Lock an entry while its features are computed, so that processes that need the same features share one pass.

    Args:
        key_fields: everything that can change the features, as plain data.
        announce_wait: called once if another process has the lock.

    Yields:
        Whether another process had the lock, so that the features may be in the cache now.
    """
    lock_file = feature_cache_dir() / LOCKS_FOLDER / f"{compute_cache_key(key_fields)}.lock"
    try:
        ensure_writable_dir(lock_file.parent)
        lock_file.touch()
    except OSError:  # nothing can be shared through this cache, as ``store_features`` says
        yield False
        return
    # a lock of the operating system: it is free as soon as the process that had it ends, however it ends
    was_taken = False
    try:
        lock = take_file_lock(lock_file, timeout=0)
    except Timeout:
        was_taken = True
        announce_wait()
        lock = take_file_lock(lock_file)
    try:
        yield was_taken
    finally:
        lock.release()


def _find_cache_fault(num_bytes: int) -> str | None:
    """Return why the cache cannot take an entry, as a sentence; ``None`` if it can.

    Args:
        num_bytes: size of the entry.
    """
    folder = feature_cache_dir()
    try:
        ensure_writable_dir(folder)
        require_space(folder, num_bytes + _MAX_NOTE_BYTES, "the features", num_files=3)
    except StorageError as error:
        return f"the cache folder {folder} cannot be written ({error.strerror}); name another one with BENCH_CACHE"
    return None


def list_cache_entries() -> list[CacheEntry]:
    """List everything in the cache, the last used first.

    Here only file sizes are checked; contents are hashed when an entry is used.
    """
    names: dict[str, list[Path]] = {}
    for path in sorted(feature_cache_dir().glob("*")) if feature_cache_dir().is_dir() else []:
        if path.name == LOCKS_FOLDER:
            continue
        # a writer that was killed leaves a temporary file whose name begins with a dot; list each as its own entry
        key = path.name if path.name.startswith(".") else path.name.partition(".")[0]
        names.setdefault(key, []).append(path)
    return sorted((_inspect_entry(key, paths) for key, paths in names.items()), key=lambda entry: -entry.last_used)


def prune_features(unused_days: float, now: float | None = None) -> list[CacheEntry]:
    """Remove leftovers, damaged entries, and entries that were not used for some time.

    Args:
        unused_days: remove entries whose last use is at least this many days ago; 0 removes all.
        now: the current time in seconds since 1970; ``None`` takes the clock.

    Returns:
        The removed entries.
    """
    now = time.time() if now is None else now
    gone = []
    for entry in list_cache_entries():
        limit = ORPHAN_AGE_SECONDS if entry.defect else unused_days * _SECONDS_PER_DAY
        is_written = is_unfinished_name(entry.key) and is_held(feature_cache_dir() / entry.key)
        if now - entry.last_used < limit or is_written:
            continue
        # the JSON file first: if the process is killed in between, the rest counts as leftovers and not as an entry
        lock_name = f"{LOCKS_FOLDER}/{entry.key}.lock"
        for name in (f"{entry.key}.json", *(path.name for path in _array_paths(entry.key)), entry.key, lock_name):
            (feature_cache_dir() / name).unlink(missing_ok=True)
        gone.append(entry)
    return gone


def _array_paths(key: str) -> tuple[Path, Path]:
    return feature_cache_dir() / f"{key}.features.npy", feature_cache_dir() / f"{key}.labels.npy"


def _canonical_json(value: Any) -> str:
    """Return the same text for equal values, whatever the order of their keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _read_manifest(path: Path) -> dict[str, Any] | None:
    """Read an entry's JSON file; ``None`` if it is absent or does not have the expected keys."""
    try:
        note = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    keys = {"format", "key", "rows", "ingredients", "files"}
    return note if isinstance(note, dict) and set(note) == keys and isinstance(note["files"], dict) else None


def _inspect_entry(key: str, paths: list[Path]) -> CacheEntry:
    """Describe an entry from its JSON file and the sizes of its files."""
    # a file can vanish between listing and here, when another process prunes the cache
    stats = {path.name: path.stat() for path in paths if path.exists()}
    size = sum(stat.st_size for stat in stats.values())
    note = _read_manifest(feature_cache_dir() / f"{key}.json")
    used = max((stat.st_mtime for stat in stats.values()), default=0.0)
    if note is None:
        return CacheEntry(key, size, used, None, {}, "half-written")
    fault = None
    if note["format"] != CACHE_FORMAT:
        fault = f"format {note['format']}, this bench uses {CACHE_FORMAT}"
    elif any(name not in stats or stats[name].st_size != file["bytes"] for name, file in note["files"].items()):
        fault = "damaged"
    return CacheEntry(key, size, used, note["rows"], note["ingredients"], fault)
