"""Everything a leaderboard says, ready to be rendered: boards, fronts, the view over all tasks."""

from __future__ import annotations

from typing import NamedTuple

from results.leaderboard.cross_board_summary import Overview, overviews
from results.leaderboard.filter_sort import Choice, narrow, require_known
from results.leaderboard.pareto import Front, fronts
from results.leaderboard.table import Board, Table, build_table
from results.published.rows import read_published
from results.records.store import Found


class Report(NamedTuple):
    """What renderers take.

    Attributes:
        table: the boards and rows that are shown.
        fronts: by ``place_of`` a board: its fronts, among all of its rows, shown or not.
        overviews: one a tier, over all boards of the chosen tasks; lines of hidden backbones are left out.
    """

    table: Table
    fronts: dict[tuple[str, ...], tuple[Front, ...]]
    overviews: tuple[Overview, ...]


def place_of(board: Board) -> tuple[str, ...]:
    """What tells a board from all others."""
    return (board.task, board.protocol, board.tier, board.key, board.primary)


def make_report(found: Found, choice: Choice | None = None) -> Report:
    """Group, rank, compare and choose.

    Raises:
        UnknownNameError: a task or backbone that no run has.
        RecordError: records of one board disagree about a metric's direction.
    """
    choice = choice or Choice()
    published = read_published()
    require_known(choice, found, {row.task for row in published})
    whole = build_table(found, choice.wants, published)
    shown = narrow(whole, choice)
    kept = {row.backbone for board in shown.boards for row in board.rows}
    views = [
        view._replace(lines=tuple(line for line in view.lines if line.backbone in kept))
        for view in overviews(whole.boards)
    ]
    return Report(shown, {place_of(board): fronts(board) for board in whole.boards}, tuple(views))
