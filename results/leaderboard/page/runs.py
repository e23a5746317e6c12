"""Describe the runs of a page: facts, curves, pictures and measured details, within the limits of a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from results.leaderboard.page.budget import ByteBudget, SharedValues
from results.leaderboard.page.curves import read_training_curves
from results.leaderboard.page.media import PageMedia
from results.records.picture_manifest import PictureEntry, read_pictures
from results.records.record import Record

# Limits over all runs of a page together. The newest runs come first; what does not fit stays next to the records.
MAX_RUNS_WITH_FACTS = 2_000
MAX_RUNS_WITH_CURVES = 60
MAX_RUNS_WITH_PICTURES = 300
CURVE_BYTES = 200_000
DETAIL_BYTES = 100_000
PICTURE_TEXT_BYTES = 120_000


class RunEntries:
    """The runs of a page as plain data, in the order in which they are added; a run that is added again is kept once.

    Attributes:
        entries: one dictionary per run.
    """

    def __init__(self, media: PageMedia) -> None:
        self.entries: list[dict[str, Any]] = []
        self._sources: list[tuple[Path, Record]] = []
        self._indices: dict[str, int] = {}
        self._media = media

    def add_run(self, folder: Path, record: Record) -> int:
        """Add a run and return its index."""
        if record.run_id not in self._indices:
            self._indices[record.run_id] = len(self.entries)
            self._sources.append((folder, record))
            self.entries.append({"id": record.run_id, "seed": record.seed, "folder": str(folder)})
        return self._indices[record.run_id]

    def describe_runs(self, shared_values: SharedValues) -> None:
        """Add facts, curves, pictures and details to the newest runs, until the limits of the page are reached."""
        # ISO 8601 in UTC sorts as text
        order = sorted(range(len(self.entries)), key=lambda i: self._sources[i][1].environment.started, reverse=True)
        curves, details, texts = (ByteBudget(size) for size in (CURVE_BYTES, DETAIL_BYTES, PICTURE_TEXT_BYTES))
        with_curves = 0
        for place, number in enumerate(order):
            folder, record = self._sources[number]
            entry = self.entries[number]
            if place < MAX_RUNS_WITH_FACTS:
                entry |= _build_run_facts(record, shared_values)
            if with_curves < MAX_RUNS_WITH_CURVES and (found := read_training_curves(folder)):
                drawn = [curve._asdict() for curve in found]
                if curves.take_json(drawn):
                    entry["curves"] = drawn
                with_curves += 1
            if place < MAX_RUNS_WITH_PICTURES and (pictures := self._collect_pictures(folder, texts, shared_values)):
                entry["pictures"] = pictures
            measured = dict(record.result.details) if record.result else {}
            if measured and details.take_json(measured):
                entry["details"] = measured

    def _collect_pictures(self, folder: Path, texts: ByteBudget, shared_values: SharedValues) -> list[dict[str, Any]]:
        found = []
        for picture in read_pictures(folder):
            described = _describe_picture(picture.entry)
            if texts.take_json(described) and (address := self._media.add_stored_picture(picture)) is not None:
                # in a single file, an address holds the picture, and runs share sheets of the same items
                found.append({"address": shared_values.index_of(address), **described})
        return found


def _describe_picture(entry: PictureEntry) -> dict[str, Any]:
    return {
        name: value for name, value in entry.model_dump(mode="json", exclude_defaults=True).items() if name != "file"
    }


def _build_run_facts(record: Record, shared_values: SharedValues) -> dict[str, Any]:
    """Describe a run; long parts that many runs have in common are moved to ``shared_values``."""
    backbone, where = record.backbone, record.environment
    checkpoint = backbone.checkpoint.model_dump(mode="json") if backbone.checkpoint else None
    shared = {
        "settings": {
            **record.config,
            **({"non_identity_settings": record.non_identity_settings} if record.non_identity_settings else {}),
        },
        "backbone": {"card": backbone.card, "arguments": backbone.arguments, "init": backbone.init},
        "load report": checkpoint,
        "data": record.data.model_dump(mode="json"),
        "machine": {
            name: getattr(where, name) for name in ("device", "threads", "processes", "precision", "python", "platform")
        },
        "versions": where.packages,
    }
    result, cost = record.result, record.cost
    facts = {
        # rounded for display; the exact values are in the record and in the CSV and JSON output
        "metrics": {name: round(metric.value, 4) for name, metric in result.metrics.items()} if result else {},
        "items": result.items.rows if result else 0,
        "selection": shared_values.index_of(result.selection.model_dump(mode="json")) if result else None,
        "seconds": {name: round(value, 1) for name, value in cost.phases.items()} if cost else {},
        "memory": round(cost.peak_memory_mib) if cost and cost.peak_memory_mib is not None else None,
        "started": where.started[:19],  # ISO 8601 up to the seconds
        "finished": (where.finished or "")[:19],
        "git": shared_values.index_of([where.git_commit, where.git_dirty]),
        "command": shared_values.index_of(where.command),
    }
    return facts | {"shared": {name: shared_values.index_of(value) for name, value in _drop_missing(shared).items()}}


def _drop_missing(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parts.items() if value is not None}
