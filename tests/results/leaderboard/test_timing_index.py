from __future__ import annotations

import itertools
from typing import Any

import pytest

from results.leaderboard.cost_columns import CostSummary, summarize_costs
from results.leaderboard.timing_index import TimingIndex
from results.records.measurements import EfficiencyRecord
from results.records.record import Record
from results.records.saved_timings import SavedTiming
from results.records.store import ScanResult
from tests.results.make import make_backbone_record, make_cost, make_scan


def make_timed(name: str, raw_ms: list[float], run: str = "1", day: int = 1, **changes: Any) -> Record:
    """A record whose backbone took these milliseconds for an image, and twice as long for a batch."""
    backbone = {"arguments": changes.pop("arguments", {"num_classes": 0})}
    samples = {
        "latency": {"batch": 1, "raw_ms": raw_ms},
        "throughput": {"batch": changes.pop("batch", 4), "raw_ms": [2 * each for each in raw_ms]},
    }
    cost = make_cost(changes.pop("parameters", 1000), 1.0, **samples | changes)
    return make_backbone_record(name, 90.0, run, cost=cost, started=f"2026-01-0{day}T00:00:00+00:00", backbone=backbone)


def summarize(record: Record, *others: Record, timings: tuple[SavedTiming, ...] = ()) -> CostSummary:
    return summarize_costs([record], TimingIndex(make_scan(record, *others)._replace(timings=timings)))


def make_saved(record: Record, raw_ms: list[float], day: int, **changes: Any) -> SavedTiming:
    """What ``bench profile --save`` would have stored for the backbone of a record."""
    assert record.cost is not None
    assert record.cost.efficiency is not None
    content = record.cost.efficiency.model_dump()
    content["latency"]["raw_ms"] = raw_ms
    return SavedTiming(
        name=record.backbone.name,
        card=record.backbone.card,
        device="cpu",
        measured=f"2026-01-0{day}T00:00:00+00:00",
        efficiency=EfficiencyRecord.model_validate(content | changes),
    )


def test_every_row_of_a_backbone_shows_its_least_disturbed_timing() -> None:
    quiet = make_timed("a", [1.05, 1.04, 1.06], "1")
    records = [
        quiet,
        make_timed("a", [20.5, 1.1, 25.0], "2", day=2),
        make_timed("a", [69.4, 70.0, 69.0], "3", day=3, other_load=0.9),
        # fewer classes and another way of pooling: the same network as far as its time goes
        make_timed(
            "a", [1.2, 1.2, 1.2], "4", day=4, parameters=1020, arguments={"num_classes": 10, "global_pool": "a"}
        ),
    ]
    for order in itertools.permutations(records):
        timings = TimingIndex(make_scan(*order))
        for record in records:
            cost = summarize_costs([record], timings)
            assert (cost.latency_ms, cost.is_busy, cost.timed_at[:10]) == (1.05, False, "2026-01-01")
            assert cost.images_per_second == pytest.approx(4000 / 2.1)
            assert cost.renewal == ""


def test_other_networks_sizes_and_backbones_keep_their_own_timing() -> None:
    records = [
        make_timed("a", [1.0], "1"),
        make_timed("b", [2.0], "2"),
        make_timed("a", [3.0], "3", img_size=[64, 64]),
        make_timed("a", [4.0], "4", arguments={"depth": 3}),
        make_timed("a", [5.0], "5", parameters=2000),  # edited under its name: other MACs
    ]
    timings = TimingIndex(make_scan(*records))
    assert [summarize_costs([each], timings).latency_ms for each in records] == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_backbone_is_shown_in_the_setup_of_its_newest_quiet_measurement() -> None:
    old = make_timed("a", [1.0], "1", day=1, chip="old")
    new = make_timed("a", [2.0], "2", day=2, chip="new")
    busy = make_timed("a", [0.5, 5.0, 5.0], "3", day=3, chip="busy")
    costs = [summarize(each, *(other for other in (old, new, busy) if other is not each)) for each in (old, new, busy)]
    assert {(cost.latency_ms, cost.timing_setup.partition(",")[0]) for cost in costs} == {(2.0, "new")}


