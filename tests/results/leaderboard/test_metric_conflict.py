from __future__ import annotations

from typing import Any

from results.leaderboard.filter_sort import TableFilter, filter_table
from results.leaderboard.metric_conflict import describe_metric_conflict
from results.leaderboard.render.cells import build_board_notes
from results.leaderboard.report import build_report
from results.leaderboard.table import LeaderboardTable
from results.records.record import Record
from tests.results.make import make_record, make_scan
from tests.results.make_boards import make_metric_board

ABCD = {"a": 40.0, "b": 30.0, "c": 20.0, "d": 10.0}


def test_another_best_row_is_named() -> None:
    board = make_metric_board({"top1": ABCD, "P": {"a": 3.0, "b": 4.0, "c": 2.0, "d": 1.0}})
    assert describe_metric_conflict(board) == (
        "P orders the rows differently than top1 and makes another row the best (Kendall's tau-b 0.67 over 4 rows): "
        "a (random) is better than b (random) in top1 and worse in P"
    )


def test_a_change_below_the_best_needs_a_low_tau() -> None:
    one = {"a": 4.0, "b": 3.0, "c": 1.0, "d": 2.0}
    assert describe_metric_conflict(make_metric_board({"top1": ABCD, "P": one})) == ""
    turned = {"a": 4.0, "b": 1.0, "c": 2.0, "d": 3.0}
    found = describe_metric_conflict(make_metric_board({"top1": ABCD, "P": turned, "Q": turned, "R": one}))
    assert found == (
        "P orders the rows differently than top1 (Kendall's tau-b 0.00 over 4 rows): "
        "b (random) is better than c (random) in top1 and worse in P; so does Q"
    )


def test_directions_are_those_of_the_records() -> None:
    error = {name: 100 - value for name, value in ABCD.items()}
    assert describe_metric_conflict(make_metric_board({"top1": ABCD, "error": error}, ("error",))) == ""
    assert "worse in error" in describe_metric_conflict(make_metric_board({"top1": ABCD, "error": error}))
    assert describe_metric_conflict(make_metric_board({"top1": error, "P": ABCD}, ("top1",))) == ""


def test_rows_that_share_a_rank_do_not_change_places() -> None:
    board = make_metric_board({"top1": ABCD, "P": {"a": 3.0, "b": 4.0, "c": 2.0, "d": 1.0}})
    ranks = {"a": 1, "b": 1, "c": 3, "d": 4}
    tied = board._replace(rows=tuple(row._replace(rank=ranks[row.backbone]) for row in board.rows))
    assert describe_metric_conflict(tied) == ""


def test_equal_rows_missing_metrics_and_the_order_of_display() -> None:
    metrics: dict[str, Any] = {"top1": ABCD, "P": {"a": 1.0, "b": 2.0}, "flat": dict.fromkeys("abcd", 5.0), "one": {}}
    board = make_metric_board(metrics)
    found = describe_metric_conflict(board)
    assert "over 2 rows" in found and "a (random) is better than b" in found
    assert describe_metric_conflict(board._replace(rows=board.rows[::-1])) == found
    odd = tuple(row._replace(rank=None, note="it was scored on different items") for row in board.rows)
    assert describe_metric_conflict(board._replace(rows=odd)) == "", "rows that may not be compared"


def test_the_note_stands_below_the_board_and_does_not_depend_on_hidden_rows() -> None:
    board = make_metric_board({"top1": ABCD, "P": {"a": 3.0, "b": 4.0, "c": 2.0, "d": 1.0}})
    noted = board._replace(metric_conflict=describe_metric_conflict(board))
    shown = filter_table(LeaderboardTable((noted,), (), (), ()), TableFilter(backbones=("d",))).boards[0]
    assert f"{noted.metric_conflict}." in build_board_notes(shown)
    assert not any("orders the rows" in note for note in build_board_notes(board))


def test_the_report_has_the_note(monkeypatch: Any) -> None:
    monkeypatch.setattr("results.leaderboard.report.describe_metric_conflict", lambda board: f"note on {board.task}")
    made: Record = make_record(50.0)
    (board,) = build_report(make_scan(made)).table.boards
    assert board.metric_conflict == f"note on {made.task}"
