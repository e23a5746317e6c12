from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from results.leaderboard.filter_sort import TableFilter
from results.leaderboard.report import build_report
from results.leaderboard.summary.cross_board_summary import CrossBoardSummary, SummaryRow, summarize_boards
from results.leaderboard.table import Board, build_table
from results.records.record import Record
from results.records.store import scan_runs
from tests.results.make import make_backbone_record, make_scan, write_run
from tests.results.make_boards import make_board


def boards(*records: Record) -> list[Board]:
    return list(build_table(make_scan(*records), published=()).boards)


def on(task: str, name: str, value: float, **changes: Any) -> Record:
    return make_backbone_record(name, value, f"{task}{name}{changes}", task=task, comparability=task, **changes)


def summarize(*made: Board) -> CrossBoardSummary:
    (summary,) = summarize_boards(made)
    return summary


def rows_of(summary: CrossBoardSummary) -> dict[str, SummaryRow]:
    return {row.backbone: row for row in summary.rows}


def mean_ranks(summary: CrossBoardSummary) -> dict[str, float | None]:
    return {row.backbone: row.mean_rank for row in summary.rows}


def test_missing_cells_by_hand() -> None:
    """Rows a, b and c are on all of three tasks; d is the best of one board of six, which once made it the first."""
    full = {"a": 90.0, "b": 80.0, "c": 70.0}
    summary = summarize(
        make_board("t", full | {"d": 99.0}),
        make_board("u", full),
        make_board("v", {"a": 1.0, "b": 2.0, "c": 3.0}),
        make_board("w", {"a": 5.0, "e": 4.0}),
    )
    block, rows = summary.block, rows_of(summary)
    assert block is not None
    assert (block.boards, block.tasks, block.num_rows, block.is_largest) == ((0, 1, 2), ("t", "u", "v"), 3, True)
    assert [row.backbone for row in summary.rows] == ["a", "b", "c", "d", "e"]
    assert mean_ranks(summary) == {"a": pytest.approx(5 / 3), "b": 2.0, "c": pytest.approx(7 / 3), "d": None, "e": None}
    assert (rows["d"].num_missing, rows["d"].num_missing_in_block) == (3, 2)
    assert rows["e"].num_missing_in_block == 3
    # a: against b and c on three tasks 4 of 6, against d 0 of 1, against e 1 of 1
    assert (rows["a"].win_rate, rows["a"].num_comparisons) == (pytest.approx(5 / 8), 8)
    assert (rows["d"].win_rate, rows["d"].num_comparisons) == (1.0, 3)
    assert (rows["e"].win_rate, rows["e"].num_comparisons) == (0.0, 1)
    assert block.friedman is not None
    assert block.friedman.statistic == pytest.approx(stats.friedmanchisquare([1, 1, 3], [2, 2, 2], [3, 3, 1]).statistic)
    assert all(rows[name].is_near_best for name in "abc") and not rows["d"].is_near_best


def test_rows_that_never_met_are_not_ordered() -> None:
    summary = summarize(make_board("t", {"a": 9.0, "b": 1.0}), make_board("u", {"c": 5.0, "d": 4.0}))
    assert summary.block is None
    assert set(mean_ranks(summary).values()) == {None}
    assert [row.backbone for row in summary.rows] == ["a", "b", "c", "d"], "by name, which says nothing"
    assert {row.backbone: row.win_rate for row in summary.rows} == {"a": 1.0, "b": 0.0, "c": 1.0, "d": 0.0}


def test_tied_rows_share_everything() -> None:
    same = {"a": 90.0, "b": 80.0, "c": 70.0}
    summary = summarize(*(make_board(task, same, dict.fromkeys(same, 1)) for task in "tuv"))
    assert set(mean_ranks(summary).values()) == {2.0}
    assert {row.win_rate for row in summary.rows} == {0.5}
    assert summary.block is not None and summary.block.friedman is not None
    assert summary.block.friedman.p_value == 1.0
    assert summary.block.num_seed_ordered == 0


def test_ranks_beat_scores_and_scores_serve_where_there_are_none() -> None:
    ranked = make_board("t", {"a": 90.0, "b": 80.0, "c": 70.0}, {"a": 1, "b": 1, "c": 3})
    single = make_board("u", {"a": 50.0, "b": 50.0, "c": 60.0})
    summary = summarize(ranked, single)
    assert mean_ranks(summary) == {"a": (1.5 + 2.5) / 2, "b": (1.5 + 2.5) / 2, "c": (3 + 1) / 2}
    assert summary.block is not None and summary.block.num_seed_ordered == 1
    # one row of one seed on a board with ranks: it is placed by its score, the others keep their tie
    mixed = summarize(ranked, make_board("u", {"a": 3.0, "b": 2.0, "c": 5.0}, {"c": 1}), single._replace(task="v"))
    assert rows_of(mixed)["a"].cells[1] == (3.0, None, True, 2.0)


def test_settings_of_one_task_count_once() -> None:
    four = [make_board("digits", {"a": 2.0, "b": 1.0}, protocol=f"p{number}") for number in range(4)]
    summary = summarize(*four, make_board("cifar", {"a": 1.0, "b": 2.0}))
    assert mean_ranks(summary) == {"a": 1.5, "b": 1.5}
    assert {(row.win_rate, row.num_comparisons) for row in summary.rows} == {(0.5, 2)}
    assert summarize(*four).block is None, "four settings of one task are one task"


