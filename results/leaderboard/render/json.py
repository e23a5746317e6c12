"""A report as plain data, for JSON; ``null`` means not measured."""

from __future__ import annotations

from typing import Any

from results.leaderboard.cross_board_summary import Overview
from results.leaderboard.pareto import Front
from results.leaderboard.report import Report, place_of
from results.leaderboard.table import Board, Row
from results.published.match import Context


def to_data(report: Report) -> dict[str, Any]:
    """Boards with rows and fronts, views over all boards, published numbers apart, unranked runs, warnings."""
    table = report.table
    return {
        "boards": [_board(board, report) for board in table.boards],
        "overviews": [_overview(view) for view in report.overviews],
        "context": [_context(each) for each in table.context],
        "unranked": [
            {"folder": str(each.folder), "run_id": each.record.run_id, "reason": each.reason} for each in table.unranked
        ],
        "warnings": list(table.warnings),
    }


def _board(board: Board, report: Report) -> dict[str, Any]:
    plain = {name: value for name, value in board._asdict().items() if name != "rows"}
    fronts = [_front(each) for each in report.fronts[place_of(board)]]
    return {**plain, "has_floor": board.has_floor, "rows": [_row(row) for row in board.rows], "fronts": fronts}


def _row(row: Row) -> dict[str, Any]:
    plain = {
        name: value for name, value in row._asdict().items() if name not in ("interval", "reported", "cost", "runs")
    }
    reported = None
    if row.reported:
        printed = row.reported.published.model_dump(mode="json")
        reported = {"published": printed, "difference": row.reported.difference, "within": row.reported.within}
    return {
        **plain,
        "label": row.label,
        "interval": row.interval.model_dump(mode="json") if row.interval else None,
        "reported": reported,
        "cost": row.cost._asdict(),
        "folders": [str(folder) for folder, _ in row.runs],
    }


def _front(front: Front) -> dict[str, Any]:
    rows = [{"label": row.label, "run_ids": row.run_ids} for row in front.rows]
    return {**front._asdict(), "rows": rows}


def _overview(view: Overview) -> dict[str, Any]:
    lines = [
        line._asdict() | {"cells": [cell._asdict() if cell else None for cell in line.cells]} for line in view.lines
    ]
    return {**view._asdict(), "lines": lines}


def _context(each: Context) -> dict[str, Any]:
    return {"published": each.published.model_dump(mode="json"), "reason": each.reason}
