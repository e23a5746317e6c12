"""Every environment variable that bench reads, declared once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class EnvironmentVariable(NamedTuple):
    """An environment variable: its name and what it is for."""

    name: str
    purpose: str

    def read_path(self) -> Path | None:
        """The variable as a path, or ``None`` when it is unset or empty."""
        value = os.environ.get(self.name, "")
        return Path(value).expanduser() if value else None


DATA_ROOT_VAR = EnvironmentVariable("BENCH_DATA", "where data sets live when --data-root is not given (default: data/)")
WEIGHTS_DIR_VAR = EnvironmentVariable(
    "BENCH_WEIGHTS", "where weight files that are fetched by hand live (default: cache folder)"
)
CACHE_DIR_VAR = EnvironmentVariable("BENCH_CACHE", "where caches live (default: the user's cache folder)")
CARDS_DIR_VAR = EnvironmentVariable("BENCH_CARDS", "where cards that bench add made live (default: cache folder)")
SHARED_DATA_VAR = EnvironmentVariable("BENCH_SHARED_DATA", "real data that some tests use (default: ../shared/data)")

ENVIRONMENT_VARIABLES = (DATA_ROOT_VAR, WEIGHTS_DIR_VAR, CACHE_DIR_VAR, CARDS_DIR_VAR, SHARED_DATA_VAR)


def get_cache_dir() -> Path:
    """The folder for caches; it need not exist yet."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return CACHE_DIR_VAR.read_path() or base / "litevit-bench"


def get_weights_dir() -> Path:
    """The folder for weight files that a user fetches by hand."""
    return WEIGHTS_DIR_VAR.read_path() or get_cache_dir() / "weights"


def get_cards_dir() -> Path:
    """The folder for cards that a user has added."""
    return CARDS_DIR_VAR.read_path() or get_cache_dir() / "cards"


def resolve_data_root(data_root: Path | None = None) -> Path:
    """The data root: the option when given, else ``$BENCH_DATA``, else ``data/``."""
    return data_root or DATA_ROOT_VAR.read_path() or Path("data")
