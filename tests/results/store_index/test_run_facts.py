"""What is kept about a record."""

from __future__ import annotations

from results.records.identity import compute_candidate_digest, compute_digest
from results.records.record import parse_record
from results.store_index import run_facts
from results.store_index.run_facts import decode_facts, decode_timing, encode_run, summarize_run
from tests.conftest import ROOT
from tests.results.make import FIXTURE, make_cost, make_record


def test_what_is_kept_of_a_record() -> None:
    """If this changes without a change of the records, raise ``INDEX_VERSION`` and write a file of that version."""
    backbone = {"name": "a\u2028\n\ud7ff", "model": {"structure": "s", "attributes": "a", "source": "c"}}
    record = make_record(50.0, cost=make_cost(1000, 2.0), backbone=backbone)
    whole = encode_run(parse_record(FIXTURE.read_text(), "fixture")) + b"\n" + encode_run(record)
    expected = ROOT / "tests" / "results" / "store_index" / f"facts_v{run_facts.INDEX_VERSION}.txt"
    assert whole.decode() == expected.read_text().rstrip("\n")


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
