"""Describe the runs of a page: facts, curves, pictures and measured details, within the limits of a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foundation.errors import RecordError
from foundation.storage.fault_isolation import convert_faults
from results.leaderboard.page.budget import ByteBudget, SharedValues
from results.leaderboard.page.curves import TrainingCurve, read_training_curves
from results.leaderboard.page.media import PageMedia
from results.records.picture_manifest import PictureEntry, has_picture_manifest, read_pictures
from results.records.record import Record

# Limits over all runs of a page together; what does not fit stays next to the records, and the page says so.
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
        """Add facts, curves, pictures and details of runs, until the limits of the page are reached.

        The newest run of each board comes first, then the second newest of each: many runs on one board would otherwise
        leave nothing to the others.
        """
        order = self._order_runs()
        curves, details, texts = (ByteBudget(size) for size in (CURVE_BYTES, DETAIL_BYTES, PICTURE_TEXT_BYTES))
        with_curves = 0
        for place, number in enumerate(order):
            folder, record = self._sources[number]
            entry = self.entries[number]
            if place < MAX_RUNS_WITH_FACTS:
                entry |= _build_run_facts(record, shared_values)
            if with_curves < MAX_RUNS_WITH_CURVES and (found := _read_curves(folder)):
                drawn = [curve._asdict() for curve in found]
                if curves.take_json(drawn):
                    entry["curves"] = drawn
                with_curves += 1
            measured = dict(record.result.details) if record.result else {}
            if measured and details.take_json(measured):
                entry["details"] = measured
        self._add_pictures(order[:MAX_RUNS_WITH_PICTURES], texts, shared_values)
        for number in order[MAX_RUNS_WITH_PICTURES:]:
            if has_picture_manifest(self._sources[number][0]):
                self.entries[number]["pictures_left_out"] = True

    def _order_runs(self) -> list[int]:
        # ISO 8601 in UTC sorts as text
        newest = sorted(range(len(self.entries)), key=lambda i: self._sources[i][1].environment.started, reverse=True)
        seen = Counter[str]()
        places = {}
        for number in newest:
            board = self._sources[number][1].comparability
            places[number] = seen[board]
            seen[board] += 1
        return sorted(newest, key=places.__getitem__)  # stable: among equals, the newest first

    def _add_pictures(self, order: Sequence[int], texts: ByteBudget, shared_values: SharedValues) -> None:
        """Add pictures in two rounds: sheets of many small ones take most room, and other pictures say more."""
        stored = {number: read_pictures(self._sources[number][0]) for number in order}
        found: dict[int, dict[int, dict[str, Any]]] = {number: {} for number in order}
        for are_sheets in (False, True):
            for number in order:
                for place, picture in enumerate(stored[number]):
                    if (picture.entry.kind == "item_sheet") != are_sheets:
                        continue
                    described = _describe_picture(picture.entry)
                    if texts.take_json(described) and (address := self._media.add_stored_picture(picture)) is not None:
                        # in a single file, an address holds the picture, and runs share sheets of the same items
                        found[number][place] = {"address": shared_values.index_of(address), **described}
        for number in order:
            if found[number]:
                self.entries[number]["pictures"] = [found[number][place] for place in sorted(found[number])]
            if len(found[number]) < len(stored[number]):
                self.entries[number]["pictures_left_out"] = True


def _read_curves(folder: Path) -> list[TrainingCurve]:
    """Return the curves of a run; none where its event files are not what TensorBoard writes."""
    try:
        with convert_faults(f"cannot read the curves of {folder}"):
            return read_training_curves(folder)
    except RecordError:
        return []


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