def test_lower_is_better_turns_the_order() -> None:
    summary = summarize(
        *(make_board(task, {"a": 10.0, "b": 20.0, "c": 30.0, "d": 40.0}, higher_is_better=False) for task in "tu"),
        make_board("v", {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}),
    )
    assert mean_ranks(summary) == {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    assert [each.tau for each in summary.agreements] == [1.0, 1.0, 1.0]


def test_a_row_that_its_board_could_not_rank_takes_no_part() -> None:
    odd = make_board("t", {"a": 99.0, "b": 2.0, "c": 1.0}, notes={"a": "it was scored on different items"})
    summary = summarize(odd, make_board("u", {"a": 3.0, "b": 2.0, "c": 1.0}))
    row = rows_of(summary)["a"]
    assert row.mean_rank is None
    assert (row.num_missing, row.num_missing_in_block, row.num_comparisons) == (0, 1, 2)
    assert row.cells[0] == (99.0, None, False, None)
    assert mean_ranks(summary)["b"] == 1.0


def test_boards_agree_as_far_as_scipy_says() -> None:
    rng = np.random.default_rng(4)
    names = "abcdefgh"
    scores = {task: dict(zip(names, rng.random(8).tolist(), strict=True)) for task in "tuv"}
    del scores["v"]["a"]
    few = make_board("w", {name: float(place) for place, name in enumerate("abc")})
    summary = summarize(*(make_board(task, values) for task, values in scores.items()), few)
    assert [(each.boards, each.num_backbones) for each in summary.agreements] == [((0, 1), 8), ((0, 2), 7), ((1, 2), 7)]
    for each in summary.agreements:
        first, second = (scores["tuv"[place]] for place in each.boards)
        both = sorted(set(first) & set(second))
        expected = stats.kendalltau([first[name] for name in both], [second[name] for name in both]).statistic
        assert each.tau == pytest.approx(expected)
        assert each.low < each.tau < each.high


def random_boards(rng: np.random.Generator, present: float = 0.8) -> list[Board]:
    found = []
    for number in range(5):
        names = [name for name in "abcdefg" if rng.random() < present] or ["a"]
        scores = {name: float(rng.integers(1, 9)) for name in names}
        found.append(make_board(f"t{number // 2}", scores, protocol=f"p{number}", higher_is_better=number != 3))
    return found


def test_a_row_that_is_worst_everywhere_moves_no_other() -> None:
    rng = np.random.default_rng(6)
    checked = 0
    for _ in range(60):
        made = random_boards(rng)
        before = summarize(*made)
        more = []
        for board in made:
            last = max(row.metrics["top1"] for row in board.rows) + 1 if not board.higher_is_better else 0.0
            row = board.rows[0]._replace(backbone="z", metrics={"top1": last})
            more.append(board._replace(rows=(*board.rows, row)))
        after = summarize(*more)
        if before.block is None or after.block is None or before.block.boards != after.block.boards:
            continue
        checked += 1
        ranks = mean_ranks(after)
        assert {name: rank for name, rank in ranks.items() if name != "z"} == mean_ranks(before)
        assert after.rows[before.block.num_rows].backbone == "z", "it is the last of the block"
    assert checked > 20


def test_the_order_of_boards_and_rows_changes_nothing() -> None:
    rng = np.random.default_rng(7)
    for _ in range(30):
        made = random_boards(rng, 0.6)
        shuffled = [
            board._replace(rows=tuple(board.rows[i] for i in rng.permutation(len(board.rows))))
            for board in (made[i] for i in rng.permutation(len(made)))
        ]
        assert summarize_boards(shuffled) == summarize_boards(made)


def test_thirty_equal_rows_give_no_evidence() -> None:
    """Rows that differ by noise alone: their mean ranks are not told apart."""
    rng = np.random.default_rng(9)
    names = [f"r{number:02}" for number in range(30)]
    made = [make_board(f"t{k}", dict(zip(names, rng.normal(80, 1, 30).tolist(), strict=True))) for k in range(6)]
    summary = summarize(*made)
    assert summary.block is not None and summary.block.friedman is not None
    assert summary.block.num_rows == 30
    assert summary.block.friedman.p_value > 0.05
    assert all(row.is_near_best for row in summary.rows)


def test_hidden_rows_change_no_number(tmp_path: Path) -> None:
    for task, counts in {"t": (5, 9, 14), "u": (14, 5, 9)}.items():
        for name, count in zip("abc", counts, strict=True):
            correct = [place < count for place in range(20)]
            write_run(tmp_path / f"{task}{name}", name, correct, f"{task}{name}", task=task, comparability=task)
    scan = scan_runs([tmp_path])
    (whole,) = build_report(scan).summaries
    (shown,) = build_report(scan, TableFilter(backbones=("b",))).summaries
    assert shown.rows == tuple(row for row in whole.rows if row.backbone == "b")
    assert shown.block == whole.block is not None
    assert whole.block.num_rows == 3


def test_tiers_never_mix() -> None:
    views = summarize_boards(
        boards(
            *(on(task, "a", 90.0) for task in "tu"),
            *(on(task, "b", 95.0, tier="short") for task in "tu"),
            on("v", "c", 1.0, tier="smoke"),
        )
    )
    assert [(view.tier, [line.backbone for line in view.rows]) for view in views] == [
        ("full", ["a"]),
        ("short", ["b"]),
    ]


def test_two_rows_that_their_name_does_not_tell_apart_have_no_cell() -> None:
    changed = {"card": on("t", "a", 1.0).backbone.card | {"mean": [0.4, 0.4, 0.4]}}
    (view,) = summarize_boards(boards(on("t", "a", 90.0), on("t", "a", 80.0, backbone=changed), on("u", "a", 70.0)))
    (line,) = view.rows
    assert line.cells[0] is None
    assert line.num_missing == 1
    assert view.ambiguous_labels == (line.label,)


def test_one_board_is_no_overview() -> None:
    assert summarize_boards(boards(on("t", "a", 90.0))) == ()
    assert summarize_boards([]) == ()
