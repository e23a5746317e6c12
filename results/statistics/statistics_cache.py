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

from foundation.environment import cache_dir
from foundation.files import write_atomic

_DAY = 86400.0


class Size(NamedTuple):
    """How much is kept, or was removed."""

    files: int
    bytes: int


def folder() -> Path:
    """Where the files are; it need not exist yet."""
    return cache_dir() / "statistics"


def load(key: str) -> Any:
    """What was kept under a key, as JSON has it; ``None`` if nothing readable."""
    file = folder() / f"{key}.json"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # prune goes by the last use
    return found


def store(key: str, content: Any) -> None:
    """Keep what JSON has; where the folder cannot be written that costs time the next time, nothing else."""
    with contextlib.suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True)
        write_atomic(folder() / f"{key}.json", json.dumps(content, allow_nan=False))


def size() -> Size:
    """Of all that is kept."""
    stats = [stat for _, stat in _files()]
    return Size(len(stats), sum(stat.st_size for stat in stats))


def prune(days: float, now: float | None = None) -> Size:
    """Remove what was not used for ``days`` days (0: all); gives how much that was."""
    limit = (time.time() if now is None else now) - days * _DAY
    gone = 0
    freed = 0
    for path, stat in _files():
        if stat.st_mtime <= limit:
            path.unlink(missing_ok=True)
            gone, freed = gone + 1, freed + stat.st_size
    return Size(gone, freed)


def _files() -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in sorted(folder().iterdir()) if folder().is_dir() else []:
        with contextlib.suppress(OSError):  # another process may prune as well
            found.append((path, path.stat()))
    return found
