"""Build the tables of the page: cells with their text, the value they are sorted by, and their style."""

from __future__ import annotations

from typing import Any, NamedTuple

from results.leaderboard.cross_board_summary import NORMALIZED_SCORE_FORMULA, CrossBoardSummary
from results.leaderboard.pareto import COST_LABELS
from results.leaderboard.render import cells as text
from results.leaderboard.report import LeaderboardReport, get_board_key
from results.leaderboard.table import Board, BoardRow
from results.published.match import UnmatchedResult


class ColumnHeader(NamedTuple):
    """The header of a column, with an explanation as its tooltip."""

    name: str
    numeric: bool = True
    tooltip: str = ""


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
    """Return one section per board, with its header, rows, notes and fronts, for the template."""
    return [_build_section(number, board, report) for number, board in enumerate(report.table.boards)]


def _build_section(number: int, board: Board, report: LeaderboardReport) -> dict[str, Any]:
    fronts = report.fronts[get_board_key(board)]
    # ids of the rows on a front, by cost; a row is marked with these costs so that the page can filter by them
    on_front = {
        cost: {row.run_ids for front in fronts if front.cost == cost for row in front.rows} for cost in COST_LABELS
    }
    others = [name for name in board.units if name != board.primary_metric]
    reported = any(row.published_comparison for row in board.rows)
    scale = _compute_bar_range(board)
    return {
        "number": number,
        "board": board,
        "head": _build_column_headers(board, others, reported),
        "rows": [
            {
                "number": place,  # with the board's number, this leads the script to the data of the row
                "row": row,
                "rank": TableCell(text.format_rank(row), row.rank),
                "bar": _build_interval_bar(row, board.primary_metric, scale),
                "score": TableCell(
                    f"{row.metrics[board.primary_metric]:.2f}", row.metrics[board.primary_metric], _format_interval(row)
                ),
                "cells": _build_row_cells(row, others, reported),
                # costs on whose front the row is, separated by blanks: the script filters by them
                "fronts": " ".join(cost for cost in COST_LABELS if row.run_ids in on_front[cost]),
            }
            for place, row in enumerate(board.rows)
        ],
        "notes": text.build_board_notes(board),
        "fronts": [text.format_front(board, front) for front in fronts if front.num_measured > 1],
    }


def _build_column_headers(board: Board, other_metrics: list[str], has_published: bool) -> list[ColumnHeader]:
    printed = [
        ColumnHeader("reported", tooltip="the published number"),
        ColumnHeader("difference", tooltip="our number minus the published one"),
    ]
    return [
        ColumnHeader("rank", tooltip="=: shared, no significant difference on the measured items and seeds"),
        ColumnHeader("backbone", numeric=False),
        ColumnHeader(
            f"{board.primary_metric} ({board.units[board.primary_metric]})",
            tooltip="mean over the seeds, with its confidence interval",
        ),
        *(printed if has_published else []),
        *(ColumnHeader(f"{name} ({board.units[name]})") for name in other_metrics),
        ColumnHeader("parameters", tooltip="of the backbone, with its classifier if it was trained with one"),
        ColumnHeader("MACs", tooltip="multiply-accumulates of the backbone per image, attention products included"),
        ColumnHeader("ms", tooltip="median milliseconds of the backbone for one image"),
        ColumnHeader("images/s"),
        ColumnHeader("seeds"),
        ColumnHeader("date (UTC)", numeric=False),
    ]


def _build_row_cells(row: BoardRow, other_metrics: list[str], has_published: bool) -> list[TableCell]:
    parameters, macs, latency, speed = text.format_costs(row)
    cells = []
    if has_published:
        mark = (
            ""
            if row.published_comparison is None
            else "within"
            if row.published_comparison.is_within_tolerance
            else "outside"
        )
        value = row.published_comparison.published.value if row.published_comparison else None
        gap = row.published_comparison.difference if row.published_comparison else None
        # "-0.20, within 0.3": the difference is the text of the cell, the verdict its small print
        words, _, limit = text.format_difference(row).partition(", ")
        cells = [TableCell(text.format_reported_value(row), value), TableCell(words, gap, limit, mark)]
    cells += [TableCell(f"{row.metrics[name]:.2f}", row.metrics[name]) for name in other_metrics]
    low_high = f"{row.seed_range[0]:.2f} to {row.seed_range[1]:.2f}" if row.seed_range else ""
    batch = f"batch {row.cost.batch_size}" if row.cost.batch_size else ""
    return [
        *cells,
        TableCell(parameters, row.cost.parameters),
        TableCell(macs, row.cost.macs),
        TableCell(latency, row.cost.latency_ms),
        # "7315 (batch 16)": the batch size moves to the small print
        TableCell(speed.partition(" (")[0], row.cost.images_per_second, batch),
        TableCell(str(len(row.seeds)), len(row.seeds), low_high),
        TableCell(row.finished_at[:10] or text.NOT_MEASURED, row.finished_at or None),
    ]


def _format_interval(row: BoardRow) -> str:
    return f"{row.interval.low:.2f} to {row.interval.high:.2f}" if row.interval else "no interval"


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
    """Return the summary over all boards of a tier as a table for the template."""
    rows = []
    for line in summary.rows:
        cells = [
            TableCell("missing", None, css_class="missing")
            if cell is None
            else TableCell(f"{cell.score:.2f}", cell.score, f"rank {cell.rank}" if cell.rank else "")
            for cell in line.cells
        ]
        there = len(line.cells) - line.num_missing
        rows.append(
            {
                "backbone": line.backbone,
                "label": line.label,
                "cells": [
                    TableCell("not ranked" if line.mean_rank is None else f"{line.mean_rank:.2f}", line.mean_rank),
                    TableCell(str(line.num_wins), line.num_wins),
                    TableCell(
                        text.NOT_MEASURED
                        if line.mean_normalized_score is None
                        else f"{line.mean_normalized_score:.1f}",
                        line.mean_normalized_score,
                    ),
                    TableCell(f"{there} of {len(line.cells)}", there),
                    *cells,
                ],
            }
        )
    head = [
        ColumnHeader("backbone", numeric=False),
        ColumnHeader("mean rank", tooltip="mean over the boards on which it is ranked"),
        ColumnHeader("wins", tooltip="number of boards on which it has rank 1, shared or not"),
        ColumnHeader("normalized", tooltip=f"{NORMALIZED_SCORE_FORMULA}, mean over the boards"),
        ColumnHeader("boards", tooltip="number of boards it is on"),
        *(ColumnHeader(name) for name in summary.board_titles),
    ]
    return {"tier": summary.tier, "head": head, "rows": rows, "formula": NORMALIZED_SCORE_FORMULA}


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
        "head": [ColumnHeader(name, i in grid.numeric_columns) for i, name in enumerate(grid.header)],
        "rows": lines,
    }
