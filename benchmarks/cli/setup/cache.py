"""``bench cache``: features of frozen backbones and statistics of boards that are kept, and ``--prune``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from benchmarks.cli.output import columns, write, write_json
from classification.probes.feature_cache import Entry, entries, folder, prune
from results.statistics import statistics_cache
from results.statistics.statistics_cache import Size

HEAD = ("backbone", "split", "images", "MiB", "pool", "last used (UTC)", "key", "state")


def main(options: Namespace) -> int:
    """List the entries, or remove leftovers and what was not used for so many days."""
    removed = None if options.prune is None else (prune(options.prune), statistics_cache.prune(options.prune))
    found, statistics = entries(), statistics_cache.size()
    if options.json:
        content: dict[str, Any] = {
            "folder": str(folder()),
            "entries": [as_data(entry) for entry in found],
            "statistics": {"folder": str(statistics_cache.folder()), **statistics._asdict()},
        }
        if removed is not None:
            content["removed"] = [as_data(entry) for entry in removed[0]]
            content["removed_statistics"] = removed[1]._asdict()
        write_json(content)
        return 0
    if removed is not None:
        write(f"removed {_sum(removed[0])} of features, {_boards(removed[1])}")
    if found:
        write(columns([HEAD, *(_row(entry) for entry in found)]))
    write(f"{_sum(found)} of features in {folder()}")
    write(f"{_boards(statistics)} in {statistics_cache.folder()}")
    return 0


def as_data(entry: Entry) -> dict[str, Any]:
    """An entry as plain data; ``used`` is UTC, ISO 8601."""
    return {**entry._asdict(), "used": _time(entry)}


def _row(entry: Entry) -> tuple[str, ...]:
    made_of = entry.ingredients
    card = made_of.get("card", {})
    return (
        str(card.get("name", "-")),
        str(made_of.get("split", "-")),
        "-" if entry.rows is None else f"{entry.rows:,}",
        f"{entry.bytes / 2**20:.1f}",
        str(made_of.get("pool", "-")),
        _time(entry)[:16],
        entry.key[:16],
        entry.fault or "whole",
    )


def _time(entry: Entry) -> str:
    return datetime.fromtimestamp(entry.used, timezone.utc).isoformat(timespec="seconds")


def _boards(size: Size) -> str:
    return f"{size.files} {'file' if size.files == 1 else 'files'}, {size.bytes / 2**20:.1f} MiB of boards' statistics"


def _sum(found: Sequence[Entry]) -> str:
    size = sum(entry.bytes for entry in found) / 2**20
    return f"{len(found)} {'entry' if len(found) == 1 else 'entries'}, {size:.1f} MiB"
