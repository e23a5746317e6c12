from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from results.leaderboard.summary import complete_block
from results.leaderboard.summary.complete_block import CompleteBlock, find_largest_block


def search_all(present: np.ndarray, tasks: list[str]) -> CompleteBlock | None:
    """Try all sets of boards."""
    num_rows, num_boards = present.shape
    found = []
    for size in range(2, num_boards + 1):
        for boards in combinations(range(num_boards), size):
            rows = tuple(row for row in range(num_rows) if present[row, list(boards)].all())
            own = len({tasks[board] for board in boards})
            if len(rows) >= 2 and own >= 2:
                found.append((-len(rows) * size, -own, -len(rows), boards, rows))
    return CompleteBlock(min(found)[4], min(found)[3], True) if found else None


def test_it_is_the_best_of_all_blocks() -> None:
    rng = np.random.default_rng(3)
    for _ in range(150):
        rows, boards = rng.integers(1, 9, 2)
        present = rng.random((rows, boards)) < rng.uniform(0.2, 0.95)
        tasks = [f"t{number}" for number in rng.integers(0, 4, boards)]
        assert find_largest_block(present.tolist(), tasks) == search_all(present, tasks)


def test_a_block_has_two_rows_and_two_tasks() -> None:
    assert find_largest_block([[True, True], [True, True]], ["t", "t"]) is None
    assert find_largest_block([[True, True]], ["t", "u"]) is None
    assert find_largest_block([], ["t", "u"]) is None
    assert find_largest_block([[True, False], [False, True]], ["t", "u"]) is None
    assert find_largest_block([[True, True], [True, True]], ["t", "u"]) == CompleteBlock((0, 1), (0, 1), True)


def test_equal_sizes_are_decided_by_tasks_then_rows_then_boards() -> None:
    # 3 rows x 2 boards against 2 rows x 3 boards
    present = [[True, True, True], [True, True, True], [True, True, False]]
    assert find_largest_block(present, ["t", "u", "v"]) == CompleteBlock((0, 1), (0, 1, 2), True)
    assert find_largest_block(present, ["t", "u", "u"]) == CompleteBlock((0, 1, 2), (0, 1), True)
    two = [[True, True, False, False]] * 2 + [[False, False, True, True]] * 2
    assert find_largest_block(two, ["t", "u", "v", "w"]) == CompleteBlock((0, 1), (0, 1), True)


def test_a_search_that_is_cut_says_so_and_stays_close(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    present = rng.random((40, 12)) < 0.7
    tasks = [f"t{number % 6}" for number in range(12)]
    whole = search_all(present, tasks)
    monkeypatch.setattr(complete_block, "MAX_CHECKS", 12 * 20)
    cut = find_largest_block(present.tolist(), tasks)
    assert whole is not None and cut is not None
    assert not cut.is_largest
    assert present[np.ix_(cut.rows, cut.boards)].all()
    assert len(cut.rows) * len(cut.boards) >= 0.8 * len(whole.rows) * len(whole.boards)
