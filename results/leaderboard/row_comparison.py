"""Compare the rows of one board in pairs: by their ranks, or by their scores where one seed gives no rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foundation.array_types import FloatArray
from results.leaderboard.table import BoardRow
from results.statistics.ranking import ONE_SEED_NOTE


def can_compare_row(row: BoardRow) -> bool:
    """Return whether a row may be compared with the others of its board.

    A row has no rank either because it has one seed, or because its board could not rank it: it was scored on other
    items, or its items cannot be read. In the second case its score says nothing about the other rows.
    """
    return row.rank is not None or row.note.startswith(ONE_SEED_NOTE)


def compare_rows(rows: Sequence[BoardRow], metric: str, higher_is_better: bool) -> FloatArray:
    """Return which row of a board is better in each pair.

    Two rows with ranks are compared by them, so rows that share a rank are equal. In all other pairs the scores decide,
    and equal scores are equal.

    Returns:
        1 where the row of the first index is better, -1 where it is worse, 0 where the two are equal, (rows, rows).
    """
    scores = orient_scores(rows, metric, higher_is_better)
    found = scores[:, None] - scores
    ranked = [place for place, row in enumerate(rows) if row.rank is not None]
    ranks: FloatArray = np.array([rows[place].rank for place in ranked], dtype=float)
    if ranked:
        found[np.ix_(ranked, ranked)] = ranks - ranks[:, None]  # rank 1 is the best
    return np.sign(found, out=found)


def orient_scores(rows: Sequence[BoardRow], metric: str, higher_is_better: bool) -> FloatArray:
    """Return a metric of each row, multiplied by -1 where lower is better, (rows,)."""
    return np.array([row.metrics[metric] for row in rows]) * (1 if higher_is_better else -1)
