"""Which boards and rows of a table are shown, and in which order.

Tasks and tiers choose whole boards; backbones and fronts only hide rows, whose ranks stay those among all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from foundation.errors import UnknownNameError
from foundation.suggest import did_you_mean
from results.leaderboard.pareto import CostName, compute_pareto_fronts
from results.leaderboard.table import Board, BoardRow, LeaderboardTable
from results.records.record import Record
from results.records.store import ScanResult

SORT_KEYS = ("rank", "score", "backbone", "parameters", "macs", "latency", "throughput", "date")


class TableFilter(NamedTuple):
    """What the user asked for; empty means all.

    Attributes:
        sort_key: one of ``SORT_KEYS``; best, smallest or newest first, what was not measured last.
        pareto_cost: only rows on a front of score against this cost.
    """

    tasks: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    sort_key: str = "rank"
    pareto_cost: CostName | None = None

    def matches_record(self, record: Record) -> bool:
        """Whether a record's board is asked for."""
        return (not self.tasks or record.task in self.tasks) and (not self.tiers or record.tier in self.tiers)


def require_known_names(table_filter: TableFilter, scan_result: ScanResult, published_tasks: set[str]) -> None:
    """Refuse names that nothing bears; an empty table would look like an answer.

    Raises:
        UnknownNameError: with the nearest names.
    """
    known = {
        "task": (table_filter.tasks, {record.task for _, record in scan_result.records} | published_tasks),
        "backbone": (table_filter.backbones, {record.backbone.name for _, record in scan_result.records}),
    }
    for kind, (asked, names) in known.items():
        for name in asked:
            if name not in names:
                raise UnknownNameError(
                    f"no run of {kind} {name!r}{did_you_mean(name, names, hint='see: bench list runs')}"
                )


def filter_table(table: LeaderboardTable, table_filter: TableFilter) -> LeaderboardTable:
    """The table with the rows that are asked for, in the order asked for.

    Published numbers that stand beside none of ours are kept for the tasks that are shown.
    """
    boards = [_filter_board(board, table_filter) for board in table.boards]
    shown = {board.task for board in boards if board.rows} | {each.record.task for each in table.unranked}
    tasks = set(table_filter.tasks) or shown
    return table._replace(
        boards=tuple(board for board in boards if board.rows),
        unranked=tuple(
            each
            for each in table.unranked
            if not table_filter.backbones or each.record.backbone.name in table_filter.backbones
        ),
        unmatched=tuple(each for each in table.unmatched if each.published.task in tasks),
    )


def _filter_board(board: Board, table_filter: TableFilter) -> Board:
    rows = list(board.rows)
    if table_filter.pareto_cost:
        best = {
            row.run_ids
            for front in compute_pareto_fronts(board)
            if front.cost == table_filter.pareto_cost
            for row in front.rows
        }
        rows = [row for row in rows if row.run_ids in best]
    if table_filter.backbones:
        rows = [row for row in rows if row.backbone in table_filter.backbones]
    if table_filter.sort_key != "rank":
        rows.sort(key=_sort_key_functions(board)[table_filter.sort_key])
    return board._replace(rows=tuple(rows))


def _sort_key_functions(board: Board) -> dict[str, Callable[[BoardRow], tuple[bool, float | str]]]:
    sign = -1 if board.higher_is_better else 1

    def last(value: float | None, sign: int = 1) -> tuple[bool, float | str]:
        return value is None, 0.0 if value is None else sign * value

    return {
        "score": lambda row: last(row.metrics[board.primary_metric], sign),
        "backbone": lambda row: (False, row.label),
        "parameters": lambda row: last(row.cost.parameters),
        "macs": lambda row: last(row.cost.macs),
        "latency": lambda row: last(row.cost.latency_ms),
        "throughput": lambda row: last(row.cost.images_per_second, -1),
        "date": lambda row: (not row.finished_at, "".join(chr(0x10FFFF - ord(letter)) for letter in row.finished_at)),
    }
