"""What the page's script takes: points for plots, and what is known of each run, shared parts once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from results.leaderboard.page.curves import curves
from results.leaderboard.page.pictures import pictures
from results.leaderboard.pareto import COSTS, cost_of
from results.leaderboard.render.cells import front_line
from results.leaderboard.report import Report, place_of
from results.leaderboard.table import Board, Row
from results.records.record import Record

PICTURE_BYTES = 2_500_000
CURVE_RUNS = 60
DETAIL_BYTES = 1_500_000
"""What a page takes in at most of all runs together, newest first; the rest stays beside the records."""


class Pool:
    """Parts that many runs share (configuration, machine, data), kept once and named by their place."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        """The place of a value, which is added if it is new."""
        text = json.dumps(value, sort_keys=True)
        if text not in self._places:
            self._places[text] = len(self.values)
            self.values.append(value)
        return self._places[text]


def page_data(report: Report) -> dict[str, Any]:
    """Boards with their points and fronts, runs, and the shared parts.

    A row's ``runs`` and a run's shared parts are places in the lists ``runs`` and ``pool``.
    """
    pool, runs, boards = Pool(), _Runs(), []
    for board in report.table.boards:
        rows = []
        for row in board.rows:
            rows.append({**_point(board, row), "runs": [runs.add(folder, record, pool) for folder, record in row.runs]})
        boards.append({**_plot(board, report), "rows": rows})
    runs.add_extras()
    return {"boards": boards, "runs": runs.plain, "pool": pool.values, "costs": COSTS}


def _plot(board: Board, report: Report) -> dict[str, Any]:
    shown = {row.run_ids: number for number, row in enumerate(board.rows)}
    return {
        "title": board.title,
        "metric": board.primary,
        "unit": board.units[board.primary],
        "fronts": [
            {
                "cost": front.cost,
                "where": front.where,
                "rows": [shown[row.run_ids] for row in front.rows if row.run_ids in shown],
                "text": front_line(board, front),
            }
            for front in report.fronts[place_of(board)]
        ],
    }


def _point(board: Board, row: Row) -> dict[str, Any]:
    return {
        "label": row.label,
        "score": row.metrics[board.primary],
        "interval": [row.interval.low, row.interval.high] if row.interval else None,
        "floor": row.floor,
        "where": row.cost.where,
        **{cost: cost_of(row, cost) for cost in COSTS},
    }


class _Runs:
    """The runs of a page as plain data."""

    def __init__(self) -> None:
        self.plain: list[dict[str, Any]] = []
        self._sources: list[tuple[Path, Record]] = []

    def add(self, folder: Path, record: Record, pool: Pool) -> int:
        """Describe a run; returns its place."""
        self.plain.append(_describe(folder, record, pool))
        self._sources.append((folder, record))
        return len(self.plain) - 1

    def add_extras(self) -> None:
        """Curves, pictures and measured details, newest runs first while the page's budgets last."""
        order = sorted(range(len(self.plain)), key=lambda i: self._sources[i][1].where.started, reverse=True)
        room, with_curves, details_room = PICTURE_BYTES, 0, DETAIL_BYTES
        for number in order:
            folder, record = self._sources[number]
            if with_curves < CURVE_RUNS and (found := curves(folder)):
                self.plain[number]["curves"] = [curve._asdict() for curve in found]
                with_curves += 1
            if drawn := pictures(folder, room):
                self.plain[number]["pictures"] = drawn
                room -= sum(len(address) for _, address in drawn)
            details = dict(record.result.details) if record.result else {}
            size = len(json.dumps(details))
            if details and size <= details_room:
                self.plain[number]["details"] = details
                details_room -= size


def _describe(folder: Path, record: Record, pool: Pool) -> dict[str, Any]:
    backbone, where = record.backbone, record.where
    checkpoint = backbone.checkpoint.model_dump(mode="json") if backbone.checkpoint else None
    shared = {
        "configuration": {**record.config, **({"neutral": record.neutral} if record.neutral else {})},
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
        "metrics": {name: round(metric.value, 4) for name, metric in result.metrics.items()} if result else {},
        "items": result.items.rows if result else 0,
        "selection": pool.place(result.selection.model_dump(mode="json")) if result else None,
        "seconds": {name: round(value, 1) for name, value in cost.phases.items()} if cost else {},
        "memory": round(cost.peak_memory_mib) if cost and cost.peak_memory_mib is not None else None,
        "started": where.started[:19],
        "finished": (where.finished or "")[:19],
        "source": pool.place([where.git_commit, where.git_dirty]),
        "command": pool.place(where.command),
        "shared": {name: pool.place(value) for name, value in _present(shared).items()},
    }


def _present(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parts.items() if value is not None}
