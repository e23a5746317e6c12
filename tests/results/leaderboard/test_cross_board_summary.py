from __future__ import annotations

from typing import Any

from results.leaderboard.cross_board_summary import summarize_boards
from results.leaderboard.table import Board, build_table
from results.records.record import Record
from tests.results.make import make_backbone_record, make_scan


def boards(*records: Record) -> list[Board]:
    return list(build_table(make_scan(*records), published=()).boards)


def on(task: str, name: str, value: float, **changes: Any) -> Record:
    return make_backbone_record(name, value, f"{task}{name}{changes}", task=task, comparability=task, **changes)


def test_ranks_wins_and_scores_over_boards_by_hand() -> None:
    table = build_table(
        make_scan(on("t", "a", 90.0), on("t", "b", 80.0), on("t", "c", 70.0), on("u", "a", 50.0), on("u", "b", 60.0)),
        published=(),
    )
    ranked = [  # ranks as the statistics would give them
        board._replace(rows=tuple(row._replace(rank=i) for i, row in enumerate(board.rows, 1)))
        for board in table.boards
    ]
    (view,) = summarize_boards(ranked)
    lines = {line.backbone: line for line in view.rows}
    assert [line.backbone for line in view.rows] == ["a", "b", "c"], "fewest missing first, then mean rank, then name"
    assert (lines["a"].mean_rank, lines["a"].num_wins, lines["a"].mean_normalized_score) == (1.5, 1, 50.0)
    assert (lines["b"].mean_rank, lines["b"].num_wins, lines["b"].mean_normalized_score) == (1.5, 1, 75.0)
    assert (lines["c"].mean_rank, lines["c"].num_wins, lines["c"].mean_normalized_score) == (3.0, 0, 0.0)
    assert lines["c"].num_missing == 1
    assert lines["c"].cells[1] is None


def test_boards_that_compare_nothing_count_for_nothing() -> None:
    (view,) = summarize_boards(boards(on("t", "a", 90.0), on("u", "a", 50.0), on("u", "b", 50.0)))
    assert all(
        line.mean_normalized_score is None and line.mean_rank is None and line.num_wins == 0 for line in view.rows
    )


def test_lower_is_better_turns_the_scale() -> None:
    records = []
    for record in (on("t", "a", 10.0), on("t", "b", 30.0), on("u", "a", 10.0), on("u", "b", 30.0)):
        content = record.model_dump()
        content["result"]["metrics"]["top1"]["higher_is_better"] = False
        records.append(Record.model_validate(content))
    (view,) = summarize_boards(boards(*records))
    assert {line.backbone: line.mean_normalized_score for line in view.rows} == {"a": 100.0, "b": 0.0}


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


def test_one_board_is_no_overview() -> None:
    assert summarize_boards(boards(on("t", "a", 90.0))) == ()
