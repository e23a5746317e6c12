"""A cache of statistics computed from records, in ``$BENCH_CACHE/statistics``: one JSON file per key.

The cache holds no results: whatever is missing or damaged is computed again.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from foundation.environment import get_cache_dir
from foundation.files import write_atomic
from foundation.storage.leftovers import is_held, is_unfinished_name
from foundation.storage.regular_files import read_regular
from results.records.strict_model import load_json

MAX_CACHE_BYTES = 64_000_000
"""A larger file is damaged: 2,000 pairs of rows have a few hundred kilobytes."""

_SECONDS_PER_DAY = 86400.0


class CacheSize(NamedTuple):
    """The number and the total size of files that are in the cache, or that were removed from it."""

    num_files: int
    num_bytes: int


def statistics_cache_dir() -> Path:
    """Return the folder of the cache, which may not exist yet."""
    return get_cache_dir() / "statistics"


def load_statistics(key: str) -> Any:
    """Return the JSON content stored under a key, or ``None`` if there is none or it cannot be read."""
    file = statistics_cache_dir() / f"{key}.json"
    try:
        found = load_json(read_regular(file, MAX_CACHE_BYTES))
    except (OSError, ValueError):
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # prune_statistics removes files by their time of last use
    return found


def store_statistics(key: str, content: Any) -> None:
    """Store JSON content under a key. If the folder cannot be written, nothing is stored and nothing fails."""
    # a read-only cache only means that the statistics are computed again next time
    with contextlib.suppress(OSError):
        statistics_cache_dir().mkdir(parents=True, exist_ok=True)
        write_atomic(statistics_cache_dir() / f"{key}.json", json.dumps(content, allow_nan=False))


def measure_statistics_cache() -> CacheSize:
    """Return the number and total size of all files in the cache."""
    return measure_cache_folder(statistics_cache_dir())


def prune_statistics(unused_days: float, now: float | None = None) -> CacheSize:
    """Remove the files that have not been used for some days and return how many and how large they were.

    Args:
        unused_days: minimum number of days without use; 0 removes all files.
        now: current time in seconds since the epoch; by default the time of the system.
    """
    return prune_cache_folder(statistics_cache_dir(), unused_days, now)


def measure_cache_folder(folder: Path) -> CacheSize:
    """Return the number and total size of the files of a cache."""
    stats = [stat for _, stat in _list_files(folder)]
    return CacheSize(len(stats), sum(stat.st_size for stat in stats))


def prune_cache_folder(folder: Path, unused_days: float, now: float | None = None) -> CacheSize:
    """Remove the files of a cache whose modification time is some days old; see ``prune_statistics``."""
    limit = (time.time() if now is None else now) - unused_days * _SECONDS_PER_DAY
    gone = 0
    freed = 0
    for path, stat in _list_files(folder):
        if stat.st_mtime <= limit and not (is_unfinished_name(path.name) and is_held(path)):
            path.unlink(missing_ok=True)
            gone, freed = gone + 1, freed + stat.st_size
    return CacheSize(gone, freed)


def _list_files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        with contextlib.suppress(OSError):  # another process may prune at the same time
            found.append((path, path.stat()))
    return found
