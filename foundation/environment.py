"""The environment variables that bench reads, each declared once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from foundation.display_text import shorten_value
from foundation.errors import UserError
from foundation.values.path_text import find_path_fault


class EnvironmentVariable(NamedTuple):
    """One environment variable.

    Attributes:
        name: the variable's name, for example ``BENCH_DATA``.
        purpose: what it is for, as ``bench --help`` displays it.
    """

    name: str
    purpose: str

    def read_path(self) -> Path | None:
        """Return the variable's value as a path with ``~`` expanded, or ``None`` when it is unset or empty.

        Raises:
            UserError: the home folder of ``~`` is not known.
        """
        # read at every call, not at import: tests and notebooks change variables while the process runs
        value = os.environ.get(self.name, "")
        if value and (fault := find_path_fault(value)):
            raise UserError(f"${self.name} is {shorten_value(value)}, which is no path: {fault}")
        try:
            return Path(value).expanduser() if value else None
        except RuntimeError as error:
            raise UserError(
                f"${self.name} is {shorten_value(value)}, a home folder that is not known; write its path"
            ) from error

    def read_switch(self) -> bool:
        """Return whether the variable switches something on; unset, empty and ``0`` mean off.

        Raises:
            UserError: the value is neither a yes nor a no.
        """
        value = os.environ.get(self.name, "").strip().lower()
        if value in ("", "0", "false", "no", "off"):
            return False
        if value in ("1", "true", "yes", "on"):
            return True
        raise UserError(f"${self.name} is {shorten_value(value)}; set it to 1 or 0")


DATA_ROOT_VAR = EnvironmentVariable("BENCH_DATA", "where data sets live when --data-root is not given (default: data/)")
WEIGHTS_DIR_VAR = EnvironmentVariable(
    "BENCH_WEIGHTS", "where weight files that you downloaded yourself live (default: cache folder)"
)
CACHE_DIR_VAR = EnvironmentVariable("BENCH_CACHE", "where caches live (default: the user's cache folder)")
CARDS_DIR_VAR = EnvironmentVariable("BENCH_CARDS", "where cards made by bench add live (default: cache folder)")
SHARED_DATA_VAR = EnvironmentVariable("BENCH_SHARED_DATA", "real data that some tests use (default: ../shared/data)")

OFFLINE_VAR = EnvironmentVariable("BENCH_OFFLINE", "1: never use the network, as --offline does (default: 0)")

NO_RESTART_VAR = EnvironmentVariable(
    "BENCH_NO_RESTART", "1: never start a CPU run again with jemalloc or tcmalloc, which keep memory (default: 0)"
)

# a test compares this list with every BENCH_ name in the source, so none can be read without being declared
ENVIRONMENT_VARIABLES = (
    DATA_ROOT_VAR,
    WEIGHTS_DIR_VAR,
    CACHE_DIR_VAR,
    CARDS_DIR_VAR,
    OFFLINE_VAR,
    NO_RESTART_VAR,
    SHARED_DATA_VAR,
)


def get_cache_dir() -> Path:
    """Return the cache folder; the caller creates it if needed.

    Raises:
        UserError: it would be in the user's home folder, which is not known, as for a user of a container.
    """
    if (chosen := CACHE_DIR_VAR.read_path()) is not None:
        return chosen
    try:
        # the XDG base directory specification: an unset or empty variable means ~/.cache
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise UserError(f"this user has no home folder for caches; set ${CACHE_DIR_VAR.name} to a folder") from error
    return base / "litevit-bench"


def get_weights_dir() -> Path:
    """Return the folder for weight files that the user downloads (``$BENCH_WEIGHTS``)."""
    return WEIGHTS_DIR_VAR.read_path() or get_cache_dir() / "weights"


def get_cards_dir() -> Path:
    """Return the folder for cards that the user added (``$BENCH_CARDS``)."""
    return CARDS_DIR_VAR.read_path() or get_cache_dir() / "cards"


def resolve_data_root(data_root: Path | None = None) -> Path:
    """Return the folder that holds the data sets.

    Args:
        data_root: the value of ``--data-root``; when not given, ``$BENCH_DATA`` is used, else ``data/``.
    """
    return data_root or DATA_ROOT_VAR.read_path() or Path("data")
