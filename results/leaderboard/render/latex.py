"""A report as LaTeX tables for booktabs."""

from __future__ import annotations

from results.leaderboard.cross_board_summary import FORMULA
from results.leaderboard.render.cells import Grid, below, board_grid, context_grid, overview_grid
from results.leaderboard.report import Report

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


def to_latex(report: Report) -> str:
    """One ``table`` environment a board, one a view over all boards, one for published numbers apart."""
    parts = ["% needs \\usepackage{booktabs}"]
    parts += [_table(board_grid(board), board.title, below(board)) for board in report.table.boards]
    for view in report.overviews:
        notes = [f"Normalised: {FORMULA}.", *(f"{i}: {title}." for i, title in enumerate(view.boards, 1))]
        parts.append(_table(overview_grid(view), f"All boards, {view.tier}", notes))
    if report.table.context:
        parts.append(_table(context_grid(report.table.context), "Published numbers that stand beside none of ours", []))
    parts += [f"% not on a board: {str(each).translate({10: ' ', 13: ' '})}" for each in report.table.unranked]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX sets as it is: names come from records, which anyone may have written."""
    return text.translate(_ESCAPES)


def _table(grid: Grid, caption: str, notes: list[str]) -> str:
    columns = "".join("r" if i in grid.numeric else "l" for i in range(len(grid.head)))
    lines = [" & ".join(map(escape, line)) + r" \\" for line in (grid.head, *grid.lines)]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape(caption)}. {escape(' '.join(notes))}}}",
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
