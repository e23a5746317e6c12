from __future__ import annotations

from results.leaderboard.cost_columns import summarize_costs
from tests.results.make import make_backbone_record, make_cost


def test_one_slow_pass_does_not_move_the_time() -> None:
    cost = summarize_costs([make_backbone_record("a", 90.0, "1", cost=make_cost(100, 2.0))])
    assert (cost.parameters, cost.macs, cost.latency_ms) == (100, 1000, 2.0)
    assert cost.images_per_second == 1000 * 4 / 4.0
    assert cost.batch_size == 4
    assert cost.timing_setup == "a chip, 1 thread, torch 2, fp32"


def test_seeds_timed_in_two_places_are_not_mixed() -> None:
    old = make_backbone_record(
        "a", 90.0, "1", cost=make_cost(100, 2.0, chip="old"), started="2026-01-01T00:00:00+00:00"
    )
    new = [
        make_backbone_record("a", 90.0, str(i), cost=make_cost(100, ms), started=f"2026-02-0{i}T00:00:00+00:00")
        for i, ms in ((2, 4.0), (3, 6.0))
    ]
    assert summarize_costs([old, *new]).latency_ms == 5.0


def test_what_was_not_measured_is_none_and_never_zero() -> None:
    cost = summarize_costs([make_backbone_record("a", 90.0, "1", domain="segmentation")])
    assert cost == (None, None, None, None, None, "")
    counted = make_cost(100, 1.0, latency=None, throughput=None, chip=None, threads=None, runtime=None, precision=None)
    cost = summarize_costs([make_backbone_record("a", 90.0, "1", cost=counted)])
    assert cost == (100, 1000, None, None, None, "")


def test_an_older_record_of_classification_counts_the_backbone() -> None:
    assert summarize_costs([make_backbone_record("a", 90.0, "1", backbone={"parameters": 7})]).parameters == 7
