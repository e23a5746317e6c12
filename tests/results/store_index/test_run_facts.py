"""What is kept about a record."""

from __future__ import annotations

from collections.abc import Iterator

from results.records.identity import compute_candidate_digest, compute_digest
from results.records.record import Record, parse_record
from results.store_index import run_facts
from results.store_index.run_facts import decode_facts, decode_timing, encode_run, summarize_run
from tests.conftest import ROOT
from tests.results.make import FIXTURE, make_cost, make_record


def make_various_records() -> Iterator[Record]:
    """An old record, and others whose facts are words and digests that code of today makes."""
    yield parse_record(FIXTURE.read_text(), "fixture")
    plugin = {"name": "a\u2028\n\ud7ff", "model": {"structure": "s", "attributes": "a", "source": "c"}}
    yield make_record(50.0, cost=make_cost(1000, 2.0), backbone=plugin)
    start = {"init": "checkpoint", "checkpoint": {"uri": "x.pth", "sha256": "ab" * 32, "bytes": 1}}
    data = make_record().data.model_dump() | {"deviations": ["half"], "duplicates": ["two"]}
    config = {"data_scale": 0.1, "recipe": {"k": 1, "shots": 5, "img_size": 32}}
    changes = {"data": data, "config": config, "changed_settings": ["k"], "task_source": "cd" * 32}
    yield make_record(backbone=start | {"allow_partial": True}, cost=make_cost(1000, 2.0, other_load=0.9), **changes)
    result = make_record().result
    assert result is not None
    made = result.model_dump() | {"details": {"encoder": {"sha256": "ef" * 32}}}
    yield make_record(domain="pretraining", protocol="mae", task="pretrain", result=made)
    yield make_record(status="failed", tier="smoke", seed=3)


def test_what_is_kept_of_a_record() -> None:
    """If this changes without a change of the records, raise ``INDEX_VERSION`` and write a file of that version."""
    whole = b"\n".join(map(encode_run, make_various_records()))
    expected = ROOT / "tests" / "results" / "store_index" / f"facts_v{run_facts.INDEX_VERSION}.txt"
    assert whole.decode() == expected.read_text(encoding="ascii")


def test_facts_come_back_as_they_were() -> None:
    record = make_record(50.0, cost=make_cost(1000, 2.0), backbone={"name": "a\u2028\n\ud7ff", "allow_partial": True})
    facts = decode_facts("runs/a", encode_run(record))
    assert facts == summarize_run("runs/a", record)._replace(departures=list(facts.departures))
    assert (facts.folder, facts.backbone, facts.departures) == ("runs/a", "a\u2028\n\ud7ff", ["partial weights"])
    assert (facts.candidate, facts.data_fingerprint) == (compute_candidate_digest(record), record.data.fingerprint)
    timing = decode_timing("runs/a", encode_run(record))
    assert timing is not None and timing.measurement is not None
    assert (timing.folder, timing.measurement.latency_ms) == ("runs/a", 2.0)


def test_a_record_without_timing_or_result() -> None:
    record = make_record(status="failed")
    assert decode_timing("a", encode_run(record)) is None
    facts = decode_facts("a", encode_run(record))
    assert (facts.value, facts.primary_metric, facts.model, facts.exported_sha256) == (None, None, None, None)


def test_the_digest_of_the_network_is_that_of_the_record() -> None:
    model = {"structure": "s"}
    assert summarize_run("a", make_record(backbone={"model": model})).model == compute_digest(model)
