from __future__ import annotations

import pytest

from foundation.errors import UnknownNameError
from results.leaderboard.filter_sort import SORT_KEYS, TableFilter
from results.leaderboard.render.markdown import to_markdown
from results.leaderboard.report import LeaderboardReport, build_report
from tests.results.make import make_backbone_record, make_cost, make_scan

FOUND = make_scan(
    make_backbone_record("a", 90.0, "1", cost=make_cost(300, 3.0), started="2026-01-01T00:00:00+00:00"),
    make_backbone_record("b", 95.0, "2", cost=make_cost(500, 1.0)),
    make_backbone_record("c", 80.0, "3", cost=make_cost(400, 2.0)),
    make_backbone_record("d", 70.0, "4", domain="tracking"),
    make_backbone_record("a", 50.0, "5", tier="smoke"),
    make_backbone_record("a", 60.0, "6", task="lasot"),
)


def names(report: LeaderboardReport) -> list[list[str]]:
    return [[row.backbone for row in board.rows] for board in report.table.boards]


def test_tasks_and_tiers_choose_boards() -> None:
    assert names(build_report(FOUND, TableFilter(tasks=("lasot",)))) == [["a"]]
    assert names(build_report(FOUND, TableFilter(tiers=("smoke",)))) == [["a"]]
    assert len(build_report(FOUND).table.boards) == 3


def test_backbones_hide_rows_and_leave_ranks_and_fronts() -> None:
    whole, part = (
        build_report(FOUND),
        build_report(FOUND, TableFilter(tasks=("digits",), tiers=("full",), backbones=("c",))),
    )
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
    report = build_report(FOUND, TableFilter(tasks=("digits",), tiers=("full",), sort_key=sort))
    assert names(report) == [list(order)]


def test_date_puts_the_newest_first() -> None:
    days = [
        make_backbone_record(
            n,
            90.0,
            n,
            environment=FOUND.records[0][1].environment.model_dump() | {"finished": f"2026-01-0{n}T00:00:00"},
        )
        for n in "132"
    ]
    assert names(build_report(make_scan(*days), TableFilter(sort_key="date"))) == [["3", "2", "1"]]


def test_pareto_keeps_the_front() -> None:
    choose = TableFilter(tasks=("digits",), tiers=("full",), pareto_cost="parameters")
    assert sorted(names(build_report(FOUND, choose))[0]) == ["a", "b"]
    assert names(build_report(FOUND, choose._replace(pareto_cost="latency"))) == [["b"]]


def test_names_that_nothing_bears_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="no run of task 'lasott'; did you mean lasot"):
        build_report(FOUND, TableFilter(tasks=("lasott",)))
    with pytest.raises(UnknownNameError, match="no run of backbone 'e'"):
        build_report(FOUND, TableFilter(backbones=("e",)))


def test_published_numbers_are_shown_for_the_tasks_at_hand() -> None:
    assert {each.published.task for each in build_report(FOUND).table.unmatched} == {"lasot"}
    asked = build_report(FOUND, TableFilter(tasks=("ade20k",)))
    assert {each.published.task for each in asked.table.unmatched} == {"ade20k"}
    assert not asked.table.boards


def test_the_command_line_offers_what_there_is() -> None:
    import argparse

    from benchmarks.cli.results.table import add_arguments
    from results.leaderboard.pareto import COST_LABELS

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    choices = {action.dest: action.choices for action in parser._actions}
    assert choices["sort"] == SORT_KEYS
    assert choices["pareto"] == tuple(COST_LABELS)


def test_times_of_two_machines_are_not_sorted_among_each_other() -> None:
    found = make_scan(
        make_backbone_record("a", 90.0, "1", cost=make_cost(300, 3.0, chip="x")),
        make_backbone_record("b", 91.0, "2", cost=make_cost(300, 2.0, chip="y")),
        make_backbone_record("c", 92.0, "3", cost=make_cost(300, 1.0, chip="x")),
    )
    for key in ("latency", "throughput"):
        assert names(build_report(found, TableFilter(sort_key=key))) == [["c", "a", "b"]]


def test_a_board_without_a_cost_to_compare_is_named() -> None:
    busy = make_scan(make_backbone_record("a", 90.0, "1", cost=make_cost(300, 3.0, other_load=0.9)))
    report = build_report(busy, TableFilter(pareto_cost="latency"))
    assert names(report) == []
    (warning,) = report.table.warnings
    assert warning.startswith("digits · finetune · full: no row has a cost to compare (ms per image: ")
    assert "No runs found" not in to_markdown(report)
    assert build_report(busy, TableFilter(pareto_cost="macs")).table.warnings == ()
