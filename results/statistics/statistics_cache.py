"""What was worked out from records and is kept: ``$BENCH_CACHE/statistics``, one JSON file a board and metric.

Nothing in it is a result: whatever is missing or damaged is worked out again.
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

_SECONDS_PER_DAY = 86400.0


class CacheSize(NamedTuple):
    """How much is kept, or was removed."""

    num_files: int
    num_bytes: int


def statistics_cache_dir() -> Path:
    """Where the files are; it need not exist yet."""
    return get_cache_dir() / "statistics"


def load_statistics(key: str) -> Any:
    """What was kept under a key, as JSON has it; ``None`` if nothing readable."""
    file = statistics_cache_dir() / f"{key}.json"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # prune goes by the last use
    return found


def store_statistics(key: str, content: Any) -> None:
    """Keep what JSON has; where the folder cannot be written that costs time the next time, nothing else."""
    with contextlib.suppress(OSError):
        statistics_cache_dir().mkdir(parents=True, exist_ok=True)
        write_atomic(statistics_cache_dir() / f"{key}.json", json.dumps(content, allow_nan=False))


def measure_statistics_cache() -> CacheSize:
    """Of all that is kept."""
    stats = [stat for _, stat in _list_files()]
    return CacheSize(len(stats), sum(stat.st_size for stat in stats))


def prune_statistics(unused_days: float, now: float | None = None) -> CacheSize:
    """Remove what was not used for ``unused_days`` days (0: all); gives how much that was."""
    limit = (time.time() if now is None else now) - unused_days * _SECONDS_PER_DAY
    gone = 0
    freed = 0
    for path, stat in _list_files():
        if stat.st_mtime <= limit:
            path.unlink(missing_ok=True)
            gone, freed = gone + 1, freed + stat.st_size
    return CacheSize(gone, freed)


def _list_files() -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in sorted(statistics_cache_dir().iterdir()) if statistics_cache_dir().is_dir() else []:
        with contextlib.suppress(OSError):  # another process may prune as well
            found.append((path, path.stat()))
    return found
