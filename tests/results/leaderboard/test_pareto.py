from __future__ import annotations

import random

import pytest

from results.leaderboard.pareto import compute_pareto_fronts, find_pareto_indices
from results.leaderboard.table import Board, build_table
from results.records.record import Record
from tests.results.make import make_backbone_record, make_cost, make_scan


def dominated(points: list[tuple[float, float]], place: int, higher: bool) -> bool:
    """By the definition, over all pairs."""
    cost, score = points[place]
    sign = 1 if higher else -1
    return any(
        other <= cost and sign * value >= sign * score and (other < cost or sign * value > sign * score)
        for other, value in points
    )


@pytest.mark.parametrize("higher", [True, False])
def test_the_front_is_what_nothing_dominates(higher: bool) -> None:
    rng = random.Random(0)
    for _ in range(200):
        points = [(float(rng.randint(1, 6)), float(rng.randint(1, 6))) for _ in range(rng.randint(1, 12))]
        kept = find_pareto_indices(points, higher)
        assert set(kept) == {i for i in range(len(points)) if not dominated(points, i, higher)}
        assert [points[i][0] for i in kept] == sorted(points[i][0] for i in kept)


def board(*records: Record) -> Board:
    (only,) = build_table(make_scan(*records), published=()).boards
    return only


def test_unmeasured_rows_take_no_part_and_times_of_two_places_never_meet() -> None:
    made = board(
        make_backbone_record("small", 80.0, "1", cost=make_cost(100, 1.0)),
        make_backbone_record("large", 90.0, "2", cost=make_cost(1000, 9.0)),
        make_backbone_record("worse", 70.0, "3", cost=make_cost(500, 0.5, chip="another chip")),
        make_backbone_record("unmeasured", 99.0, "4", domain="tracking"),
    )
    by_cost = {(each.cost, each.timing_setup): each for each in compute_pareto_fronts(made)}
    assert [row.backbone for row in by_cost["parameters", ""].rows] == ["small", "large"]
    assert by_cost["parameters", ""].num_measured == 3
    assert [row.backbone for row in by_cost["latency", "a chip, 1 thread, torch 2, fp32"].rows] == ["small", "large"]
    assert [row.backbone for row in by_cost["latency", "another chip, 1 thread, torch 2, fp32"].rows] == ["worse"]


def test_a_time_of_a_busy_machine_is_left_off_the_front_and_counted() -> None:
    made = board(
        make_backbone_record("quiet", 80.0, "1", cost=make_cost(100, 2.0)),
        # the cheapest and best of all, if its time could be believed
        make_backbone_record("busy", 90.0, "2", cost=make_cost(90, 1.0, other_load=0.9)),
        make_backbone_record("elsewhere", 85.0, "3", cost=make_cost(100, 1.0, chip="another chip")),
    )
    by_cost = {(each.cost, each.timing_setup): each for each in compute_pareto_fronts(made)}
    front = by_cost["latency", "a chip, 1 thread, torch 2, fp32"]
    assert [row.backbone for row in front.rows] == ["quiet"]
    assert (front.num_measured, front.num_busy, front.num_other_setups) == (1, 1, 1)
    assert [row.backbone for row in by_cost["parameters", ""].rows] == ["busy"]
    assert (by_cost["parameters", ""].num_busy, by_cost["parameters", ""].num_other_setups) == (0, 0)
