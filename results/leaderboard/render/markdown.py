"""A report as Markdown, aligned so that it reads well as plain text too."""

from __future__ import annotations

from collections.abc import Iterable

from results.leaderboard.cross_board_summary import FORMULA, Overview
from results.leaderboard.render.cells import Grid, below, board_grid, context_grid, front_line, overview_grid
from results.leaderboard.report import Report, place_of
from results.leaderboard.table import Board


def to_markdown(report: Report) -> str:
    """The boards, the view over all of them, fronts, published numbers apart, and what is on no board."""
    table = report.table
    lines: list[str] = []
    for board in table.boards:
        lines += _board(board, report)
    for view in report.overviews:
        lines += _overview(view)
    if table.context:
        lines += ["## Published numbers that stand beside none of ours", "", *grid(context_grid(table.context)), ""]
    if table.unranked:
        lines += ["Not on a board:", "", *(f"- {escape(str(each))}" for each in table.unranked), ""]
    if not table.boards and not table.unranked and not table.context:
        lines += ["No runs found.", ""]
    return "\n".join(lines)


def grid(content: Grid) -> list[str]:
    """A grid as lines of a Markdown table."""
    cells = [[escape(cell) for cell in line] for line in (content.head, *content.lines)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    flush = [i in content.numeric for i in range(len(widths))]
    padded = [
        [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, flush, strict=True)
        ]
        for line in cells
    ]
    rule = ["-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, flush, strict=True)]
    return ["| " + " | ".join(line) + " |" for line in (padded[0], rule, *padded[1:])]


_ESCAPES = str.maketrans({"|": r"\|", "<": "&lt;", ">": "&gt;", "&": "&amp;", "`": r"\`", "\n": " ", "\r": " "})


def escape(text: str) -> str:
    """Text as one Markdown cell: names come from records, which anyone may have written."""
    return text.translate(_ESCAPES)


def _board(board: Board, report: Report) -> list[str]:
    fronts = [
        f"Pareto front {front_line(board, each)}." for each in report.fronts[place_of(board)] if each.measured > 1
    ]
    return [f"## {escape(board.title)}", "", *grid(board_grid(board)), "", *_paragraph([*below(board), *fronts])]


def _overview(view: Overview) -> list[str]:
    legend = [f"{number}: {title}." for number, title in enumerate(view.boards, 1)]
    return [
        f"## All boards · {view.tier}",
        "",
        *grid(overview_grid(view)),
        "",
        *_paragraph([f"Normalised: {FORMULA}, mean over the boards that compare.", *legend]),
    ]


def _paragraph(lines: Iterable[str]) -> list[str]:
    return ["  \n".join(escape(line) for line in lines), ""]
