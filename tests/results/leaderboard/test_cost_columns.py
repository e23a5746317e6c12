from __future__ import annotations

from results.leaderboard.cost_columns import CostSummary, summarize_costs
from results.leaderboard.timing_index import TimingIndex
from results.records.record import Record
from tests.results.make import make_backbone_record, make_cost, make_scan


def summarize(*records: Record) -> CostSummary:
    """The costs of the row of these records, with no other records around."""
    return summarize_costs(records, TimingIndex(make_scan(*records)))


def test_one_slow_pass_does_not_move_the_time() -> None:
    cost = summarize(make_backbone_record("a", 90.0, "1", cost=make_cost(100, 2.0)))
    assert (cost.parameters, cost.macs, cost.latency_ms) == (100, 1000, 2.0)
    assert cost.images_per_second == 1000 * 4 / 4.0
    assert cost.batch_size == 4
    assert cost.timing_setup == "a chip, 1 thread, torch 2, fp32"
    assert not cost.is_busy


def test_seeds_timed_in_two_places_are_not_mixed() -> None:
    old = make_backbone_record(
        "a", 90.0, "1", cost=make_cost(100, 2.0, chip="old"), started="2026-01-01T00:00:00+00:00"
    )
    new = [
        make_backbone_record("a", 90.0, str(i), cost=make_cost(100, ms), started=f"2026-02-0{i}T00:00:00+00:00")
        for i, ms in ((2, 4.0), (3, 6.0))
    ]
    # the least disturbed one of the new place counts
    assert summarize(old, *new).latency_ms == 4.0


def test_what_was_not_measured_is_none_and_never_zero() -> None:
    cost = summarize(make_backbone_record("a", 90.0, "1", domain="segmentation"))
    assert cost == CostSummary(None, None, None, None, None, "")
    counted = make_cost(100, 1.0, latency=None, throughput=None, chip=None, threads=None, runtime=None, precision=None)
    cost = summarize(make_backbone_record("a", 90.0, "1", cost=counted))
    assert cost == CostSummary(100, 1000, None, None, None, "")


def test_an_older_record_of_classification_counts_the_backbone() -> None:
    assert summarize(make_backbone_record("a", 90.0, "1", backbone={"parameters": 7})).parameters == 7
