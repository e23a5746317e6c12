"""Build the data for the page's script: the points of the plots and the details of each run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from results.leaderboard.page.curves import read_training_curves
from results.leaderboard.page.pictures import encode_run_pictures
from results.leaderboard.pareto import COST_LABELS, get_row_cost
from results.leaderboard.render.cells import format_front
from results.leaderboard.report import LeaderboardReport
from results.leaderboard.table import Board, BoardRow
from results.records.record import Record

# Limits over all runs of a page together. The newest runs come first; what does not fit stays next to the records.
PICTURE_BUDGET_BYTES = 2_500_000
MAX_RUNS_WITH_CURVES = 60
DETAIL_BUDGET_BYTES = 1_500_000


class SharedValues:
    """A list of values that many runs share (configuration, machine, data); runs refer to them by index."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._indices: dict[str, int] = {}

    def index_of(self, value: Any) -> int:
        """Return the index of a value, which is added if it is new."""
        text = json.dumps(value, sort_keys=True)  # dicts and lists cannot be keys of a dict, their text can
        if text not in self._indices:
            self._indices[text] = len(self.values)
            self.values.append(value)
        return self._indices[text]


def build_page_data(report: LeaderboardReport) -> dict[str, Any]:
    """Build the data of the page as plain data for JSON.

    Args:
        report: what the page displays.

    Returns:
        ``boards`` with the points and fronts of their plots, ``runs``, ``shared_values``, and ``costs`` (names of the
        costs by key). The runs of a row are indices of ``runs``; the shared parts of a run are indices of
        ``shared_values``.
    """
    shared_values, runs, boards = SharedValues(), _RunEntries(), []
    for board in report.table.boards:
        rows = []
        for row in board.rows:
            rows.append(
                {
                    **_build_point(board, row),
                    "runs": [runs.add_run(folder, record, shared_values) for folder, record in row.runs],
                }
            )
        boards.append({**_build_plot_data(board, report), "rows": rows})
    runs.add_curves_and_pictures()
    return {"boards": boards, "runs": runs.entries, "shared_values": shared_values.values, "costs": COST_LABELS}


def _build_plot_data(board: Board, report: LeaderboardReport) -> dict[str, Any]:
    # a front is computed over all rows of the board, so some of its rows may be hidden on this page
    shown = {row.run_ids: number for number, row in enumerate(board.rows)}
    return {
        "title": board.title,
        "metric": board.primary_metric,
        "unit": board.units[board.primary_metric],
        "fronts": [
            {
                "cost": front.cost,
                "timing_setup": front.timing_setup,
                "rows": [shown[row.run_ids] for row in front.rows if row.run_ids in shown],
                "text": format_front(board, front),
            }
            for front in report.fronts[board.board_key]
        ],
    }


def _build_point(board: Board, row: BoardRow) -> dict[str, Any]:
    return {
        "label": row.label,
        "score": row.metrics[board.primary_metric],
        "interval": [row.interval.low, row.interval.high] if row.interval else None,
        "is_random_baseline": row.is_random_baseline,
        "timing_setup": row.cost.timing_setup,  # the script draws only points of one timing setup in a latency plot
        **{cost: get_row_cost(row, cost) for cost in COST_LABELS},
    }


class _RunEntries:
    """The runs of a page as plain data, in the order in which they are added."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self._sources: list[tuple[Path, Record]] = []

    def add_run(self, folder: Path, record: Record, shared_values: SharedValues) -> int:
        """Add a run and return its index."""
        self.entries.append(_build_run_entry(folder, record, shared_values))
        self._sources.append((folder, record))
        return len(self.entries) - 1

    def add_curves_and_pictures(self) -> None:
        """Add curves, pictures and measured details to the newest runs, until the limits of the page are reached."""
        # ISO 8601 in UTC sorts as text
        order = sorted(range(len(self.entries)), key=lambda i: self._sources[i][1].environment.started, reverse=True)
        room, with_curves, details_room = PICTURE_BUDGET_BYTES, 0, DETAIL_BUDGET_BYTES
        for number in order:
            folder, record = self._sources[number]
            if with_curves < MAX_RUNS_WITH_CURVES and (found := read_training_curves(folder)):
                self.entries[number]["curves"] = [curve._asdict() for curve in found]
                with_curves += 1
            if drawn := encode_run_pictures(folder, room):
                self.entries[number]["pictures"] = drawn
                # the data URL counts, not the file: base64 is a third larger
                room -= sum(len(address) for _, address in drawn)
            details = dict(record.result.details) if record.result else {}
            size = len(json.dumps(details))
            if details and size <= details_room:
                self.entries[number]["details"] = details
                details_room -= size


def _build_run_entry(folder: Path, record: Record, shared_values: SharedValues) -> dict[str, Any]:
    """Describe a run; long parts that many runs have in common are moved to ``shared_values``."""
    backbone, where = record.backbone, record.environment
    checkpoint = backbone.checkpoint.model_dump(mode="json") if backbone.checkpoint else None
    shared = {
        "configuration": {
            **record.config,
            **({"non_identity_settings": record.non_identity_settings} if record.non_identity_settings else {}),
        },
        "backbone": {"card": backbone.card, "arguments": backbone.arguments, "init": backbone.init},
        "load report": checkpoint,
        "data": record.data.model_dump(mode="json"),
        "machine": {
            name: getattr(where, name) for name in ("device", "threads", "processes", "precision", "python", "platform")
        },
        "packages": where.packages,
    }
    result, cost = record.result, record.cost
    return {
        "id": record.run_id,
        "folder": str(folder),
        "seed": record.seed,
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
        "shared": {name: shared_values.index_of(value) for name, value in _drop_missing(shared).items()},
    }


def _drop_missing(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parts.items() if value is not None}
