"""Which boards and rows of a table are shown, and in which order.

Tasks and tiers choose whole boards; backbones and fronts only hide rows, whose ranks stay those among all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from foundation.errors import UnknownNameError
from foundation.suggest import did_you_mean
from results.leaderboard.pareto import Cost, fronts
from results.leaderboard.table import Board, Row, Table
from results.records.record import Record
from results.records.store import Found

SORTS = ("rank", "score", "backbone", "parameters", "macs", "latency", "throughput", "date")


class Choice(NamedTuple):
    """What the user asked for; empty means all.

    Attributes:
        sort: one of ``SORTS``; best, smallest or newest first, what was not measured last.
        pareto: only rows on a front of score against this cost.
    """

    tasks: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    sort: str = "rank"
    pareto: Cost | None = None

    def wants(self, record: Record) -> bool:
        """Whether a record's board is asked for."""
        return (not self.tasks or record.task in self.tasks) and (not self.tiers or record.tier in self.tiers)


def require_known(choice: Choice, found: Found, published_tasks: set[str]) -> None:
    """Refuse names that nothing bears; an empty table would look like an answer.

    Raises:
        UnknownNameError: with the nearest names.
    """
    known = {
        "task": (choice.tasks, {record.task for _, record in found.records} | published_tasks),
        "backbone": (choice.backbones, {record.backbone.name for _, record in found.records}),
    }
    for kind, (asked, names) in known.items():
        for name in asked:
            if name not in names:
                raise UnknownNameError(
                    f"no run of {kind} {name!r}{did_you_mean(name, names, hint='see: bench list runs')}"
                )


def narrow(table: Table, choice: Choice) -> Table:
    """The table with the rows that are asked for, in the order asked for.

    Published numbers that stand beside none of ours are kept for the tasks that are shown.
    """
    boards = [_narrow(board, choice) for board in table.boards]
    shown = {board.task for board in boards if board.rows} | {each.record.task for each in table.unranked}
    tasks = set(choice.tasks) or shown
    return table._replace(
        boards=tuple(board for board in boards if board.rows),
        unranked=tuple(
            each for each in table.unranked if not choice.backbones or each.record.backbone.name in choice.backbones
        ),
        context=tuple(each for each in table.context if each.published.task in tasks),
    )


def _narrow(board: Board, choice: Choice) -> Board:
    rows = list(board.rows)
    if choice.pareto:
        best = {row.run_ids for front in fronts(board) if front.cost == choice.pareto for row in front.rows}
        rows = [row for row in rows if row.run_ids in best]
    if choice.backbones:
        rows = [row for row in rows if row.backbone in choice.backbones]
    if choice.sort != "rank":
        rows.sort(key=_keys(board)[choice.sort])
    return board._replace(rows=tuple(rows))


def _keys(board: Board) -> dict[str, Callable[[Row], tuple[bool, float | str]]]:
    sign = -1 if board.higher_is_better else 1

    def last(value: float | None, sign: int = 1) -> tuple[bool, float | str]:
        return value is None, 0.0 if value is None else sign * value

    return {
        "score": lambda row: last(row.metrics[board.primary], sign),
        "backbone": lambda row: (False, row.label),
        "parameters": lambda row: last(row.cost.parameters),
        "macs": lambda row: last(row.cost.macs),
        "latency": lambda row: last(row.cost.latency_ms),
        "throughput": lambda row: last(row.cost.images_per_second, -1),
        "date": lambda row: (not row.finished, "".join(chr(0x10FFFF - ord(letter)) for letter in row.finished)),
    }
