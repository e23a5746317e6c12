"""Records made up for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from results.record import Record, parse_record

FIXTURE = Path(__file__).parent / "fixtures" / "record_v1.json"


def record(value: float | None = None, **changes: Any) -> Record:
    """The committed record with changes at the top level; ``value`` sets its primary metric."""
    content = parse_record(FIXTURE.read_text(), "fixture").model_dump()
    if value is not None:
        content["result"]["metrics"]["top1"]["value"] = value
    if changes.get("status", "complete") != "complete":
        content |= {"result": None, "done": 0, "reason": "made up"}
    backbone = changes.pop("backbone", {})
    started = changes.pop("started", None)
    content["backbone"] |= backbone
    if started:
        content["where"]["started"] = started
    return Record.model_validate(content | changes)
