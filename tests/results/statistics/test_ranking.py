from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from foundation.environment import get_cache_dir
from foundation.errors import RecordError
from foundation.files import write_atomic
from results.records.record import Record
from results.statistics import ranking
from results.statistics.ranking import StoredRun, rank_rows
from tests.fork_pool import open_fork_pool
from tests.results.make import write_digits_run

ITEMS = 1000


def right(share: float, seed: int = 0) -> list[bool]:
    """That share of the items; hard items are hard for all."""
    hard = np.random.default_rng(0).permutation(ITEMS)
    luck = np.random.default_rng(seed + 1).normal(0, 20, ITEMS)
    found = np.zeros(ITEMS, bool)
    found[np.argsort(hard + luck)[: round(share * ITEMS)]] = True
    return found.tolist()


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


def rows(tmp_path: Path, shares: dict[str, float], seeds: int = 3) -> list[list[StoredRun]]:
    return [
        [
            write_digits_run(
                tmp_path / f"{name}{seed}", name, right(share + 0.004 * (seed - seeds // 2), 10 * place + seed), seed
            )
            for seed in range(seeds)
        ]
        for place, (name, share) in enumerate(shares.items())
    ]


def test_a_tenth_of_a_point_is_a_tie_and_five_points_are_not(tmp_path: Path) -> None:
    low, high, best = rank_rows(rows(tmp_path, {"a": 0.70, "b": 0.75, "c": 0.751}), "top1", True)
    assert (low.rank, high.rank, best.rank) == (3, 1, 1)
    assert (low.tied_with, high.tied_with, best.tied_with) == ((), (2,), (1,))
    assert best.interval is not None
    assert best.interval.low < 75.1 < best.interval.high
    assert best.interval.resampling_unit == "seeds x items"


def test_a_row_of_one_seed_has_an_interval_and_no_rank(tmp_path: Path) -> None:
    """One training may be lucky, however many the items are, so 30 points between two runs are an order and no rank."""
    board = rows(tmp_path, {"a": 0.5, "b": 0.8}, 1)
    for standing in rank_rows(board, "top1", True):
        assert (standing.rank, standing.tied_with, standing.note) == (None, (), "one seed: items only")
        assert standing.interval is not None
        assert standing.interval.resampling_unit == "items only"
    assert ranking.ONE_SEED_NOTE == "one seed: items only"


def test_rows_of_several_seeds_are_ranked_among_themselves(tmp_path: Path) -> None:
    board = [*rows(tmp_path, {"a": 0.5, "b": 0.8}), *rows(tmp_path / "one", {"c": 0.9}, 1)]
    assert [(each.rank, each.note) for each in rank_rows(board, "top1", True)] == [
        (2, ""),
        (1, ""),
        (None, ranking.ONE_SEED_NOTE),
    ]


def test_rows_of_one_seed_do_not_decide_which_items_are_the_boards(tmp_path: Path) -> None:
    board = rows(tmp_path, {"a": 0.5, "b": 0.8})
    board += [[write_digits_run(tmp_path / f"short {name}", name, right(0.9)[:500])] for name in "cde"]
    found = rank_rows(board, "top1", True)
    assert [each.rank for each in found] == [2, 1, None, None, None]
    assert found[2].note == "it was scored on different items than the rest of the board"


def test_equal_rows_share_a_rank_in_any_order(tmp_path: Path) -> None:
    """A board of three rows of which two lead with the same score, and the third is resolved from one of them only."""
    board = rows(tmp_path, {"a": 0.9, "b": 0.9, "c": 0.88})
    for order in ([0, 1, 2], [1, 0, 2], [2, 1, 0], [2, 0, 1]):
        found = rank_rows([board[place] for place in order], "top1", True)
        by_name = {place: found[spot].rank for spot, place in enumerate(order)}
        assert by_name[0] == by_name[1] == 1
        assert by_name[2] in (1, 3)


def test_a_board_of_thirty_equal_rows_has_one_rank(tmp_path: Path) -> None:
    """Every row is right on 75 % but for luck; whatever the order of the rows, all share rank 1."""
    rng = np.random.default_rng(0)
    board = [
        [
            write_digits_run(tmp_path / f"{row} {seed}", f"b{row}", (rng.random(200) < 0.75).tolist(), seed)
            for seed in (0, 1)
        ]
        for row in range(30)
    ]
    for order in (range(30), reversed(range(30))):
        found = rank_rows([board[place] for place in order], "top1", True)
        assert {each.rank for each in found} == {1}
        assert all(len(each.tied_with) == 29 for each in found)


def test_lower_can_be_better(tmp_path: Path) -> None:
    turned: list[list[StoredRun]] = []
    for runs in rows(tmp_path, {"a": 0.5, "b": 0.8}):
        turned.append([])
        for folder, record in runs:
            content = record.model_dump()
            content["result"]["metrics"]["top1"]["higher_is_better"] = False
            turned[-1].append((folder, Record.model_validate(content)))
    assert [standing.rank for standing in rank_rows(turned, "top1", False)] == [1, 2]
    with pytest.raises(RecordError, match="another direction"):
        rank_rows(turned, "top1", True)


def test_a_row_without_its_file_is_not_ranked_and_keeps_its_interval(tmp_path: Path) -> None:
    board = rows(tmp_path, {"a": 0.5, "b": 0.8, "c": 0.82})
    (board[1][0][0] / "items.csv").unlink()
    first, second, third = rank_rows(board, "top1", True)
    assert (first.rank, second.rank, third.rank) == (2, None, 1)
    assert "cannot read the per-item file" in second.note
    assert second.interval is not None
    assert second.interval.resampling_unit == "seeds only"
    assert 0 <= second.interval.low < second.interval.high <= 100
    alone = rows(tmp_path / "more", {"a": 0.5}, 1)
    (alone[0][0][0] / "items.csv").unlink()
    (only,) = rank_rows(alone, "top1", True)
    result = alone[0][0][1].result
    assert result is not None
    assert only.interval == result.metrics["top1"].interval
    same = [write_digits_run(tmp_path / f"same{seed}", "a", right(0.5), seed) for seed in (0, 1)]
    for folder, _ in same:
        (folder / "items.csv").unlink()
    assert rank_rows([same], "top1", True)[0].interval is None, "equal values alone are not certainty"


def test_a_changed_value_takes_the_row_off_the_ranks(tmp_path: Path) -> None:
    board = rows(tmp_path, {"a": 0.5, "b": 0.8})
    content = board[0][0][1].model_dump()
    content["result"]["metrics"]["top1"]["value"] = 99.0
    board[0][0] = (board[0][0][0], Record.model_validate(content))
    first, second = rank_rows(board, "top1", True)
    assert first.rank is None
    assert "its items give 49.6" in first.note
    assert second.rank == 1


def test_what_was_found_is_kept_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = rows(tmp_path, {"a": 0.5, "b": 0.8})
    found = rank_rows(board, "top1", True)

    def not_again(*_: object) -> None:
        raise AssertionError("read again")

    with monkeypatch.context() as patch:
        patch.setattr(ranking, "read_item_outcomes", not_again)
        assert rank_rows(board, "top1", True) == found
        write_atomic(board[0][0][0] / "items.csv", "another")
        with pytest.raises(AssertionError, match="read again"):
            rank_rows(board, "top1", True)
    assert rank_rows(board, "top1", True)[0].rank is None


def test_a_file_edited_with_its_size_and_time_is_read_again(tmp_path: Path) -> None:
    board = rows(tmp_path, {"a": 0.5, "b": 0.8})
    assert [standing.rank for standing in rank_rows(board, "top1", True)] == [2, 1]
    table = board[0][0][0] / "items.csv"
    before, text = table.stat(), table.read_text()
    table.write_text(text.replace("0.5", "0.6", 1))
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert table.stat().st_size == before.st_size
    assert [standing.rank for standing in rank_rows(board, "top1", True)] == [None, 1]


def test_a_changed_interval_of_a_record_without_its_file_is_displayed(tmp_path: Path) -> None:
    ((folder, record),) = rows(tmp_path, {"a": 0.5}, 1)[0]
    (folder / "items.csv").unlink()
    for low in (40.0, 45.0):
        content = record.model_dump()
        interval = {"low": low, "high": 60.0, "level": 0.95, "method": "wilson", "resampling_unit": "images"}
        content["result"]["metrics"]["top1"]["interval"] = interval
        (found,) = rank_rows([[(folder, Record.model_validate(content))]], "top1", True)
        assert found.interval is not None
        assert found.interval.low == low


@pytest.mark.parametrize("text", ["", "[", "[]", '[{"rank": 1}, 2]', "{}"])
def test_a_damaged_entry_is_made_anew(tmp_path: Path, text: str) -> None:
    board = rows(tmp_path, {"a": 0.5, "b": 0.8})
    found = rank_rows(board, "top1", True)
    (entry,) = (get_cache_dir() / "statistics").iterdir()
    entry.write_text(text)
    assert rank_rows(board, "top1", True) == found


def ranks(board: list[list[StoredRun]]) -> list[int | None]:
    return [standing.rank for standing in rank_rows(board, "top1", True)]


def test_several_processes_may_rank_at_once(tmp_path: Path) -> None:
    board = rows(tmp_path, {"a": 0.5, "b": 0.8})
    with open_fork_pool(4) as pool:
        assert pool.map(ranks, [board] * 16) == [[2, 1]] * 16
    assert len(list((get_cache_dir() / "statistics").iterdir())) == 1, "nothing half-written is left"


def test_other_items_are_not_paired(tmp_path: Path) -> None:
    board = rows(tmp_path, {"a": 0.5, "b": 0.8})
    board.append([write_digits_run(tmp_path / f"short{seed}", "c", right(0.9)[:500], seed) for seed in (0, 1)])
    assert [standing.rank for standing in rank_rows(board, "top1", True)] == [2, 1, None]
    assert rank_rows(board, "top1", True)[2].note == "it was scored on different items than the rest of the board"


def test_of_two_sets_of_items_neither_is_the_boards(tmp_path: Path) -> None:
    """With one row on each, the row that comes first had rank 1 and the other was the odd one out."""
    (board,) = rows(tmp_path, {"a": 0.5})
    other = [write_digits_run(tmp_path / f"short{seed}", "c", right(0.5)[:500], seed) for seed in (0, 1)]
    for each in rank_rows([board, other], "top1", True):
        assert (each.rank, each.note) == (None, "it was scored on different items than the rest of the board")
        assert each.interval is not None


def test_a_noisy_row_names_the_better_rank_it_is_not_resolved_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = rows(tmp_path, {"a": 0.9, "b": 0.8, "c": 0.79})
    p = np.array([[1.0, 0.001, 0.5], [0.001, 1.0, 0.9], [0.5, 0.9, 1.0]])
    monkeypatch.setattr(ranking, "compute_pairwise_p_values", lambda _: p)
    first, second, third = rank_rows(board, "top1", True)
    assert (first.rank, second.rank, third.rank) == (1, 2, 2)
    assert (second.note, third.note) == ("", "the difference from the best row of rank 1 is not significant either")


def test_no_rows() -> None:
    assert rank_rows([], "top1", True) == ()
