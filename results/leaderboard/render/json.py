"""A report as plain data for JSON. ``null`` means not measured."""

from __future__ import annotations

from typing import Any

from results.leaderboard.pareto import ParetoFront
from results.leaderboard.render.summary_notes import build_summary_notes
from results.leaderboard.report import LeaderboardReport
from results.leaderboard.summary.cross_board_summary import CrossBoardSummary
from results.leaderboard.table import Board, BoardRow
from results.published.match import UnmatchedResult


def to_json_data(report: LeaderboardReport) -> dict[str, Any]:
    """Return the report as plain data.

    Returns:
        ``boards`` with their rows and fronts, ``overviews`` (the summaries over all boards, which
        are counted from 0), ``context`` (published
        numbers without a comparable run), ``unranked`` runs, and ``warnings``.
    """
    table = report.table
    return {
        "boards": [_board_to_dict(board, report) for board in table.boards],
        "overviews": [_summary_to_dict(view) for view in report.summaries],
        "context": [_unmatched_to_dict(each) for each in table.unmatched],
        "unranked": [
            {"folder": str(each.folder), "run_id": each.record.run_id, "reason": each.reason} for each in table.unranked
        ],
        "warnings": list(table.warnings),
    }


def _board_to_dict(board: Board, report: LeaderboardReport) -> dict[str, Any]:
    plain = {name: value for name, value in board._asdict().items() if name != "rows"}
    fronts = [_front_to_dict(each) for each in report.fronts[board.board_key]]
    return {
        **plain,
        "title": board.title,
        # "floor" is the name of the random baseline in all outputs
        "has_floor": board.has_random_baseline,
        "rows": [_row_to_dict(row) for row in board.rows],
        "fronts": fronts,
    }


def _row_to_dict(row: BoardRow) -> dict[str, Any]:
    plain = {
        name: value
        for name, value in row._asdict().items()
        # these hold objects; they are converted below, and of the runs only the folders are given
        if name not in ("interval", "published_comparison", "cost", "runs")
    }
    reported = None
    if row.published_comparison:
        printed = row.published_comparison.published.model_dump(mode="json")
        reported = {
            "published": printed,
            "difference": row.published_comparison.difference,
            "within": row.published_comparison.is_within_tolerance,
        }
    return {
        **plain,
        "label": row.label,
        "interval": row.interval.model_dump(mode="json") if row.interval else None,
        "reported": reported,
        "cost": row.cost._asdict(),
        "folders": [str(folder) for folder, _ in row.runs],
    }


def _front_to_dict(front: ParetoFront) -> dict[str, Any]:
    # rows of a front refer to those of the board by their run ids
    rows = [{"label": row.label, "run_ids": row.run_ids} for row in front.rows]
    return {**front._asdict(), "rows": rows}


def _summary_to_dict(summary: CrossBoardSummary) -> dict[str, Any]:
    rows = [row._asdict() | {"cells": [cell._asdict() if cell else None for cell in row.cells]} for row in summary.rows]
    block = summary.block
    friedman = block.friedman._asdict() if block and block.friedman else None
    return {
        **summary._asdict(),
        "rows": rows,
        "block": block._asdict() | {"friedman": friedman} if block else None,
        "agreements": [each._asdict() for each in summary.agreements],
        "notes": build_summary_notes(summary),
    }


def _unmatched_to_dict(each: UnmatchedResult) -> dict[str, Any]:
    return {"published": each.published.model_dump(mode="json"), "reason": each.reason}
