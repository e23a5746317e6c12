"""The published schema is the model's, and both accept and refuse the same records."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from benchmarks.transfer.record_schema import SCHEMA_FILE, main, render_record_schema
from foundation.errors import RecordError
from results.records.record import SCHEMA_VERSION, dump_record, parse_record
from tests.conftest import ROOT
from tests.results.make import make_record

SCHEMA = json.loads((ROOT / SCHEMA_FILE).read_text())
REFERENCE = sorted((ROOT / "results" / "reference_runs").rglob("record.json"))


def test_the_committed_schema_is_the_models(tmp_path: Path) -> None:
    assert (ROOT / SCHEMA_FILE).read_text() == render_record_schema(), "make docs-cli writes it"
    main([str(tmp_path / "x.json")])
    assert (tmp_path / "x.json").read_text() == render_record_schema()
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def is_accepted(content: Any) -> bool:
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(content)


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.parent.name)
def test_reference_records(path: Path) -> None:
    """Those of the present version are accepted, and older ones once they are written under today's names."""
    content = json.loads(path.read_text())
    assert is_accepted(content) == (content["schema_version"] == SCHEMA_VERSION)
    today = parse_record(path.read_text(), path.name).model_copy(update={"schema_version": SCHEMA_VERSION})
    assert is_accepted(json.loads(dump_record(today)))


def current() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(dump_record(make_record(schema_version=SCHEMA_VERSION)))
    return content


@pytest.mark.parametrize("status", ["running", "complete", "failed", "invalidated"])
def test_every_status_is_accepted_by_both(status: str) -> None:
    content = json.loads(dump_record(make_record(schema_version=SCHEMA_VERSION, status=status)))
    assert is_accepted(content)


FAULTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "unknown field": lambda record: record.update(more=1),
    "unknown field within": lambda record: record["data"].update(more=1),
    "no version": lambda record: record.pop("schema_version"),
    "newer": lambda record: record.update(schema_version=SCHEMA_VERSION + 1),
    "no id": lambda record: record.pop("run_id"),
    "text for a number": lambda record: record.update(seed="0"),
    "number for a text": lambda record: record.update(task=1),
    "unknown status": lambda record: record.update(status="done"),
    "complete without result": lambda record: record.update(result=None),
    "running with result": lambda record: record.update(status="running"),
    "invalidated without reason": lambda record: record.update(status="invalidated", reason=None),
    "no value": lambda record: record["result"]["metrics"]["top1"].pop("value"),
    "a hash that is none": lambda record: record["result"]["items"].update(sha256="abc"),
    "unknown init": lambda record: record["backbone"].update(init="magic"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_model_and_schema_refuse_the_same(fault: str) -> None:
    content = current()
    assert is_accepted(content)
    broken = copy.deepcopy(content)
    FAULTS[fault](broken)
    assert not is_accepted(broken)
    with pytest.raises(RecordError):
        parse_record(json.dumps(broken), "made up")
