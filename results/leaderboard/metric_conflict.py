"""Say where another metric of a board orders its rows differently than the primary one."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from foundation.array_types import FloatArray
from results.leaderboard.row_comparison import can_compare_row, compare_rows, orient_scores
from results.leaderboard.summary.rank_statistics import compute_kendall_taus
from results.leaderboard.table import Board, BoardRow, get_metrics

LOW_TAU = 0.5
"""Below this, Kendall's tau-b is worth a note: a quarter of the pairs of rows or more are in the other order."""

_MIN_ROWS = 4
"""Minimum number of rows for a note on a low tau; with fewer, one pair that changes places makes it low."""


class _Conflict(NamedTuple):
    """Two metrics that order rows differently, and the first pair that changes places."""

    tau: float
    metric: str
    num_rows: int
    changes_best: bool
    ahead: str
    behind: str


def describe_metric_conflict(board: Board) -> str:
    """Return one sentence on the metric whose order of the rows differs most from that of the primary one.

    It is worth a sentence if none of the best rows by the primary metric is also best by the other one, or if Kendall's
    tau-b of the two is below ``LOW_TAU``. Rows that share a rank are equal by the primary metric.

    Returns:
        The sentence, without a full stop; empty if the orders do not differ that much.
    """
    found = [each for name in board.other_metrics if (each := _find_conflict(board, name))]
    if not found:
        return ""
    worst = min(found)
    best = " and makes another row the best" if worst.changes_best else ""
    rest = sorted(each.metric for each in found if each != worst)
    also = f"; so do {', '.join(rest)}" if len(rest) > 1 else f"; so does {rest[0]}" if rest else ""
    return (
        f"{worst.metric} orders the rows differently than {board.primary_metric}{best} (Kendall's tau-b "
        f"{worst.tau:.2f} over {worst.num_rows} rows): {worst.ahead} is better than {worst.behind} in "
        f"{board.primary_metric} and worse in {worst.metric}{also}"
    )


def _find_conflict(board: Board, metric: str) -> _Conflict | None:
    """Return how another metric orders the rows differently, if that is worth a note."""
    rows = [row for row in board.rows if can_compare_row(row) and metric in row.metrics]
    # of all runs: the records are read from files, and an order is only known if they agree about the direction
    directions = {get_metrics(record)[metric].higher_is_better for row in rows for _, record in row.runs}
    if len(rows) < 2 or len(directions) != 1:
        return None
    higher = directions.pop()
    # best first, whatever the order in which the rows are displayed
    rows.sort(key=lambda row: (-_orient_score(row, board), row.label))
    first = compare_rows(rows, board.primary_metric, board.higher_is_better)
    oriented = np.stack(
        [orient_scores(rows, board.primary_metric, board.higher_is_better), orient_scores(rows, metric, higher)]
    )
    second = np.sign(oriented[1][:, None] - oriented[1][None, :])
    tau = float(compute_kendall_taus(oriented)[0, 1])
    changes_best = not (_find_best(first) & _find_best(second))
    swapped = np.argwhere((first > 0) & (second < 0))
    is_low = len(rows) >= _MIN_ROWS and tau < LOW_TAU
    if math.isnan(tau) or not len(swapped) or not (changes_best or is_low):
        return None
    ahead, behind = swapped[0].tolist()
    return _Conflict(tau, metric, len(rows), changes_best, rows[ahead].label, rows[behind].label)


def _orient_score(row: BoardRow, board: Board) -> float:
    return float(orient_scores([row], board.primary_metric, board.higher_is_better)[0])


def _find_best(comparisons: FloatArray) -> set[int]:
    """Return the indices of the rows that no other row beats."""
    return set(np.flatnonzero((comparisons >= 0).all(1)).tolist())
