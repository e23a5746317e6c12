"""Everything a leaderboard says, ready to be rendered: boards, fronts, the view over all tasks."""

from __future__ import annotations

from typing import NamedTuple

from results.leaderboard.cross_board_summary import CrossBoardSummary, summarize_boards
from results.leaderboard.filter_sort import TableFilter, filter_table, require_known_names
from results.leaderboard.pareto import ParetoFront, compute_pareto_fronts
from results.leaderboard.table import BoardKey, LeaderboardTable, build_table
from results.published.rows import read_published
from results.records.store import ScanResult


class LeaderboardReport(NamedTuple):
    """What renderers take.

    Attributes:
        table: the boards and rows that are shown.
        fronts: by ``board_key`` of a board: its fronts, among all of its rows, shown or not.
        summaries: one a tier, over all boards of the chosen tasks; lines of hidden backbones are left out.
    """

    table: LeaderboardTable
    fronts: dict[BoardKey, tuple[ParetoFront, ...]]
    summaries: tuple[CrossBoardSummary, ...]


def build_report(scan_result: ScanResult, table_filter: TableFilter | None = None) -> LeaderboardReport:
    """Group, rank, compare and choose.

    Raises:
        UnknownNameError: a task or backbone that no run has.
        RecordError: records of one board disagree about a metric's direction.
    """
    table_filter = table_filter or TableFilter()
    published = read_published()
    require_known_names(table_filter, scan_result, {row.task for row in published})
    whole = build_table(scan_result, table_filter.matches_record, published)
    shown = filter_table(whole, table_filter)
    kept = {row.backbone for board in shown.boards for row in board.rows}
    views = [
        view._replace(rows=tuple(line for line in view.rows if line.backbone in kept))
        for view in summarize_boards(whole.boards)
    ]
    return LeaderboardReport(
        shown, {board.board_key: compute_pareto_fronts(board) for board in whole.boards}, tuple(views)
    )
