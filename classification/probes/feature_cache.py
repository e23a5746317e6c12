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

from foundation.environment import cache_dir
from foundation.errors import IncompleteError
from foundation.files import atomic_writer, sha256_file, write_atomic

FORMAT = 1
"""Raised whenever the files, or the way features are computed, change meaning."""

LEFTOVER_SECONDS = 3600.0
"""A file without its JSON may be of a run at work; only after this time untouched is it a leftover."""

_DAY = 86400.0


class Features(NamedTuple):
    """A split's features (n, C) float32, memory-mapped, and its labels (n,) int64, in item order."""

    values: NDArray[np.float32]
    labels: NDArray[np.int64]


class Entry(NamedTuple):
    """One line of the listing; ``used`` is seconds since the epoch, ``fault`` why the entry is not usable."""

    key: str
    bytes: int
    used: float
    rows: int | None
    ingredients: Mapping[str, Any]
    fault: str | None


def folder() -> Path:
    """Where the entries are; it need not exist yet."""
    return cache_dir() / "features"


def key_of(ingredients: Mapping[str, Any]) -> str:
    """The entry's name: 32 hexadecimal digits over the format and all ingredients.

    Raises:
        TypeError: an ingredient that JSON does not have.

    >>> key_of({"split": "train"}) == key_of({"split": "train"}) != key_of({"split": "test"})
    True
    """
    return hashlib.sha256(_canonical({"format": FORMAT, **ingredients}).encode()).hexdigest()[:32]


def load(ingredients: Mapping[str, Any]) -> Features | None:
    """The features made of exactly these ingredients, or ``None``: absent, half-written, damaged, another format."""
    key = key_of(ingredients)
    note = _read_note(folder() / f"{key}.json")
    if note is None or _canonical(note["ingredients"]) != _canonical(ingredients) or note["format"] != FORMAT:
        return None
    paths = _arrays(key)
    try:
        if any(sha256_file(path) != note["files"][path.name]["sha256"] for path in paths):
            return None
        values, labels = (np.load(path, mmap_mode="r", allow_pickle=False) for path in paths)
        os.utime(folder() / f"{key}.json")  # prune goes by the last use
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Features(values, labels) if len(values) == len(labels) == note["rows"] else None


def store(
    ingredients: Mapping[str, Any], rows: int, batches: Iterable[tuple[NDArray[np.float32], NDArray[np.int64]]]
) -> Features:
    """Write features as they are computed (one batch is in memory), and give them back memory-mapped.

    Args:
        ingredients: what the features are made of, as JSON has it.
        rows: items of the split.
        batches: features (b, C) and labels (b,) in item order.

    Raises:
        IncompleteError: the batches hold more or fewer items; nothing usable is left.
    """
    key = key_of(ingredients)
    folder().mkdir(parents=True, exist_ok=True)
    values_file, labels_file = _arrays(key)
    labels: list[NDArray[np.int64]] = []
    seen = 0
    with atomic_writer(values_file) as file:
        for values, numbers in batches:
            if not labels:
                head = {"descr": "<f4", "fortran_order": False, "shape": (rows, values.shape[1])}
                npy.write_array_header_1_0(file, head)
            file.write(np.ascontiguousarray(values, "<f4").tobytes())
            labels.append(numbers)
            seen += len(values)
        if seen != rows or sum(map(len, labels)) != rows:
            raise IncompleteError(f"{seen} of {rows} images gave features; an incomplete split has no number")
    with atomic_writer(labels_file) as file:
        np.save(file, np.concatenate(labels).astype("<i8"))
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)} for path in (values_file, labels_file)
    }
    note = {"format": FORMAT, "key": key, "rows": rows, "ingredients": dict(ingredients), "files": files}
    write_atomic(folder() / f"{key}.json", json.dumps(note, indent=2, sort_keys=True, allow_nan=False) + "\n")
    return Features(np.load(values_file, mmap_mode="r"), np.load(labels_file, mmap_mode="r"))


def entries() -> list[Entry]:
    """Everything in the cache, the last used first; contents are hashed on use only, here sizes are compared."""
    names: dict[str, list[Path]] = {}
    for path in sorted(folder().glob("*")) if folder().is_dir() else []:
        # what a killed writer leaves begins with a dot and stands for itself
        key = path.name if path.name.startswith(".") else path.name.partition(".")[0]
        names.setdefault(key, []).append(path)
    return sorted((_entry(key, paths) for key, paths in names.items()), key=lambda entry: -entry.used)


def prune(days: float, now: float | None = None) -> list[Entry]:
    """Remove leftovers, damaged entries, and entries not used for ``days`` days (0: all); gives what was removed."""
    now = time.time() if now is None else now
    gone = []
    for entry in entries():
        limit = LEFTOVER_SECONDS if entry.fault else days * _DAY
        if now - entry.used < limit:
            continue
        # the JSON first: a kill in between leaves leftovers, not an entry with half its files
        for name in (f"{entry.key}.json", *(path.name for path in _arrays(entry.key)), entry.key):
            (folder() / name).unlink(missing_ok=True)
        gone.append(entry)
    return gone


def _arrays(key: str) -> tuple[Path, Path]:
    return folder() / f"{key}.features.npy", folder() / f"{key}.labels.npy"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _read_note(path: Path) -> dict[str, Any] | None:
    try:
        note = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    keys = {"format", "key", "rows", "ingredients", "files"}
    return note if isinstance(note, dict) and set(note) == keys and isinstance(note["files"], dict) else None


def _entry(key: str, paths: list[Path]) -> Entry:
    stats = {path.name: path.stat() for path in paths if path.exists()}
    size = sum(stat.st_size for stat in stats.values())
    note = _read_note(folder() / f"{key}.json")
    used = max((stat.st_mtime for stat in stats.values()), default=0.0)
    if note is None:
        return Entry(key, size, used, None, {}, "half-written")
    fault = None
    if note["format"] != FORMAT:
        fault = f"format {note['format']}, this bench uses {FORMAT}"
    elif any(name not in stats or stats[name].st_size != file["bytes"] for name, file in note["files"].items()):
        fault = "damaged"
    return Entry(key, size, used, note["rows"], note["ingredients"], fault)
