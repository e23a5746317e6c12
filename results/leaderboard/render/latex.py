"""A report as LaTeX tables for booktabs."""

from __future__ import annotations

from results.leaderboard.cross_board_summary import NORMALIZED_SCORE_FORMULA
from results.leaderboard.render.cells import (
    TextTable,
    build_board_notes,
    tabulate_board,
    tabulate_summary,
    tabulate_unmatched,
)
from results.leaderboard.render.columns import SUMMARY_TITLE, UNMATCHED_TITLE
from results.leaderboard.report import LeaderboardReport

_ESCAPES = str.maketrans(
    {
        **{letter: f"\\{letter}" for letter in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "·": r"\textperiodcentered{}",
        "\n": " ",
        "\r": " ",
    }
)


def to_latex(report: LeaderboardReport) -> str:
    """One ``table`` environment a board, one a view over all boards, one for published numbers apart."""
    parts = ["% needs \\usepackage{booktabs}"]
    parts += [
        _build_latex_table(tabulate_board(board), board.title, build_board_notes(board))
        for board in report.table.boards
    ]
    for view in report.summaries:
        notes = [
            f"Normalised: {NORMALIZED_SCORE_FORMULA}.",
            *(f"{i}: {title}." for i, title in enumerate(view.board_titles, 1)),
        ]
        parts.append(_build_latex_table(tabulate_summary(view), f"{SUMMARY_TITLE}, {view.tier}", notes))
    if report.table.unmatched:
        parts.append(_build_latex_table(tabulate_unmatched(report.table.unmatched), UNMATCHED_TITLE, []))
    parts += [f"% not on a board: {str(each).translate({10: ' ', 13: ' '})}" for each in report.table.unranked]
    return "\n\n".join(parts) + "\n"


def escape_latex(text: str) -> str:
    """Text that LaTeX sets as it is: names come from records, which anyone may have written."""
    return text.translate(_ESCAPES)


def _build_latex_table(text_table: TextTable, caption: str, notes: list[str]) -> str:
    columns = "".join("r" if i in text_table.numeric_columns else "l" for i in range(len(text_table.header)))
    lines = [" & ".join(map(escape_latex, line)) + r" \\" for line in (text_table.header, *text_table.rows)]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape_latex(caption)}. {escape_latex(' '.join(notes))}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )
