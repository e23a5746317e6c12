from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from foundation.errors import RecordError
from results.records.identity import build_run_identity
from results.records.measurements import RunCost
from results.records.record import SCHEMA_VERSION, MetricValue, dump_record, parse_record
from tests.results.make import FIXTURE, make_record


def content() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FIXTURE.read_text())
    return loaded


def test_fixture_of_schema_1_always_loads() -> None:
    loaded = parse_record(FIXTURE.read_text(), "fixture")
    assert loaded.schema_version == 1
    assert loaded.result is not None
    assert loaded.result.metrics["top1"].value == pytest.approx(97.7715877437326)


def test_fixture_of_schema_2_always_loads_and_is_its_own_run() -> None:
    loaded = parse_record((FIXTURE.parent / "record_v2.json").read_text(), "fixture")
    assert loaded.schema_version == 2
    assert loaded.data.deviations == []
    assert "workers" in loaded.non_identity_settings
    identity = build_run_identity(loaded)
    assert (identity.run_id, identity.comparability) == (loaded.run_id, loaded.comparability)


def test_a_metric_without_direction_is_refused() -> None:
    broken = content()
    del broken["result"]["metrics"]["top1"]["higher_is_better"]
    with pytest.raises(RecordError, match=r"top1\.higher_is_better: Field required"):
        parse_record(json.dumps(broken), "x")


def test_dump_and_parse_are_inverse() -> None:
    first = make_record()
    assert parse_record(dump_record(first), "again") == first


def test_unknown_field_is_refused_and_named() -> None:
    with pytest.raises(RecordError, match=r"backbone\.colour: unknown field"):
        broken = content()
        broken["backbone"]["colour"] = "red"
        parse_record(json.dumps(broken), "x.json")


def test_newer_schema_is_refused_with_a_sentence() -> None:
    newer = json.dumps(content() | {"schema_version": SCHEMA_VERSION + 1, "new_field": 1})
    with pytest.raises(RecordError, match=r"^x\.json has schema version 9, this bench reads up to 8; update bench$"):
        parse_record(newer, "x.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": "1"}', '{"a": NaN}', "\x00"])
def test_what_is_no_record_is_named(text: str) -> None:
    with pytest.raises(RecordError, match=r"^x\.json is not a record"):
        parse_record(text, "x.json")


def test_null_is_not_measured_and_never_zero() -> None:
    loaded = parse_record(json.dumps(content() | {"cost": {"phases": {}, "peak_memory_mib": None, "attempts": 1}}), "x")
    assert loaded.cost is not None
    assert loaded.cost.peak_memory_mib is None
    assert json.loads(dump_record(loaded))["cost"]["peak_memory_mib"] is None
    broken = content()
    broken["result"]["metrics"]["top1"]["value"] = None
    with pytest.raises(RecordError, match=r"top1\.value"):
        parse_record(json.dumps(broken), "x")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "97.0"])
def test_a_metric_is_a_finite_number(value: Any) -> None:
    with pytest.raises(ValidationError):
        MetricValue(value=value, unit="%", higher_is_better=True, n=1)


def test_complete_needs_every_item() -> None:
    with pytest.raises(RecordError, match="complete, but 358 of 359 items were scored"):
        parse_record(json.dumps(content() | {"done": 358}), "x")


def test_metrics_stand_only_in_a_complete_record() -> None:
    with pytest.raises(RecordError, match="a running record may not hold metrics"):
        parse_record(json.dumps(content() | {"status": "running"}), "x")


def test_failed_needs_its_reason() -> None:
    with pytest.raises(RecordError, match="a failed record needs its reason"):
        parse_record(json.dumps(content() | {"status": "failed", "result": None}), "x")


def test_records_are_frozen() -> None:
    with pytest.raises(ValidationError):
        make_record().seed = 3  # type: ignore[misc]


def test_not_measured_is_the_default_of_optional_costs() -> None:
    assert RunCost(phases={}).peak_memory_mib is None


def test_what_json_has_not_is_refused_wherever_it_stands() -> None:
    broken = FIXTURE.read_text().replace('"weight_decay": 0.05', '"weight_decay": NaN')
    with pytest.raises(RecordError, match="NaN is not a number"):
        parse_record(broken, "x")
    worded = FIXTURE.read_text().replace('"summary": "', '"summary": "NaN and Infinity, ')
    assert "NaN and Infinity" in parse_record(worded, "x").backbone.card["summary"]


def test_a_fault_quotes_little_of_a_long_value() -> None:
    content = make_record().model_dump(mode="json") | {"seed": "9" * 10_000}
    with pytest.raises(RecordError, match=r"seed: .*, not '9+ \.\.\.") as caught:
        parse_record(json.dumps(content), "x")
    assert len(str(caught.value)) < 300
