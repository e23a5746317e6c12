"""Compare the rows of a board in pairs, for the page's view of two backbones."""

from __future__ import annotations

import shlex
from itertools import combinations
from typing import Any

from foundation.errors import RecordError, UserError
from results.leaderboard.page.budget import ByteBudget, SharedValues
from results.leaderboard.page.items import ItemReader
from results.leaderboard.table import Board, BoardRow
from results.statistics.comparison import BackboneComparison, compare_row_samples

MAX_COMPARED_ROWS = 40
"""Rows of a board up to which all pairs are compared on the page; for larger boards it names ``bench compare``."""

PAIR_BYTES = 200_000


class PairComparisons:
    """Compares rows in pairs until the limit of a page is reached.

    Attributes:
        words: the names of tests and of what an interval covers, which the pairs refer to by index.
    """

    def __init__(self, reader: ItemReader) -> None:
        self.words = SharedValues()
        self._reader = reader
        self._budget = ByteBudget(PAIR_BYTES)

    def compare_rows(self, board: Board) -> list[list[Any]] | None:
        """Return one list per pair of rows, or ``None`` if the board has too many rows or the page is full.

        Returns:
            The numbers of both rows on the board, difference, low, high, p-value, index of the test, index of what the
            interval covers, items better with the first, items better with the second, items, and whether items have
            values of their own (0: no, 1: yes, 2: pseudo-values).
        """
        if not 1 < len(board.rows) <= MAX_COMPARED_ROWS:
            return None
        samples = [self._reader.read_sample(board, row) for row in board.rows]
        pairs = []
        for one, other in combinations(range(len(board.rows)), 2):
            first, second = samples[one], samples[other]
            if first is None or second is None:
                continue
            try:
                found = compare_row_samples((board.rows[one].runs, first), (board.rows[other].runs, second))
            except (UserError, RecordError):  # other items, or another statistic: the note of the row says so
                continue
            pairs.append([one, other, *self._describe_pair(found)])
        return pairs if self._budget.take_json(pairs) else None

    def _describe_pair(self, found: BackboneComparison) -> list[Any]:
        item_values = 0 if found.num_groups else 2 if found.uses_pseudo_values else 1
        return [
            # five digits are more than the page displays
            *(float(f"{value:.5g}") for value in (found.difference, found.low, found.high, found.p_value)),
            *(self.words.index_of(found.test_name), self.words.index_of(found.resampling_unit)),
            *(len(found.better), len(found.worse), found.num_items, item_values),
        ]


def format_row_argument(row: BoardRow) -> str:
    """Return a row as an argument of ``bench compare``, quoted for a shell: ``vit_nano@random``."""
    start = row.init if row.init in ("random", "card") else row.weights_digest[:8]
    return shlex.quote(f"{row.backbone}@{start}" if start else row.backbone)
