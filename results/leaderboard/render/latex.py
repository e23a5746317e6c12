"""A report as LaTeX tables, for the package booktabs."""

from __future__ import annotations

from foundation.display_text import format_one_line
from results.leaderboard.render.cells import (
    TextTable,
    build_board_notes,
    tabulate_board,
    tabulate_summary,
    tabulate_unmatched,
)
from results.leaderboard.render.columns import SUMMARY_TITLE, UNMATCHED_TITLE
from results.leaderboard.render.summary_notes import build_summary_notes
from results.leaderboard.report import LeaderboardReport

# one pass over the text, so that the backslashes that an escape adds are not escaped again
_ESCAPES = str.maketrans(
    {
        **{letter: f"\\{letter}" for letter in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "·": r"\textperiodcentered{}",
        # after the end of a row, LaTeX would read these as arguments of "\\\\"
        "[": "{[}",
        "*": "{*}",
    }
)


def to_latex(report: LeaderboardReport) -> str:
    """Return one ``table`` environment per board and per summary, and one for published numbers without a run."""
    parts = ["% needs \\usepackage{booktabs}"]
    parts += [
        _build_latex_table(tabulate_board(board), board.title, build_board_notes(board))
        for board in report.table.boards
    ]
    for view in report.summaries:
        caption = f"{SUMMARY_TITLE}, {view.scope}"
        parts.append(_build_latex_table(tabulate_summary(view), caption, build_summary_notes(view)))
    if report.table.unmatched:
        parts.append(_build_latex_table(tabulate_unmatched(report.table.unmatched), UNMATCHED_TITLE, []))
    # a line break in a reason would end the comment and turn the rest into LaTeX code
    parts += [f"% not on a board: {format_one_line(str(each))}" for each in report.table.unranked]
    return "\n\n".join(parts) + "\n"


def escape_latex(text: str) -> str:
    """Escape text so that LaTeX prints it literally; names come from records, which anyone may have written."""
    return format_one_line(text).translate(_ESCAPES)


def _build_latex_table(text_table: TextTable, caption: str, notes: list[str]) -> str:
    # column types of LaTeX: r aligns to the right, l to the left
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
