"""Choose the rows of a board that keep within limits, and say of every other row why it is not among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from results.leaderboard.choice.artifact_size import get_artifact_bytes
from results.leaderboard.choice.cost_limits import CostLimit, LimitedCost
from results.leaderboard.table import Board, BoardRow
from results.records.record import ConfidenceInterval
from results.statistics.ranking import rank_rows


class ChosenRow(NamedTuple):
    """A row within all limits.

    Attributes:
        row: the row as it stands on its board.
        size_bytes: size of its model; ``None`` if not known.
        rank: among the chosen rows; ``None`` if it has none, for the reason in ``note``.
        tied_with: labels of the chosen rows that share the rank, so from which it does not differ significantly.
        interval: confidence interval of its score.
        note: why it has no rank, or what else a reader should know.
    """

    row: BoardRow
    size_bytes: int | None
    rank: int | None
    tied_with: tuple[str, ...]
    interval: ConfidenceInterval | None
    note: str


class LeftOutRow(NamedTuple):
    """A row that is not chosen, and why."""

    row: BoardRow
    reason: str


class BoardChoice(NamedTuple):
    """What a board answers.

    Attributes:
        board: the board.
        limits: the limits.
        setup: chip and threads of the latencies that were compared; empty without a limit of the latency.
        chosen: the rows within the limits, the best first.
        above: the rows above a limit.
        unknown: the rows of which a limited cost is not known here: not measured, measured in another setup, or while
            the machine was busy. They may be better or worse than the chosen ones.
    """

    board: Board
    limits: tuple[CostLimit, ...]
    setup: str
    chosen: tuple[ChosenRow, ...]
    above: tuple[LeftOutRow, ...]
    unknown: tuple[LeftOutRow, ...]


def choose_rows(board: Board, limits: Sequence[CostLimit], setup: str) -> BoardChoice:
    """Divide the rows of a board by limits, and rank those within them among themselves.

    The limits do not look at the scores, so the ranks among the chosen rows are as fair as those of a board.

    Args:
        board: the board, with all of its rows.
        limits: the limits, at most one of each cost.
        setup: chip and threads (``CostSummary.timing_setup``) in which latencies count.
    """
    within: list[BoardRow] = []
    above: list[LeftOutRow] = []
    unknown: list[LeftOutRow] = []
    for row in board.rows:
        excess = [text for limit in limits if (text := _describe_excess(row, limit, setup))]
        doubt = [text for limit in limits if (text := _describe_doubt(row, limit.cost, setup))]
        # a row that is certainly above one limit is out, whatever is not known about the others
        if excess:
            above.append(LeftOutRow(row, ", ".join(excess)))
        elif doubt:
            unknown.append(LeftOutRow(row, "; ".join(doubt)))
        else:
            within.append(row)
    # a setup of latencies says nothing where no latency was compared
    compared = setup if any(limit.cost == "latency" for limit in limits) else ""
    return BoardChoice(board, tuple(limits), compared, _rank_within(board, within), tuple(above), tuple(unknown))


def _rank_within(board: Board, rows: Sequence[BoardRow]) -> tuple[ChosenRow, ...]:
    # no ranks of nothing: the tests need a row
    standings = rank_rows([row.runs for row in rows], board.primary_metric, board.higher_is_better) if rows else ()
    return tuple(
        ChosenRow(
            row,
            get_artifact_bytes(row),
            standing.rank,
            tuple(rows[place].label for place in standing.tied_with),
            standing.interval,
            standing.note,
        )
        for row, standing in zip(rows, standings, strict=True)
    )


def _get_cost(row: BoardRow, cost: LimitedCost, setup: str) -> float | None:
    """Return a cost of a row; ``None`` if it is not known, or not comparable with those of the setup."""
    if cost == "latency":
        return row.cost.quiet_latency_ms if row.cost.timing_setup == setup else None
    if cost == "size":
        return get_artifact_bytes(row)
    return row.cost.macs if cost == "macs" else row.cost.parameters


def _describe_excess(row: BoardRow, limit: CostLimit, setup: str) -> str:
    value = _get_cost(row, limit.cost, setup)
    return f"{format_cost(limit.cost, value)} > {limit.text}" if value is not None and value > limit.maximum else ""


def _describe_doubt(row: BoardRow, cost: LimitedCost, setup: str) -> str:
    """Return why a cost of a row is not known here; empty if it is known."""
    if _get_cost(row, cost, setup) is not None:
        return ""
    # the reason that helps most comes first: what was never measured, then where, then how
    if cost != "latency" or row.cost.latency_ms is None:
        return f"{cost} not measured"
    if row.cost.timing_setup != setup:
        return f"timed on {row.cost.timing_setup}"
    renewal = f"; measure again when it is quiet: {row.cost.renewal}" if row.cost.renewal else ""
    return f"timed on a busy machine ({row.cost.latency_ms:.2f} ms){renewal}"


def format_cost(cost: LimitedCost, value: float | None) -> str:
    """Return a cost with its unit.

    >>> format_cost("latency", 3.25), format_cost("size", 22_870_000), format_cost("macs", None)
    ('3.25 ms', '22.9 MB', 'not measured')
    """
    if value is None:
        return "not measured"
    if cost == "latency":
        return f"{value:.2f} ms"
    unit = {"size": "B", "macs": "MACs", "parameters": "params"}[cost]
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:g} {unit}"
