"""``bench cache``: list what the cache holds, or prune it: features, statistics of leaderboards, indexes of runs."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from benchmarks.cli.arguments.number_types import finite_number
from benchmarks.cli.output import align_columns, write_json, write_stdout
from classification.probes.feature_cache import CacheEntry, feature_cache_dir, list_cache_entries, prune_features
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
    removed = (
        None
        if options.prune is None
        else (
            prune_features(options.prune),
            statistics_cache.prune_statistics(options.prune),
            statistics_cache.prune_cache_folder(get_memo_dir(), options.prune),
        )
    )
    found, statistics = list_cache_entries(), statistics_cache.measure_statistics_cache()
    indexes = statistics_cache.measure_cache_folder(get_memo_dir())
    if options.json:
        content: dict[str, Any] = {
            "folder": str(feature_cache_dir()),
            "entries": [entry_to_dict(entry) for entry in found],
            "statistics": {"folder": str(statistics_cache.statistics_cache_dir()), **statistics._asdict()},
            "indexes": {"folder": str(get_memo_dir()), **indexes._asdict()},
        }
        if removed is not None:
            content["removed"] = [entry_to_dict(entry) for entry in removed[0]]
            content["removed_statistics"] = removed[1]._asdict()
            content["removed_indexes"] = removed[2]._asdict()
        write_json(content)
        return 0
    if removed is not None:
        sizes = f"{_format_size(removed[1])} of boards' statistics, {_format_size(removed[2])} of indexes"
        write_stdout(f"removed {_format_features_size(removed[0])} of features, {sizes}")
    if found:
        write_stdout(align_columns([CACHE_COLUMNS, *(_format_entry(entry) for entry in found)]))
    write_stdout(f"{_format_features_size(found)} of features in {feature_cache_dir()}")
    write_stdout(f"{_format_size(statistics)} of boards' statistics in {statistics_cache.statistics_cache_dir()}")
    write_stdout(f"{_format_size(indexes)} of indexes of runs in {get_memo_dir()}")
    return 0


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


def _format_features_size(entries: Sequence[CacheEntry]) -> str:
    size = sum(entry.num_bytes for entry in entries) / 2**20
    return f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}, {size:.1f} MiB"
