"""Build everything that a leaderboard displays: boards, Pareto fronts and the summary over all boards."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from results.leaderboard.board_titles import BoardKey
from results.leaderboard.filter_sort import TableFilter, filter_table, require_known_names
from results.leaderboard.metric_conflict import describe_metric_conflict
from results.leaderboard.pareto import ParetoFront, compute_pareto_fronts
from results.leaderboard.summary.cross_board_summary import CrossBoardSummary, summarize_boards
from results.leaderboard.table import LeaderboardTable, build_table
from results.leaderboard.timing_index import RunTiming, iter_run_timings
from results.published.rows import read_published
from results.records.record import PRETRAINING_DOMAIN
from results.records.store import ScanResult
from results.statistics.ranking import StoredRun


class StoreFacts(NamedTuple):
    """What all records of some stores say, whatever boards are displayed.

    Attributes:
        tasks, backbones: the names that they have.
        run_timings: the timings of backbones, in the order of a scan.
    """

    tasks: Collection[str]
    backbones: Collection[str]
    run_timings: Collection[RunTiming]


def collect_store_facts(scan_result: ScanResult) -> StoreFacts:
    """Return the facts of a scan of all records."""
    return StoreFacts(
        {record.task for _, record in scan_result.records},
        {record.backbone.name for _, record in scan_result.records},
        tuple(iter_run_timings(scan_result)),
    )


class LeaderboardReport(NamedTuple):
    """The input of all renderers.

    Attributes:
        table: the boards and rows that are displayed.
        fronts: Pareto fronts by a board's ``board_key``, computed from all of its rows, hidden ones included.
        summaries: one per tier, over all boards of the chosen tasks, without the rows of hidden backbones.
        pretrainings: complete pre-trainings. They have no row, but the page shows their pictures beside the runs that
            started from their weights.
    """

    table: LeaderboardTable
    fronts: dict[BoardKey, tuple[ParetoFront, ...]]
    summaries: tuple[CrossBoardSummary, ...]
    pretrainings: tuple[StoredRun, ...] = ()


def build_report(
    scan_result: ScanResult, table_filter: TableFilter | None = None, store_facts: StoreFacts | None = None
) -> LeaderboardReport:
    """Build the boards, rank their rows, compare them with published numbers, and apply the filter.

    Args:
        scan_result: the records.
        table_filter: which boards and rows to display; by default all.
        store_facts: what all records say, if ``scan_result`` has only those of the displayed boards.

    Raises:
        UnknownNameError: the filter names a task or backbone that no run has.
    """
    table_filter = table_filter or TableFilter()
    published = read_published()
    known = collect_store_facts(scan_result) if store_facts is None else store_facts
    require_known_names(table_filter, known.tasks, known.backbones, {row.task for row in published})
    # Boards are filtered before ranking and rows after it: hiding a row must not change the ranks, fronts and means of
    # the rows that remain.
    whole = build_table(scan_result, table_filter.matches_record, published, known.run_timings)
    whole = whole._replace(
        boards=tuple(board._replace(metric_conflict=describe_metric_conflict(board)) for board in whole.boards)
    )
    shown = filter_table(whole, table_filter)
    kept = {row.backbone for board in shown.boards for row in board.rows}
    views = [
        view._replace(rows=tuple(line for line in view.rows if line.backbone in kept))
        for view in summarize_boards(whole.boards)
    ]
    return LeaderboardReport(
        shown,
        {board.board_key: compute_pareto_fronts(board) for board in whole.boards},
        tuple(views),
        tuple(
            run for run in scan_result.records if run[1].domain == PRETRAINING_DOMAIN and run[1].status == "complete"
        ),
    )
