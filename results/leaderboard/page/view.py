"""Build the tables of the page: cells with their text, the value they are sorted by, and their style."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from results.leaderboard.render import cells as text
from results.leaderboard.render.columns import ColumnHeader, build_board_columns, build_summary_columns
from results.leaderboard.render.summary_notes import build_summary_notes
from results.leaderboard.report import LeaderboardReport
from results.leaderboard.summary.cross_board_summary import CrossBoardSummary
from results.leaderboard.table import Board, BoardRow
from results.published.match import UnmatchedResult

ABSENT_WORDS = ("not measured", "missing", "none", "not ranked")
"""Cells with these words have no value; they are displayed quietly and sorted last."""

_LEADING_NUMBER = re.compile(r"^[+-]?\d+(\.\d+)?")


class TableCell(NamedTuple):
    """A cell of a table.

    Attributes:
        text: the text.
        sort_value: the value by which the column is sorted; rows with ``None`` always come last.
        subtext: text in small print below the text.
        css_class: CSS class of the cell.
    """

    text: str
    sort_value: float | str | None
    subtext: str = ""
    css_class: str = ""


class IntervalBar(NamedTuple):
    """A score and its interval, as percentages of the range that the bars of a board cover."""

    low: float
    high: float
    score: float


def build_board_sections(report: LeaderboardReport) -> list[dict[str, Any]]:
    """Return one section per board for the template, with its header, rows, notes and fronts."""
    return [_build_section(number, board, report) for number, board in enumerate(report.table.boards)]


def _build_section(number: int, board: Board, report: LeaderboardReport) -> dict[str, Any]:
    fronts = report.fronts[board.board_key]
    scale = _compute_bar_range(board)
    return {
        "number": number,
        "board": board,
        "header": _build_column_headers(board),
        "rows": [
            {
                "number": place,  # with the board's number, this leads the script to the data of the row
                "row": row,
                "rank": TableCell(text.format_rank(row), row.rank),
                "bar": _build_interval_bar(row, board.primary_metric, scale),
                "score": TableCell(
                    f"{row.metrics[board.primary_metric]:.2f}", row.metrics[board.primary_metric], _format_interval(row)
                ),
                "cells": _build_row_cells(board, row),
            }
            for place, row in enumerate(board.rows)
        ],
        "notes": text.build_board_notes(board),
        "fronts": [text.format_front(board, front) for front in fronts if front.num_measured > 1],
    }


def _build_column_headers(board: Board) -> list[ColumnHeader]:
    columns = build_board_columns(board)
    return [
        *(columns.rank, columns.backbone, columns.score, *columns.published, *columns.other_metrics),
        *(*columns.costs, columns.seeds, columns.date),
    ]


def _build_row_cells(board: Board, row: BoardRow) -> list[TableCell]:
    parameters, macs, _, _ = text.format_costs(row)
    latency = text.NOT_MEASURED if row.cost.latency_ms is None else f"{row.cost.latency_ms:.2f}"
    speed, batch = text.split_throughput(row)
    return [
        *(_build_published_cells(row) if board.has_published else ()),
        *(_build_metric_cell(row.metrics.get(name)) for name in board.shown_metrics),
        TableCell(parameters, row.cost.parameters),
        TableCell(macs, row.cost.macs),
        TableCell(latency, row.cost.quiet_latency_ms, "busy machine" if row.cost.is_busy else ""),
        TableCell(speed, row.cost.images_per_second, batch),
        TableCell(str(len(row.seeds)), len(row.seeds), text.format_range(*row.seed_range) if row.seed_range else ""),
        TableCell(row.finished_at[:10] or text.NOT_MEASURED, row.finished_at or None),
    ]


def _build_metric_cell(value: float | None) -> TableCell:
    """Return the cell of a metric; a run of an earlier version of the task may lack it."""
    return TableCell(text.NOT_MEASURED if value is None else f"{value:.2f}", value)


def _build_published_cells(row: BoardRow) -> tuple[TableCell, TableCell]:
    """Return the cells of the published number and of our difference from it."""
    found = row.published_comparison
    difference, tolerance = text.split_difference(row)
    if found is None:
        return TableCell(text.format_reported_value(row), None), TableCell(difference, None, tolerance)
    css_class = "within" if found.is_within_tolerance else "outside"
    return (
        TableCell(text.format_reported_value(row), found.published.value),
        TableCell(difference, found.difference, tolerance, css_class),
    )


def _format_interval(row: BoardRow) -> str:
    return text.format_range(row.interval.low, row.interval.high) if row.interval else "no interval"


def _compute_bar_range(board: Board) -> tuple[float, float]:
    """Return the lowest and the highest value that the bars of a board have to show, in the metric's unit."""
    values = [row.metrics[board.primary_metric] for row in board.rows]
    values += [end for row in board.rows if row.interval for end in (row.interval.low, row.interval.high)]
    low, high = min(values), max(values)
    # a single score without an interval would give a range of width 0, and a division by it
    return (low, high) if high > low else (low - 1, high + 1)


def _build_interval_bar(row: BoardRow, primary_metric: str, bar_range: tuple[float, float]) -> IntervalBar:
    low, high = bar_range
    at = row.metrics[primary_metric]
    ends = (row.interval.low, row.interval.high) if row.interval else (at, at)
    # one decimal of a percent is finer than a pixel and keeps the page small
    first, last, middle = (round(100 * (value - low) / (high - low), 1) for value in (*ends, at))
    return IntervalBar(first, last, middle)


def build_summary_view(summary: CrossBoardSummary) -> dict[str, Any]:
    """Return the summary over all boards of a scope as a table for the template; its boards are numbered."""
    grid = text.tabulate_summary(summary)
    titles = dict(zip(map(str, range(1, len(summary.board_titles) + 1)), summary.board_titles, strict=True))
    return {
        "tier": summary.scope,
        "header": [
            column._replace(tooltip=titles.get(column.name, column.tooltip))
            for column in build_summary_columns(list(titles))
        ],
        "rows": [[TableCell(cell, _parse_leading_number(cell)) for cell in line] for line in grid.rows],
        "notes": build_summary_notes(summary),
    }


def _parse_leading_number(cell: str) -> float | None:
    """Return the number with which a cell begins, by which it is sorted, or ``None`` if it begins with a word."""
    found = _LEADING_NUMBER.match(cell)
    return float(found[0]) if found else None


def build_unmatched_view(unmatched: tuple[UnmatchedResult, ...]) -> dict[str, Any]:
    """Return the published numbers without a comparable run as a table for the template."""
    grid = text.tabulate_unmatched(unmatched)
    lines = []
    for line, each in zip(grid.rows, unmatched, strict=True):
        lines.append(
            [
                # numbers are sorted by value, not by their text
                TableCell(cell, each.published.value if i in grid.numeric_columns else cell)
                for i, cell in enumerate(line)
            ]
        )
    return {
        "header": [ColumnHeader(name, i in grid.numeric_columns) for i, name in enumerate(grid.header)],
        "rows": lines,
    }
