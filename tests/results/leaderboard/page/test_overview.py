"""The table backbones x tasks: columns, groups, marks and costs."""

from __future__ import annotations

from typing import Any

import pytest

from results.leaderboard.page.overview import build_overview_tables, classify_size, find_mark, name_size_class
from results.leaderboard.page.view import build_board_sections
from results.leaderboard.report import build_report
from results.leaderboard.table import Board, BoardRow
from results.statistics.ranking import ONE_SEED_NOTE
from tests.results.make import make_backbone_record, make_cost, make_scan
from tests.results.published.test_match import ours


def boards_of(*records: Any) -> tuple[Board, ...]:
    return build_report(make_scan(*records)).table.boards


def test_backbones_meet_their_boards_and_tiers_stay_apart() -> None:
    full, short = build_overview_tables(
        boards_of(
            make_backbone_record("a", 90.0, "1", comparability="x"),
            make_backbone_record("b", 80.0, "2", comparability="x"),
            make_backbone_record("a", 70.0, "3", task="pets", comparability="y"),
            make_backbone_record("a", 10.0, "4", tier="short", comparability="z"),
        )
    )
    assert (full.scope, full.tasks) == ("full", (("digits", 1), ("pets", 1)))
    rows = {row.backbone: [cell and cell.text for cell in row.cells] for _, rows in full.groups for row in rows}
    assert rows == {"a": ["90.00", "70.00"], "b": ["80.00", None]}
    assert short.scope == "short" and short.groups[0][1][0].cells[0].text == "10.00"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        (999_999, "below 1 M parameters"),
        (1_000_000, "1 to 3 M"),
        (30_000_000, "30 to 100 M"),
        (None, "size not measured"),
    ],
)
def test_size_classes(parameters: int | None, name: str) -> None:
    assert name_size_class(classify_size(parameters)) == name


def test_groups_are_by_size_and_small_ones_come_first() -> None:
    sizes = (("big", 50_000_000), ("tiny", 500_000), ("odd", None))
    records = [
        make_backbone_record(
            name, 50.0, name, backbone={"parameters": None}, cost=make_cost(size, 1.0) if size else {"phases": {}}
        )
        for name, size in sizes
    ]
    (table,) = build_overview_tables(boards_of(*records))
    assert [(name, rows[0].backbone) for name, rows in table.groups] == [
        ("below 1 M parameters", "tiny"),
        ("30 to 100 M", "big"),
        ("size not measured", "odd"),
    ]


def board_with(*rows: tuple[float, int | None, int, int], higher: bool = True) -> Board:
    """A board of (score, rank, seeds, ties) rows."""
    (board,) = boards_of(make_backbone_record("a", 50.0, "1"))
    made: list[BoardRow] = [
        board.rows[0]
        ._replace(metrics={"top1": score}, rank=rank, seeds=tuple(range(seeds)), tied_with=("x",) * ties, interval=None)
        ._replace(note="" if rank else ONE_SEED_NOTE)
        for score, rank, seeds, ties in rows
    ]
    return board._replace(rows=tuple(made), higher_is_better=higher)


