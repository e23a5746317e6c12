"""Pareto fronts: the rows of a board that no other row beats in score and in cost at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

from results.leaderboard.table import Board, Row

Cost = Literal["parameters", "macs", "latency"]
COSTS: dict[Cost, str] = {"parameters": "parameters", "macs": "MACs", "latency": "ms per image"}
"""What a score is held against, with its name for people; less is better of each."""


class Front(NamedTuple):
    """A board's front against one cost.

    Attributes:
        cost: a key of ``COSTS``.
        where: of the times (latency only: times of different places are never on one front).
        rows: cheapest first.
        measured: rows of the board that took part.
    """

    cost: Cost
    where: str
    rows: tuple[Row, ...]
    measured: int


def cost_of(row: Row, cost: Cost) -> float | None:
    """A row's cost, or ``None`` where it was not measured."""
    return {"parameters": row.cost.parameters, "macs": row.cost.macs, "latency": row.cost.latency_ms}[cost]


def front(points: Sequence[tuple[float, float]], higher_is_better: bool) -> list[int]:
    """The places of the points (cost, score) that no other beats, cheapest first; equals stand together.

    A point is beaten by one that costs no more and scores no worse, and is better in one of the two.

    >>> front([(1.0, 50.0), (2.0, 60.0), (3.0, 60.0), (4.0, 70.0)], True)
    [0, 1, 3]
    """
    sign = 1 if higher_is_better else -1
    kept: list[int] = []
    for place in sorted(range(len(points)), key=lambda i: (points[i][0], -sign * points[i][1], i)):
        if not kept or sign * points[place][1] > sign * points[kept[-1]][1] or points[place] == points[kept[-1]]:
            kept.append(place)
    return kept


def fronts(board: Board) -> tuple[Front, ...]:
    """A board's fronts; one a cost, for latency one a place of measurement; none where nothing was measured."""
    found = []
    for cost in COSTS:
        places: dict[str, list[tuple[float, Row]]] = defaultdict(list)
        for row in board.rows:
            if (value := cost_of(row, cost)) is not None:
                places[row.cost.where if cost == "latency" else ""].append((value, row))
        for where, measured in sorted(places.items()):
            points = [(value, row.metrics[board.primary]) for value, row in measured]
            best = tuple(measured[place][1] for place in front(points, board.higher_is_better))
            found.append(Front(cost, where, best, len(measured)))
    return tuple(found)
