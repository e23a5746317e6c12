from __future__ import annotations

import pytest

from foundation.errors import UnknownNameError
from results.leaderboard.filter_sort import SORTS, Choice
from results.leaderboard.report import Report, make_report
from tests.results.make import cell, efficiency, found

FOUND = found(
    cell("a", 90.0, "1", cost=efficiency(300, 3.0), started="2026-01-01T00:00:00+00:00"),
    cell("b", 95.0, "2", cost=efficiency(500, 1.0)),
    cell("c", 80.0, "3", cost=efficiency(400, 2.0)),
    cell("d", 70.0, "4", domain="tracking"),
    cell("a", 50.0, "5", tier="smoke"),
    cell("a", 60.0, "6", task="lasot"),
)


def names(report: Report) -> list[list[str]]:
    return [[row.backbone for row in board.rows] for board in report.table.boards]


def test_tasks_and_tiers_choose_boards() -> None:
    assert names(make_report(FOUND, Choice(tasks=("lasot",)))) == [["a"]]
    assert names(make_report(FOUND, Choice(tiers=("smoke",)))) == [["a"]]
    assert len(make_report(FOUND).table.boards) == 3


def test_backbones_hide_rows_and_leave_ranks_and_fronts() -> None:
    whole, part = make_report(FOUND), make_report(FOUND, Choice(tasks=("digits",), tiers=("full",), backbones=("c",)))
    (row,) = part.table.boards[0].rows
    (same,) = [r for board in whole.table.boards for r in board.rows if r.backbone == "c"]
    assert row == same
    (front,) = [each for each in next(iter(part.fronts.values())) if each.cost == "parameters"]
    assert [each.backbone for each in front.rows] == ["a", "b"]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("score", "bacd"),
        ("backbone", "abcd"),
        ("parameters", "acbd"),
        ("macs", "acbd"),
        ("latency", "bcad"),
        ("throughput", "bcad"),
    ],
)
def test_sorting_puts_the_unmeasured_last(sort: str, order: str) -> None:
    report = make_report(FOUND, Choice(tasks=("digits",), tiers=("full",), sort=sort))
    assert names(report) == [list(order)]


def test_date_puts_the_newest_first() -> None:
    days = [
        cell(n, 90.0, n, where=FOUND.records[0][1].where.model_dump() | {"finished": f"2026-01-0{n}T00:00:00"})
        for n in "132"
    ]
    assert names(make_report(found(*days), Choice(sort="date"))) == [["3", "2", "1"]]


def test_pareto_keeps_the_front() -> None:
    choose = Choice(tasks=("digits",), tiers=("full",), pareto="parameters")
    assert sorted(names(make_report(FOUND, choose))[0]) == ["a", "b"]
    assert names(make_report(FOUND, choose._replace(pareto="latency"))) == [["b"]]


def test_names_that_nothing_bears_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="no run of task 'lasott'; did you mean lasot"):
        make_report(FOUND, Choice(tasks=("lasott",)))
    with pytest.raises(UnknownNameError, match="no run of backbone 'e'"):
        make_report(FOUND, Choice(backbones=("e",)))


def test_published_numbers_are_shown_for_the_tasks_at_hand() -> None:
    assert {each.published.task for each in make_report(FOUND).table.context} == {"lasot"}
    asked = make_report(FOUND, Choice(tasks=("ade20k",)))
    assert {each.published.task for each in asked.table.context} == {"ade20k"}
    assert not asked.table.boards


def test_the_command_line_offers_what_there_is() -> None:
    import argparse

    from benchmarks.cli.options import ARGUMENTS
    from results.leaderboard.pareto import COSTS

    parser = argparse.ArgumentParser()
    ARGUMENTS["table"](parser)
    choices = {action.dest: action.choices for action in parser._actions}
    assert choices["sort"] == SORTS
    assert choices["pareto"] == tuple(COSTS)
