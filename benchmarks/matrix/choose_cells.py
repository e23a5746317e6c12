"""Choose which cells of a plan to run within a budget of hours: those first that tell most per hour.

The rule:

1. Cells that are unfinished come first: a part of them is paid for.
2. Then the first seed of every leaderboard row that has no score yet.
3. Then further seeds of rows that are not settled: rows that share their rank with another row, rows without a rank
   (a single seed has none), rows that this plan begins, and rows on a Pareto front of score against cost.
4. Then further seeds of the other rows.
5. Within each group, what a cell tells divided by the hours that are left of it decides. The mean of n seeds of
   variance s^2 has the variance s^2 / n, so one more seed tells s^2 (1/n - 1/(n + 1)): cheap cells and rows of few
   seeds come first.

A cell that no longer fits into the budget is passed over for a cheaper one. A cell of unknown duration is never chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from benchmarks.matrix.cell_states import RowKey
from benchmarks.matrix.plan_cells import FeatureKey, PlannedCell
from results.leaderboard.report import LeaderboardReport
from results.leaderboard.table import BoardRow

_MIN_SECONDS = 1.0
"""Durations below this count as this long, so that a cell of 0.01 s does not tell a hundred times as much per hour."""


class _Rank(NamedTuple):
    """Place of a cell in the order of choice: the group, then minus what it tells per hour, then its place."""

    group: int
    minus_gain: float
    place: int


def choose_cells(
    planned: Sequence[PlannedCell], budget_hours: float, report: LeaderboardReport | None = None
) -> list[PlannedCell]:
    """Choose the cells that tell most per hour, until the budget is spent; the module's docstring has the rule.

    Args:
        planned: the cells of a plan; those that are done or impossible are never chosen.
        budget_hours: hours of computing, summed over the cells.
        report: the leaderboard of the records at hand; ``None`` if there are none.

    Returns:
        The cells in the order in which they should run, with ``estimated_seconds`` in this order.
    """
    seeds, unsettled = _count_seeds(report), _find_unsettled_rows(report)
    left, paid = budget_hours * 3600, set[FeatureKey]()
    chosen = []
    for place in _order_cells(planned, seeds, unsettled):
        cell = planned[place]
        seconds = _get_remaining_seconds(cell, paid)
        if seconds is None or seconds > left:
            continue
        left -= seconds
        paid |= set(cell.shared_features.values())
        chosen.append(replace(cell, estimated_seconds=seconds))
    return chosen


def _order_cells(planned: Sequence[PlannedCell], seeds: Counter[RowKey], unsettled: set[RowKey]) -> list[int]:
    """Return the places of the cells that need a run, in the order of choice."""
    counts, ranks = Counter(seeds), list[_Rank]()
    for place, cell in enumerate(planned):
        if not cell.needs_run or cell.row is None or cell.estimate.seconds is None:
            continue
        before = counts[cell.row]
        counts[cell.row] += 1
        if cell.state == "unfinished":
            group = 0
        elif before == 0:
            group = 1
        else:
            # a row that this plan begins has no rank yet
            group = 2 if cell.row in unsettled or seeds[cell.row] == 0 else 3
        gain = 1.0 if before == 0 else 1 / before - 1 / (before + 1)
        left = cell.estimate.seconds * (1 - cell.progress)
        ranks.append(_Rank(group, -gain / max(_MIN_SECONDS, left), place))
    return [rank.place for rank in sorted(ranks)]


def _get_remaining_seconds(cell: PlannedCell, paid: set[FeatureKey]) -> float | None:
    if cell.estimate.seconds is None:
        return None
    spared = [
        spent for split, spent in cell.estimate.feature_seconds.items() if cell.shared_features[split].is_paid(paid)
    ]
    return max(0.0, cell.estimate.seconds - sum(spared)) * (1 - cell.progress)


def _count_seeds(report: LeaderboardReport | None) -> Counter[RowKey]:
    boards = report.table.boards if report is not None else ()
    return Counter({_make_row_key(row): len(row.seeds) for board in boards for row in board.rows})


def _find_unsettled_rows(report: LeaderboardReport | None) -> set[RowKey]:
    """Return the rows for which another seed may change what a reader concludes."""
    if report is None:
        return set()
    rows = [row for board in report.table.boards for row in board.rows if row.rank is None or row.tied_with]
    rows += [row for fronts in report.fronts.values() for front in fronts for row in front.rows]
    return {_make_row_key(row) for row in rows}


def _make_row_key(row: BoardRow) -> RowKey:
    record = row.runs[0][1]
    return RowKey(record.comparability, record.backbone.name, record.backbone.init, record.start_sha256)
