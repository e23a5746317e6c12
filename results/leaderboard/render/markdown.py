"""A report as Markdown, with aligned columns so that it can also be read as plain text."""

from __future__ import annotations

from collections.abc import Iterable

from results.leaderboard.cross_board_summary import CrossBoardSummary
from results.leaderboard.render.cells import (
    TextTable,
    build_board_notes,
    format_front,
    tabulate_board,
    tabulate_summary,
    tabulate_unmatched,
)
from results.leaderboard.render.columns import SUMMARY_TITLE, UNMATCHED_TITLE
from results.leaderboard.render.summary_notes import build_summary_notes
from results.leaderboard.report import LeaderboardReport
from results.leaderboard.table import Board


def to_markdown(report: LeaderboardReport) -> str:
    """Return the boards with their fronts, the summaries, published numbers without a run, and unranked runs."""
    table = report.table
    lines: list[str] = []
    for board in table.boards:
        lines += _build_board_lines(board, report)
    for view in report.summaries:
        lines += _build_summary_lines(view)
    if table.unmatched:
        lines += [
            f"## {UNMATCHED_TITLE}",
            "",
            *format_markdown_table(tabulate_unmatched(table.unmatched)),
            "",
        ]
    if table.unranked:
        lines += ["Not on a board:", "", *(f"- {escape_markdown(str(each))}" for each in table.unranked), ""]
    if not table.boards and not table.unranked and not table.unmatched:
        lines += ["No runs found.", ""]
    return "\n".join(lines)


def format_markdown_table(text_table: TextTable) -> list[str]:
    """Return a table as the lines of a Markdown table."""
    # escape before measuring, since an escaped cell is longer
    cells = [[escape_markdown(cell) for cell in line] for line in (text_table.header, *text_table.rows)]
    # Markdown requires three characters in the rule below the header
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    flush = [i in text_table.numeric_columns for i in range(len(widths))]
    padded = [
        [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, flush, strict=True)
        ]
        for line in cells
    ]
    rule = ["-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, flush, strict=True)]
    return ["| " + " | ".join(line) + " |" for line in (padded[0], rule, *padded[1:])]


# "|" ends a cell, "`" starts code, "<" and "&" start HTML, and a line break ends the table
_ESCAPES = str.maketrans({"|": r"\|", "<": "&lt;", ">": "&gt;", "&": "&amp;", "`": r"\`", "\n": " ", "\r": " "})


def escape_markdown(text: str) -> str:
    """Escape text for a Markdown cell; names come from records, which anyone may have written."""
    return text.translate(_ESCAPES)


def _build_board_lines(board: Board, report: LeaderboardReport) -> list[str]:
    fronts = [
        f"Pareto front {format_front(board, each)}."
        for each in report.fronts[board.board_key]
        if each.num_measured > 1  # a front of one row says nothing
    ]
    return [
        f"## {escape_markdown(board.title)}",
        "",
        *format_markdown_table(tabulate_board(board)),
        "",
        *_join_paragraph([*build_board_notes(board), *fronts]),
    ]


def _build_summary_lines(summary: CrossBoardSummary) -> list[str]:
    return [
        f"## {SUMMARY_TITLE} · {summary.tier}",
        "",
        *format_markdown_table(tabulate_summary(summary)),
        "",
        *_join_paragraph(build_summary_notes(summary)),
    ]


def _join_paragraph(lines: Iterable[str]) -> list[str]:
    # two blanks before a line break keep the break within one paragraph
    return ["  \n".join(escape_markdown(line) for line in lines), ""]
