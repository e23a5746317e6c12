"""Pareto fronts: the rows of a board that no other row dominates in score and cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

from results.leaderboard.table import Board, BoardRow

CostName = Literal["parameters", "macs", "latency"]
COST_LABELS: dict[CostName, str] = {"parameters": "parameters", "macs": "MACs", "latency": "ms per image"}
"""The costs with their display names. Lower is better for each of them."""


class ParetoFront(NamedTuple):
    """The Pareto front of a board for one cost.

    Attributes:
        cost: a key of ``COST_LABELS``.
        timing_setup: where and how the latency was measured; empty for other costs. Latencies that were measured on
            different devices or runtimes are never on one front.
        rows: the rows on the front, cheapest first.
        num_measured: number of rows of the board for which the cost was measured, in this setup and on a quiet machine.
        num_busy: number of rows that are left off because the machine was busy while their latency was taken.
        num_other_setups: number of rows that are left off because their latency is of another setup.
    """

    cost: CostName
    timing_setup: str
    rows: tuple[BoardRow, ...]
    num_measured: int
    num_busy: int = 0
    num_other_setups: int = 0


def get_row_cost(row: BoardRow, cost: CostName) -> float | None:
    """Return a cost of a row, or ``None`` if it was not measured, or while the machine was busy with something else."""
    return {"parameters": row.cost.parameters, "macs": row.cost.macs, "latency": row.cost.quiet_latency_ms}[cost]


def find_pareto_indices(points: Sequence[tuple[float, float]], higher_is_better: bool) -> list[int]:
    """Return the indices of the points (cost, score) that no other point dominates, cheapest first.

    A point dominates another one if its cost is not higher, its score is not worse, and one of the two is better.
    Equal points do not dominate each other.

    >>> find_pareto_indices([(1.0, 50.0), (2.0, 60.0), (3.0, 60.0), (4.0, 70.0)], True)
    [0, 1, 3]
    """
    # Sorted by cost, then best score first, a point is on the front exactly if it beats the best score so far, which is
    # that of the last point kept.
    sign = 1 if higher_is_better else -1
    kept: list[int] = []
    for place in sorted(range(len(points)), key=lambda i: (points[i][0], -sign * points[i][1], i)):
        if not kept or sign * points[place][1] > sign * points[kept[-1]][1] or points[place] == points[kept[-1]]:
            kept.append(place)
    return kept


def compute_pareto_fronts(board: Board) -> tuple[ParetoFront, ...]:
    """Return the fronts of a board: one per cost, and for latency one per timing setup; none without measurements."""
    found = []
    for cost in COST_LABELS:
        # rows grouped by timing setup; parameters and MACs do not depend on it, so they form one group
        places: dict[str, list[tuple[float, BoardRow]]] = defaultdict(list)
        for row in board.rows:
            if (value := get_row_cost(row, cost)) is not None:
                places[row.cost.timing_setup if cost == "latency" else ""].append((value, row))
        total = sum(map(len, places.values()))
        num_busy = sum(row.cost.is_busy for row in board.rows) if cost == "latency" else 0
        for where, measured in sorted(places.items()):
            points = [(value, row.metrics[board.primary_metric]) for value, row in measured]
            best = tuple(measured[place][1] for place in find_pareto_indices(points, board.higher_is_better))
            found.append(ParetoFront(cost, where, best, len(measured), num_busy, total - len(measured)))
    return tuple(found)
