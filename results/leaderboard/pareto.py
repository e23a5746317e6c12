"""Pareto fronts: the rows of a board that no other row beats in score and in cost at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

from results.leaderboard.table import Board, BoardRow

CostName = Literal["parameters", "macs", "latency"]
COST_LABELS: dict[CostName, str] = {"parameters": "parameters", "macs": "MACs", "latency": "ms per image"}
"""What a score is held against, with its name for people; less is better of each."""


class ParetoFront(NamedTuple):
    """A board's front against one cost.

    Attributes:
        cost: a key of ``COST_LABELS``.
        timing_setup: of the times (latency only: times of different places are never on one front).
        rows: cheapest first.
        num_measured: rows of the board that took part.
    """

    cost: CostName
    timing_setup: str
    rows: tuple[BoardRow, ...]
    num_measured: int


def get_row_cost(row: BoardRow, cost: CostName) -> float | None:
    """A row's cost, or ``None`` where it was not measured."""
    return {"parameters": row.cost.parameters, "macs": row.cost.macs, "latency": row.cost.latency_ms}[cost]


def find_pareto_indices(points: Sequence[tuple[float, float]], higher_is_better: bool) -> list[int]:
    """The places of the points (cost, score) that no other beats, cheapest first; equals stand together.

    A point is beaten by one that costs no more and scores no worse, and is better in one of the two.

    >>> find_pareto_indices([(1.0, 50.0), (2.0, 60.0), (3.0, 60.0), (4.0, 70.0)], True)
    [0, 1, 3]
    """
    sign = 1 if higher_is_better else -1
    kept: list[int] = []
    for place in sorted(range(len(points)), key=lambda i: (points[i][0], -sign * points[i][1], i)):
        if not kept or sign * points[place][1] > sign * points[kept[-1]][1] or points[place] == points[kept[-1]]:
            kept.append(place)
    return kept


def compute_pareto_fronts(board: Board) -> tuple[ParetoFront, ...]:
    """A board's fronts; one a cost, for latency one a place of measurement; none where nothing was measured."""
    found = []
    for cost in COST_LABELS:
        places: dict[str, list[tuple[float, BoardRow]]] = defaultdict(list)
        for row in board.rows:
            if (value := get_row_cost(row, cost)) is not None:
                places[row.cost.timing_setup if cost == "latency" else ""].append((value, row))
        for where, measured in sorted(places.items()):
            points = [(value, row.metrics[board.primary_metric]) for value, row in measured]
            best = tuple(measured[place][1] for place in find_pareto_indices(points, board.higher_is_better))
            found.append(ParetoFront(cost, where, best, len(measured)))
    return tuple(found)