def test_the_throughput_is_of_the_largest_batch_on_a_quiet_machine() -> None:
    cost = summarize(
        make_timed("a", [1.0], "1", batch=8),
        make_timed("a", [2.0], "2", batch=16),
        make_timed("a", [1.0, 9.0, 9.0], "3", batch=32),
    )
    assert (cost.batch_size, cost.images_per_second, cost.latency_ms) == (16, 4000, 1.0)


def test_a_run_that_was_only_counted_gets_the_timing_of_its_backbone() -> None:
    nothing = dict.fromkeys(("latency", "throughput", "chip", "threads", "runtime", "precision"))
    smoke = make_backbone_record("a", 90.0, "2", cost=make_cost(1010, 1.0, **nothing))
    timed = make_backbone_record("a", 90.0, "1", cost=make_cost(1000, 1.0, latency={"batch": 1, "raw_ms": [3.0]}))
    assert summarize(smoke, timed).latency_ms == 3.0


def test_a_busy_timing_says_how_to_renew_it_and_a_quiet_one_replaces_it() -> None:
    record = make_timed("a b", [69.4, 70.0, 69.0], other_load=0.9)
    cost = summarize(record)
    assert (cost.latency_ms, cost.is_busy, cost.is_throughput_busy, cost.quiet_latency_ms) == (69.4, True, True, None)
    assert cost.renewal == "OMP_NUM_THREADS=1 bench profile 'a b' --img-size 32 --device cpu --save runs"
    # measured again on a busy machine, then on a quiet one; a later and slower one does not undo it
    busy = make_saved(record, [30.0, 30.0], day=2)
    assert summarize(record, timings=(busy,)).latency_ms == 30.0
    assert summarize(record, timings=(busy,)).is_busy
    quiet = make_saved(record, [1.0, 1.125], day=3, other_load=0.0)
    cost = summarize(record, timings=(busy, quiet, make_saved(record, [1.2, 1.2], day=4, other_load=0.1)))
    assert (cost.latency_ms, cost.is_busy, cost.timed_at[:10]) == (1.0625, False, "2026-01-03")


def test_where_profile_cannot_make_the_network_the_run_is_made_again() -> None:
    for changes in ({"arguments": {"depth": 3}}, {"img_size": [32, 64]}):
        assert summarize(make_timed("a", [9.0, 1.0, 9.0], **changes)).renewal == "run it again with --fresh"


def test_an_edited_plugin_is_another_network() -> None:
    records = [make_timed("a", [float(number)], str(number)) for number in (1, 2)]
    edited = [
        record.model_copy(update={"backbone": record.backbone.model_copy(update={"model": {"source": digest}})})
        for record, digest in zip(records, "xy", strict=True)
    ]
    timings = TimingIndex(ScanResult(make_scan(*edited).records, []))
    assert [summarize_costs([each], timings).latency_ms for each in edited] == [1.0, 2.0]


def test_networks_that_a_plugin_made_from_the_same_code_keep_their_own_timing() -> None:
    """An environment variable that sets the number of heads changes neither code, arguments nor MACs."""

    def make_plugin(heads: str, milliseconds: float, run: str) -> Record:
        made = make_timed("a", [milliseconds], run)
        model = {"structure": "s", "attributes": heads, "source": "c"}
        return made.model_copy(update={"backbone": made.backbone.model_copy(update={"model": model})})

    records = [make_plugin("2 heads", 1.0, "1"), make_plugin("8 heads", 5.0, "2"), make_plugin("8 heads", 6.0, "3")]
    timings = TimingIndex(make_scan(*records))
    assert [summarize_costs([each], timings).latency_ms for each in records] == [1.0, 5.0, 5.0]
    alone = TimingIndex(make_scan(*records[1:]))
    assert summarize_costs([records[2]], alone).latency_ms == 5.0
