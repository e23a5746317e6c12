"""The feature cache: what a frozen backbone gave for a split, found again by what it was made of. Imports no torch.

An entry is three files in ``$BENCH_CACHE/features``: ``KEY.features.npy``, ``KEY.labels.npy`` and, written last,
``KEY.json``, which repeats the ingredients of the key and holds the size and hash of the other two. An entry without
a fitting JSON is not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from foundation.environment import get_cache_dir
from foundation.errors import IncompleteError
from foundation.files import atomic_writer, sha256_file, write_atomic

CACHE_FORMAT = 1
"""Raised whenever the files, or the way features are computed, change meaning."""

ORPHAN_AGE_SECONDS = 3600.0
"""A file without its JSON may be of a run at work; only after this time untouched is it a leftover."""

_SECONDS_PER_DAY = 86400.0


class LabeledFeatures(NamedTuple):
    """A split's features (n, C) float32, memory-mapped, and its labels (n,) int64, in item order."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]


class CacheEntry(NamedTuple):
    """One line of the listing; ``last_used`` is seconds since the epoch, ``defect`` why the entry is not usable."""

    key: str
    num_bytes: int
    last_used: float
    num_items: int | None
    key_fields: Mapping[str, Any]
    defect: str | None


def feature_cache_dir() -> Path:
    """Where the entries are; it need not exist yet."""
    return get_cache_dir() / "features"


def compute_cache_key(key_fields: Mapping[str, Any]) -> str:
    """The entry's name: 32 hexadecimal digits over the format and all ingredients.

    Raises:
        TypeError: an ingredient that JSON does not have.

    >>> first, again, other = (compute_cache_key({"split": split}) for split in ("train", "train", "test"))
    >>> first == again != other
    True
    """
    return hashlib.sha256(_canonical_json({"format": CACHE_FORMAT, **key_fields}).encode()).hexdigest()[:32]


def load_features(key_fields: Mapping[str, Any]) -> LabeledFeatures | None:
    """The features made of exactly these ingredients, or ``None``: absent, half-written, damaged, another format."""
    key = compute_cache_key(key_fields)
    note = _read_manifest(feature_cache_dir() / f"{key}.json")
    if (
        note is None
        or _canonical_json(note["ingredients"]) != _canonical_json(key_fields)
        or note["format"] != CACHE_FORMAT
    ):
        return None
    paths = _array_paths(key)
    try:
        if any(sha256_file(path) != note["files"][path.name]["sha256"] for path in paths):
            return None
        values, labels = (np.load(path, mmap_mode="r", allow_pickle=False) for path in paths)
        os.utime(feature_cache_dir() / f"{key}.json")  # prune goes by the last use
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return LabeledFeatures(values, labels) if len(values) == len(labels) == note["rows"] else None


def store_features(
    key_fields: Mapping[str, Any], num_items: int, batches: Iterable[tuple[NDArray[np.float32], NDArray[np.int64]]]
) -> LabeledFeatures:
    """Write features as they are computed (one batch is in memory), and give them back memory-mapped.

    Args:
        key_fields: what the features are made of, as JSON has it.
        num_items: items of the split.
        batches: features (b, C) and labels (b,) in item order.

    Raises:
        IncompleteError: the batches hold more or fewer items; nothing usable is left.
    """
    key = compute_cache_key(key_fields)
    feature_cache_dir().mkdir(parents=True, exist_ok=True)
    values_file, labels_file = _array_paths(key)
    labels: list[NDArray[np.int64]] = []
    seen = 0
    with atomic_writer(values_file) as file:
        for values, numbers in batches:
            if not labels:
                head = {"descr": "<f4", "fortran_order": False, "shape": (num_items, values.shape[1])}
                npy.write_array_header_1_0(file, head)
            file.write(np.ascontiguousarray(values, "<f4").tobytes())
            labels.append(numbers)
            seen += len(values)
        if seen != num_items or sum(map(len, labels)) != num_items:
            raise IncompleteError(f"{seen} of {num_items} images gave features; an incomplete split has no number")
    with atomic_writer(labels_file) as file:
        np.save(file, np.concatenate(labels).astype("<i8"))
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)} for path in (values_file, labels_file)
    }
    note = {"format": CACHE_FORMAT, "key": key, "rows": num_items, "ingredients": dict(key_fields), "files": files}
    write_atomic(
        feature_cache_dir() / f"{key}.json", json.dumps(note, indent=2, sort_keys=True, allow_nan=False) + "\n"
    )
    return LabeledFeatures(np.load(values_file, mmap_mode="r"), np.load(labels_file, mmap_mode="r"))


def list_cache_entries() -> list[CacheEntry]:
    """Everything in the cache, the last used first; contents are hashed on use only, here sizes are compared."""
    names: dict[str, list[Path]] = {}
    for path in sorted(feature_cache_dir().glob("*")) if feature_cache_dir().is_dir() else []:
        # what a killed writer leaves begins with a dot and stands for itself
        key = path.name if path.name.startswith(".") else path.name.partition(".")[0]
        names.setdefault(key, []).append(path)
    return sorted((_inspect_entry(key, paths) for key, paths in names.items()), key=lambda entry: -entry.last_used)


def prune_features(unused_days: float, now: float | None = None) -> list[CacheEntry]:
    """Remove leftovers, damaged entries, and entries not used for ``unused_days`` (0: all); gives what was removed."""
    now = time.time() if now is None else now
    gone = []
    for entry in list_cache_entries():
        limit = ORPHAN_AGE_SECONDS if entry.defect else unused_days * _SECONDS_PER_DAY
        if now - entry.last_used < limit:
            continue
        # the JSON first: a kill in between leaves leftovers, not an entry with half its files
        for name in (f"{entry.key}.json", *(path.name for path in _array_paths(entry.key)), entry.key):
            (feature_cache_dir() / name).unlink(missing_ok=True)
        gone.append(entry)
    return gone


def _array_paths(key: str) -> tuple[Path, Path]:
    return feature_cache_dir() / f"{key}.features.npy", feature_cache_dir() / f"{key}.labels.npy"


def _canonical_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _read_manifest(path: Path) -> dict[str, Any] | None:
    try:
        note = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    keys = {"format", "key", "rows", "ingredients", "files"}
    return note if isinstance(note, dict) and set(note) == keys and isinstance(note["files"], dict) else None


def _inspect_entry(key: str, paths: list[Path]) -> CacheEntry:
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
