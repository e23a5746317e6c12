"""Find the largest complete block of a table with missing cells: rows that all have a score on all of its boards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

MIN_ROWS = 2
MIN_TASKS = 2

MAX_CHECKS = 120_000
"""Maximum number of sets of rows that are kept, times the number of boards.

n boards or n rows have fewer than 2^n sets, so the search is exhaustive for up to 13 boards, for up to 10 rows and 100
boards, and for larger tables with few patterns of missing cells. 500 rows x 100 boards take about a second.
"""


class CompleteBlock(NamedTuple):
    """Rows and boards without a missing cell, as indices in ascending order.

    Attributes:
        is_largest: whether all candidates were tried; otherwise a larger block may exist.
    """

    rows: tuple[int, ...]
    boards: tuple[int, ...]
    is_largest: bool


class _Candidate(NamedTuple):
    """A set of rows with all boards that these rows share, in the order of preference: the smallest is the best."""

    minus_cells: int
    minus_tasks: int
    minus_rows: int
    boards: tuple[int, ...]
    rows: int


def find_largest_block(present: Sequence[Sequence[bool]], tasks: Sequence[str]) -> CompleteBlock | None:
    """Return the complete block with the most cells that has 2 or more rows and boards of 2 or more tasks.

    Of several blocks with the same number of cells, the one with more tasks is taken, then the one with more rows,
    then the one whose boards come first. The rows of a best block are all rows that have all of its boards, so the
    candidates are the intersections of the sets of rows of the boards. They are built board by board. If there are
    more than ``MAX_CHECKS`` allows, those with the most cells are kept (a beam search).

    Args:
        present: whether a row has a score on a board, (rows, boards).
        tasks: the task of each board.

    Returns:
        The block, or ``None`` if there is none.
    """
    # the rows of a board as the bits of a number: an intersection is then one operation
    columns = [sum(1 << row for row, line in enumerate(present) if line[board]) for board in range(len(tasks))]
    candidates: dict[int, _Candidate] = {}
    best: _Candidate | None = None
    is_largest, limit = True, MAX_CHECKS // max(1, len(tasks))
    # boards with many rows first: large blocks are then found early and rule out more candidates
    for column in sorted(columns, key=int.bit_count, reverse=True):
        # rows can only be lost by further intersections, so sets of fewer rows lead nowhere
        found = {column & rows for rows in candidates} | {column}
        new = [rows for rows in found if rows.bit_count() >= MIN_ROWS and rows not in candidates]
        candidates |= {rows: _build_candidate(rows, columns, tasks) for rows in new}
        allowed = [candidates[rows] for rows in new if -candidates[rows].minus_tasks >= MIN_TASKS]
        best = min([*allowed, *([best] if best else [])], default=None)
        if best:  # further intersections have fewer rows, and no set has more boards than there are
            needed = -best.minus_cells
            candidates = {r: each for r, each in candidates.items() if -each.minus_rows * len(tasks) >= needed}
        if len(candidates) > limit:
            is_largest = False
            candidates = {each.rows: each for each in sorted(candidates.values())[:limit]}
    if best is None:
        return None
    rows = tuple(row for row in range(len(present)) if best.rows >> row & 1)
    return CompleteBlock(rows, best.boards, is_largest)


def _build_candidate(rows: int, columns: Sequence[int], tasks: Sequence[str]) -> _Candidate:
    boards = tuple(board for board, column in enumerate(columns) if column & rows == rows)
    count = rows.bit_count()
    return _Candidate(-count * len(boards), -len({tasks[board] for board in boards}), -count, boards, rows)
