"""A report as Markdown, with aligned columns so that it can also be read as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable

from foundation.display_text import format_one_line
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
from results.leaderboard.summary.cross_board_summary import CrossBoardSummary
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
        lines += ["Not on a board:", "", *(f"- {escape_markdown_line(str(each))}" for each in table.unranked), ""]
    if not table.boards and not table.unranked and not table.unmatched:
        lines += ["Nothing to show; the warnings say why." if table.warnings else "No runs found.", ""]
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


# "|" ends a cell, "`" starts code, "<" and "&" start HTML, "[" links and images, "*" and "~" emphasis, "$" formulas
_ESCAPES = str.maketrans(
    {"<": "&lt;", ">": "&gt;", "&": "&amp;", **{sign: f"\\{sign}" for sign in "\\`*[]|~$"}},
)
# an underscore between letters or digits is no emphasis, so that vit_nano stays as it is; GitHub makes links of bare
# addresses, which a comment (or a backslash) in their middle prevents
_RULES = (
    (re.compile(r"(?<![^\W_])_|_(?![^\W_])"), r"\\_"),
    (re.compile(r"(?i)(www)\."), r"\1\\."),
    (re.compile(r"(?i)\b(https?|ftp|mailto|xmpp):"), r"\1\\:"),
    (re.compile(r"(?<=[\w.+-])@(?=[\w-]+\.)"), "@<!-- -->"),
)
_LINE_START = re.compile(r"^(\d+)?(?(1)(?=[.)](?:\s|$))|(?=[-+=#]))")
"""Where a line needs a backslash so that it is no list, heading or rule: before a sign, or in ``1. text``."""


def escape_markdown(text: str) -> str:
    """Escape text for a Markdown cell; names come from records, which anyone may have written."""
    escaped = format_one_line(text).translate(_ESCAPES)
    for pattern, replacement in _RULES:
        escaped = pattern.sub(replacement, escaped)
    return escaped


def escape_markdown_line(text: str) -> str:
    """Escape text that begins a line of Markdown."""
    return _LINE_START.sub(r"\1\\", escape_markdown(text).lstrip())


def _build_board_lines(board: Board, report: LeaderboardReport) -> list[str]:
    fronts = [
        f"Pareto front {format_front(board, each)}."
        for each in report.fronts[board.board_key]
        if each.num_measured + each.num_busy > 1  # a front of one row says nothing
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
        f"## {SUMMARY_TITLE} · {summary.scope}",
        "",
        *format_markdown_table(tabulate_summary(summary)),
        "",
        *_join_paragraph(build_summary_notes(summary)),
    ]


def _join_paragraph(lines: Iterable[str]) -> list[str]:
    # two blanks before a line break keep the break within one paragraph
    return ["  \n".join(escape_markdown_line(line) for line in lines), ""]
