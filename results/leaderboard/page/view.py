"""What the page's tables show: cells with their text, what they are sorted by, and how they look."""

from __future__ import annotations

from typing import Any, NamedTuple

from results.leaderboard.cross_board_summary import FORMULA, Overview
from results.leaderboard.pareto import COSTS
from results.leaderboard.render import cells as text
from results.leaderboard.report import Report, place_of
from results.leaderboard.table import Board, Row
from results.published.match import Context


class Head(NamedTuple):
    """A column's head; ``hint`` explains it."""

    name: str
    numeric: bool = True
    hint: str = ""


class Cell(NamedTuple):
    """A cell: its text, the value it is sorted by (``None``: last), and small print below it."""

    text: str
    sort: float | str | None
    small: str = ""
    mark: str = ""


class Bar(NamedTuple):
    """A score and its interval on the board's scale, in percent of it."""

    low: float
    high: float
    at: float


def sections(report: Report) -> list[dict[str, Any]]:
    """One section a board: head, rows, notes, fronts."""
    return [_section(number, board, report) for number, board in enumerate(report.table.boards)]


def _section(number: int, board: Board, report: Report) -> dict[str, Any]:
    fronts = report.fronts[place_of(board)]
    on_front = {cost: {row.run_ids for front in fronts if front.cost == cost for row in front.rows} for cost in COSTS}
    others = [name for name in board.units if name != board.primary]
    reported = any(row.reported for row in board.rows)
    scale = _scale(board)
    return {
        "number": number,
        "board": board,
        "head": _head(board, others, reported),
        "rows": [
            {
                "number": place,
                "row": row,
                "rank": Cell(text.rank(row), row.rank),
                "bar": _bar(row, board.primary, scale),
                "score": Cell(f"{row.metrics[board.primary]:.2f}", row.metrics[board.primary], _interval(row)),
                "cells": _cells(row, others, reported),
                "fronts": " ".join(cost for cost in COSTS if row.run_ids in on_front[cost]),
            }
            for place, row in enumerate(board.rows)
        ],
        "notes": text.below(board),
        "fronts": [text.front_line(board, front) for front in fronts if front.measured > 1],
    }


def _head(board: Board, others: list[str], reported: bool) -> list[Head]:
    printed = [Head("reported", hint="the published number"), Head("difference", hint="ours minus the published")]
    return [
        Head("rank", hint="= shared: not told apart by the items and seeds measured"),
        Head("backbone", numeric=False),
        Head(f"{board.primary} ({board.units[board.primary]})", hint="mean over the seeds, with its interval"),
        *(printed if reported else []),
        *(Head(f"{name} ({board.units[name]})") for name in others),
        Head("parameters", hint="of the backbone, with its classifier if it was trained with one"),
        Head("MACs", hint="multiply-accumulates of the backbone per image, attention products included"),
        Head("ms", hint="the backbone on one image, median"),
        Head("images/s"),
        Head("seeds"),
        Head("date (UTC)", numeric=False),
    ]


def _cells(row: Row, others: list[str], reported: bool) -> list[Cell]:
    parameters, macs, latency, speed = text.costs(row)
    cells = []
    if reported:
        mark = "" if row.reported is None else "within" if row.reported.within else "outside"
        value = row.reported.published.value if row.reported else None
        gap = row.reported.difference if row.reported else None
        words, _, limit = text.difference(row).partition(", ")
        cells = [Cell(text.reported_value(row), value), Cell(words, gap, limit, mark)]
    cells += [Cell(f"{row.metrics[name]:.2f}", row.metrics[name]) for name in others]
    low_high = f"{row.spread[0]:.2f} to {row.spread[1]:.2f}" if row.spread else ""
    batch = f"batch {row.cost.batch}" if row.cost.batch else ""
    return [
        *cells,
        Cell(parameters, row.cost.parameters),
        Cell(macs, row.cost.macs),
        Cell(latency, row.cost.latency_ms),
        Cell(speed.partition(" (")[0], row.cost.images_per_second, batch),
        Cell(str(len(row.seeds)), len(row.seeds), low_high),
        Cell(row.finished[:10] or text.NOT_MEASURED, row.finished or None),
    ]


def _interval(row: Row) -> str:
    return f"{row.interval.low:.2f} to {row.interval.high:.2f}" if row.interval else "no interval"


def _scale(board: Board) -> tuple[float, float]:
    """Lowest and highest value that a bar of the board has to show."""
    values = [row.metrics[board.primary] for row in board.rows]
    values += [end for row in board.rows if row.interval for end in (row.interval.low, row.interval.high)]
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 1, high + 1)


def _bar(row: Row, primary: str, scale: tuple[float, float]) -> Bar:
    low, high = scale
    at = row.metrics[primary]
    ends = (row.interval.low, row.interval.high) if row.interval else (at, at)
    first, last, middle = (round(100 * (value - low) / (high - low), 1) for value in (*ends, at))
    return Bar(first, last, middle)


def overview_view(view: Overview) -> dict[str, Any]:
    """The table over all boards of a tier."""
    rows = []
    for line in view.lines:
        cells = [
            Cell("missing", None, mark="missing")
            if cell is None
            else Cell(f"{cell.score:.2f}", cell.score, f"rank {cell.rank}" if cell.rank else "")
            for cell in line.cells
        ]
        there = len(line.cells) - line.missing
        rows.append(
            {
                "backbone": line.backbone,
                "label": line.label,
                "cells": [
                    Cell("not ranked" if line.mean_rank is None else f"{line.mean_rank:.2f}", line.mean_rank),
                    Cell(str(line.wins), line.wins),
                    Cell(text.NOT_MEASURED if line.normalised is None else f"{line.normalised:.1f}", line.normalised),
                    Cell(f"{there} of {len(line.cells)}", there),
                    *cells,
                ],
            }
        )
    head = [
        Head("backbone", numeric=False),
        Head("mean rank", hint="over the boards that compare and rank it"),
        Head("wins", hint="boards where it has rank 1, shared or not"),
        Head("normalised", hint=f"{FORMULA}, mean"),
        Head("boards", hint="boards it is on"),
        *(Head(name) for name in view.boards),
    ]
    return {"tier": view.tier, "head": head, "rows": rows, "formula": FORMULA}


def context_view(context: tuple[Context, ...]) -> dict[str, Any]:
    """The table of published numbers that stand beside none of ours."""
    grid = text.context_grid(context)
    lines = []
    for line, each in zip(grid.lines, context, strict=True):
        lines.append([Cell(cell, each.published.value if i in grid.numeric else cell) for i, cell in enumerate(line)])
    return {"head": [Head(name, i in grid.numeric) for i, name in enumerate(grid.head)], "rows": lines}