@pytest.mark.parametrize(
    ("board", "marks"),
    [
        (board_with((90.0, 1, 3, 0), (80.0, 2, 3, 0)), ["best", ""]),
        (board_with((90.0, 1, 3, 1), (80.0, 1, 3, 1)), ["tied", "tied"]),
        (board_with((90.0, None, 1, 0), (80.0, None, 1, 0)), ["highest", ""]),
        (board_with((90.0, None, 1, 0), (80.0, None, 1, 0), higher=False), ["", "lowest"]),
        # one seed among rows of several seeds claims nothing, even if an old rank says so
        (board_with((90.0, 1, 1, 0), (80.0, 2, 3, 0)), ["", ""]),
        # a single row of several seeds was tested against nothing, and the best one may have one seed
        (board_with((90.0, None, 1, 0), (80.0, 1, 3, 0)), ["", ""]),
        (board_with((90.0, 1, 3, 0), (80.0, None, 1, 0)), ["", ""]),
        (board_with((90.0, None, 1, 0), (80.0, 1, 3, 0), (70.0, 2, 3, 0)), ["", "", ""]),
        (board_with((80.0, 1, 3, 0), (75.0, None, 1, 0), (70.0, 2, 3, 0)), ["best", "", ""]),
        (board_with((70.0, 1, 3, 0), (75.0, None, 1, 0), (80.0, 2, 3, 0), higher=False), ["best", "", ""]),
        (board_with((90.0, None, 1, 0), (90.0, None, 1, 0)), ["", ""]),
        (board_with((90.0, 1, 3, 0)), [""]),
    ],
)
def test_marks_claim_no_more_than_was_measured(board: Board, marks: list[str]) -> None:
    assert [find_mark(board, row) for row in board.rows] == marks


def costs_of(*costs: Any) -> dict[str, list[str]]:
    records = [
        make_backbone_record("a", 50.0, f"{number}", comparability=f"{number}", task=f"t{number}", cost=cost)
        for number, cost in enumerate(costs)
    ]
    (table,) = build_overview_tables(boards_of(*records))
    return {row.backbone: [cell.text for cell in row.costs] for _, rows in table.groups for row in rows}


def test_costs_over_boards_are_one_number_or_their_range() -> None:
    assert costs_of(make_cost(5_000_000, 2.0), make_cost(5_100_000, 2.1))["a"][:3] == ["5 M", "50 M", "2.00"]
    assert costs_of(make_cost(5_000_000, 2.0), make_cost(9_000_000, 8.0))["a"][:3] == [
        *("5 to 9 M", "50 to 90 M", "2.00 to 8.00"),
    ]
    assert costs_of({"phases": {}})["a"][1:] == ["not measured"] * 3


def test_times_of_two_places_never_share_a_column() -> None:
    (table,) = build_overview_tables(
        boards_of(
            make_backbone_record("a", 50.0, "1", cost=make_cost(5, 2.0, chip="one")),
            make_backbone_record("b", 50.0, "2", cost=make_cost(6, 2.0, chip="one")),
            make_backbone_record("c", 50.0, "3", cost=make_cost(7, 1.0, chip="other")),
        )
    )
    assert table.timing_setup.startswith("one")
    assert {row.backbone: row.costs[2].text for _, rows in table.groups for row in rows} == {
        "a": "2.00",
        "b": "2.00",
        "c": "elsewhere",
    }


def test_a_time_of_a_busy_machine_is_no_number() -> None:
    (board,) = boards_of(make_backbone_record("a", 50.0, "1", cost=make_cost(5, 2.0)))
    cost = board.rows[0].cost._replace(is_busy=True, renewal="bench profile a")
    (table,) = build_overview_tables([board._replace(rows=(board.rows[0]._replace(cost=cost),))])
    *counts, latency, speed = table.groups[0][1][0].costs
    assert [cell.text for cell in counts] == ["5", "50"]
    assert (latency.text, latency.sort_value) == ("busy machine", None)
    assert latency.tip.endswith("Measure again: bench profile a")
    assert speed.text == "1000", "each timing has its own mark"
    empty = build_report(make_scan())
    busy = board._replace(rows=(board.rows[0]._replace(cost=cost),))
    report = empty._replace(table=empty.table._replace(boards=(busy,)), fronts={board.board_key: ()})
    (section,) = build_board_sections(report)
    shown = [cell for cell in section["rows"][0]["cells"] if cell.subtext == "busy machine"]
    assert [(cell.text, cell.sort_value) for cell in shown] == [("2.00", None)]


def test_a_published_number_stands_beside_its_row_only() -> None:
    (table,) = build_overview_tables(boards_of(ours()))
    assert table.has_published and table.groups[0][1][0].cells[0].published == "78.0"  # type: ignore[union-attr]
