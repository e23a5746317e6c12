"""``bench cache``: list what the cache holds, or prune it: features, statistics of leaderboards, indexes of runs,
calibrations of sweeps, and what killed processes left.
"""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.cli.arguments.number_types import finite_number
from benchmarks.cli.output import align_columns, write_json, write_stdout
from benchmarks.matrix.calibration import get_calibration_dir
from classification.probes.feature_cache import CacheEntry, feature_cache_dir, list_cache_entries, prune_features
from foundation.environment import get_cache_dir
from foundation.plural import format_count
from foundation.storage.leftovers import Leftover, list_leftovers, remove_leftovers
from results.statistics import statistics_cache
from results.statistics.statistics_cache import CacheSize
from results.store_index.facts_memo import get_memo_dir

CACHE_COLUMNS = ("backbone", "split", "images", "MiB", "pool", "last used (UTC)", "key", "state")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    # const is the value of --prune without DAYS; without --prune nothing is removed
    parser.add_argument(
        "--prune", type=finite_number(0, what="a number of days"), nargs="?", const=30.0, default=None, metavar="DAYS",
        help="remove leftover and damaged entries, and entries not used for DAYS days (30 if not given; 0 removes all)",
    )  # fmt: skip


def main(options: Namespace) -> int:
    """List the stored entries; with ``--prune`` remove old and damaged ones first."""
    # pruned first, so that the listing has only what is left
    removed = None if options.prune is None else _prune_cache(options.prune)
    found = _CacheContents(
        list_cache_entries(),
        {part.key: statistics_cache.measure_cache_folder(part.get_folder()) for part in CACHE_PARTS},
        list_leftovers([get_cache_dir()]),
    )
    if options.json:
        write_json(_contents_to_dict(found, removed))
        return 0
    if removed is not None:
        sizes = [f"{_format_size(removed.sizes[part.key])} of {part.title}" for part in CACHE_PARTS]
        sizes.append(f"{_format_leftovers(removed.leftovers)} of killed processes")
        write_stdout(f"removed {_format_features_size(removed.entries)} of features, {', '.join(sizes)}")
    if found.entries:
        write_stdout(align_columns([CACHE_COLUMNS, *(_format_entry(entry) for entry in found.entries)]))
    write_stdout(f"{_format_features_size(found.entries)} of features in {feature_cache_dir()}")
    for part in CACHE_PARTS:
        write_stdout(f"{_format_size(found.sizes[part.key])} of {part.title} in {part.get_folder()}")
    for leftover in found.leftovers:
        write_stdout(f"left by a killed process: {leftover.path}, {leftover.num_bytes / 2**20:.1f} MiB")
    return 0


class _CachePart(NamedTuple):
    """A folder of small files in the cache.

    Attributes:
        key, title: its name in JSON and in text.
        get_folder: returns the folder, which may not exist.
    """

    key: str
    title: str
    get_folder: Callable[[], Path]


CACHE_PARTS = (
    _CachePart("statistics", "boards' statistics", statistics_cache.statistics_cache_dir),
    _CachePart("indexes", "indexes of runs", get_memo_dir),
    _CachePart("calibrations", "calibrations of sweeps", get_calibration_dir),
)


class _CacheContents(NamedTuple):
    """What is in the cache, or what was removed from it: features, other parts by key, and leftovers."""

    entries: list[CacheEntry]
    sizes: dict[str, CacheSize]
    leftovers: list[Leftover]


def _prune_cache(unused_days: float) -> _CacheContents:
    return _CacheContents(
        prune_features(unused_days),
        {part.key: statistics_cache.prune_cache_folder(part.get_folder(), unused_days) for part in CACHE_PARTS},
        remove_leftovers([get_cache_dir()]),
    )


def _contents_to_dict(found: _CacheContents, removed: _CacheContents | None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "folder": str(feature_cache_dir()),
        "entries": [entry_to_dict(entry) for entry in found.entries],
        "leftovers": [_leftover_to_dict(leftover) for leftover in found.leftovers],
    }
    for part in CACHE_PARTS:
        content[part.key] = {"folder": str(part.get_folder()), **found.sizes[part.key]._asdict()}
    if removed is not None:
        content["removed"] = [entry_to_dict(entry) for entry in removed.entries]
        content["removed_leftovers"] = [_leftover_to_dict(leftover) for leftover in removed.leftovers]
        for part in CACHE_PARTS:
            content[f"removed_{part.key}"] = removed.sizes[part.key]._asdict()
    return content


def _leftover_to_dict(leftover: Leftover) -> dict[str, Any]:
    return {"path": str(leftover.path), "num_bytes": leftover.num_bytes}


def entry_to_dict(entry: CacheEntry) -> dict[str, Any]:
    """Return an entry as plain data; ``last_used`` is UTC in ISO 8601."""
    return {**entry._asdict(), "last_used": _format_last_used(entry)}


def _format_entry(entry: CacheEntry) -> tuple[str, ...]:
    # a damaged entry has no readable key fields, but it must still be listed
    made_of = entry.key_fields
    card = made_of.get("card", {})
    return (
        str(card.get("name", "-")),
        str(made_of.get("split", "-")),
        "-" if entry.num_items is None else f"{entry.num_items:,}",
        f"{entry.num_bytes / 2**20:.1f}",
        str(made_of.get("pool", "-")),
        _format_last_used(entry)[:16],  # up to the minute
        entry.key[:16],
        entry.defect or "complete",
    )


def _format_last_used(entry: CacheEntry) -> str:
    return datetime.fromtimestamp(entry.last_used, timezone.utc).isoformat(timespec="seconds")


def _format_size(size: CacheSize) -> str:
    files = "file" if size.num_files == 1 else "files"
    return f"{size.num_files} {files}, {size.num_bytes / 2**20:.1f} MiB"


def _format_leftovers(leftovers: Sequence[Leftover]) -> str:
    size = sum(leftover.num_bytes for leftover in leftovers) / 2**20
    return f"{format_count(len(leftovers), 'leftover')}, {size:.1f} MiB"


def _format_features_size(entries: Sequence[CacheEntry]) -> str:
    size = sum(entry.num_bytes for entry in entries) / 2**20
    return f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}, {size:.1f} MiB"
