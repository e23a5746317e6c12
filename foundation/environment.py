"""Every environment variable that bench reads, declared once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class Variable(NamedTuple):
    """An environment variable: its name and what it is for."""

    name: str
    purpose: str

    def path(self) -> Path | None:
        """The variable as a path, or ``None`` when it is unset or empty."""
        value = os.environ.get(self.name, "")
        return Path(value).expanduser() if value else None


DATA = Variable("BENCH_DATA", "where data sets live when --data-root is not given (default: data/)")
WEIGHTS = Variable("BENCH_WEIGHTS", "where weight files that are fetched by hand live (default: cache folder)")
CACHE = Variable("BENCH_CACHE", "where caches live (default: the user's cache folder)")
CARDS = Variable("BENCH_CARDS", "where cards that bench add made live (default: cache folder)")
SHARED_DATA = Variable("BENCH_SHARED_DATA", "real data that some tests use (default: ../shared/data)")

VARIABLES = (DATA, WEIGHTS, CACHE, CARDS, SHARED_DATA)


def cache_dir() -> Path:
    """The folder for caches; it need not exist yet."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return CACHE.path() or base / "litevit-bench"


def weights_dir() -> Path:
    """The folder for weight files that a user fetches by hand."""
    return WEIGHTS.path() or cache_dir() / "weights"


def cards_dir() -> Path:
    """The folder for cards that a user has added."""
    return CARDS.path() or cache_dir() / "cards"


def data_root(option: Path | None = None) -> Path:
    """The data root: the option when given, else ``$BENCH_DATA``, else ``data/``."""
    return option or DATA.path() or Path("data")
