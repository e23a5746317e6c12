"""Filter and sort the boards and rows of a table for display.

Tasks and tiers select entire boards. Backbones and Pareto fronts only hide rows; the ranks of the other rows stay the
ranks among all rows of the board.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from foundation.errors import UnknownNameError
from foundation.suggest import did_you_mean
from results.leaderboard.pareto import COST_LABELS, CostName, compute_pareto_fronts
from results.leaderboard.table import Board, BoardRow, LeaderboardTable
from results.records.record import Record

SORT_KEYS = ("rank", "score", "backbone", "parameters", "macs", "latency", "throughput", "date")


class TableFilter(NamedTuple):
    """What to display; an empty field means everything.

    Attributes:
        tasks: only boards of these tasks.
        backbones: only rows of these backbones.
        tiers: only boards of these tiers.
        sort_key: one of ``SORT_KEYS``. The best, smallest or newest row comes first, rows without a value come last.
            Times are sorted within their setup, because those of two machines cannot be compared.
        pareto_cost: only rows on the Pareto front of score and this cost.
    """

    tasks: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    sort_key: str = "rank"
    pareto_cost: CostName | None = None

    def matches_record(self, record: Record) -> bool:
        """Return whether the board of a record is requested."""
        return self.matches_board(record.task, record.tier)

    def matches_board(self, task: str, tier: str) -> bool:
        """Return whether boards of a task and tier are requested."""
        return (not self.tasks or task in self.tasks) and (not self.tiers or tier in self.tiers)


def require_known_names(
    table_filter: TableFilter, tasks: Collection[str], backbones: Collection[str], published_tasks: Collection[str]
) -> None:
    """Refuse requested tasks and backbones that do not exist; an empty table would look like an answer.

    Args:
        table_filter: the requested names.
        tasks, backbones: the names that the records have.
        published_tasks: tasks with published numbers; they are known even without a run.

    Raises:
        UnknownNameError: a name is unknown. The message has the most similar known names.
    """
    known = {
        "task": (table_filter.tasks, {*tasks, *published_tasks}),
        "backbone": (table_filter.backbones, backbones),
    }
    for kind, (asked, names) in known.items():
        for name in asked:
            if name not in names:
                raise UnknownNameError(
                    f"no run of {kind} {name!r}{did_you_mean(name, names, hint='see: bench list runs')}"
                )


def filter_table(table: LeaderboardTable, table_filter: TableFilter) -> LeaderboardTable:
    """Return the table with the requested rows in the requested order.

    Of the published numbers without a comparable run, those of the displayed tasks remain. A warning names each board
    of which no row is displayed, because none has a cost that can be compared.
    """
    cost = table_filter.pareto_cost
    frontless = [
        f"{board.title}: no row has a cost to compare ({COST_LABELS[cost]}: not measured, or on a busy machine only)"
        for board in table.boards
        if cost and all(front.cost != cost for front in compute_pareto_fronts(board))
    ]
    boards = [_filter_board(board, table_filter) for board in table.boards]
    shown = {board.task for board in boards if board.rows} | {each.record.task for each in table.unranked}
    # a requested task shows its published numbers even if no run of it exists yet
    tasks = set(table_filter.tasks) or shown
    return table._replace(
        boards=tuple(board for board in boards if board.rows),
        unranked=tuple(
            each
            for each in table.unranked
            if not table_filter.backbones or each.record.backbone.name in table_filter.backbones
        ),
        unmatched=tuple(each for each in table.unmatched if each.published.task in tasks),
        warnings=(*table.warnings, *frontless),
    )


def _filter_board(board: Board, table_filter: TableFilter) -> Board:
    rows = list(board.rows)
    if table_filter.pareto_cost:
        # the front is computed before any row is hidden; for latency, a row is kept if it is on any setup's front
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


def _sort_key_functions(board: Board) -> dict[str, Callable[[BoardRow], tuple[bool, str, float | str]]]:
    """Return the key function of each sort order except ``rank``. Keys start with whether the value is missing."""
    sign = -1 if board.higher_is_better else 1

    def last(value: float | None, sign: int = 1, setup: str = "") -> tuple[bool, str, float | str]:
        return value is None, setup, 0.0 if value is None else sign * value

    return {
        "score": lambda row: last(row.metrics[board.primary_metric], sign),
        "backbone": lambda row: (False, "", row.label),
        "parameters": lambda row: last(row.cost.parameters),
        "macs": lambda row: last(row.cost.macs),
        # a time of a busy machine is no time to sort by
        "latency": lambda row: last(row.cost.quiet_latency_ms, setup=row.cost.timing_setup),
        "throughput": lambda row: last(
            None if row.cost.is_throughput_busy else row.cost.images_per_second, -1, row.cost.timing_setup
        ),
        # newest first: ISO dates are text, which has no minus sign, so each letter is replaced by its complement
        "date": lambda row: (not row.finished_at, "", "".join(chr(0x10FFFF - ord(sign)) for sign in row.finished_at)),
    }
