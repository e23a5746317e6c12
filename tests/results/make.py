"""Records made up for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from results.identity import identity_of
from results.ranking import Run
from results.record import Record, parse_record
from results.store import write_record

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


def run_of(folder: Path, name: str, right: Iterable[bool], seed: int = 0, **changes: Any) -> Run:
    """A whole run as ``bench run`` leaves it, that had these images right: ten classes in turn, numbered from 0."""
    outcomes = list(right)
    rows = [f"{item},{item % 10},{(item + (not ok)) % 10},0.5,{int(not ok)}" for item, ok in enumerate(outcomes)]
    text = "\n".join(["item,label,prediction,confidence,place", *rows]) + "\n"
    by_class = [[ok for item, ok in enumerate(outcomes) if item % 10 == c] for c in range(10)]
    values = {
        "top1": 100 * sum(outcomes) / len(outcomes),
        "mean_per_class": sum(100 * sum(each) / len(each) for each in by_class if each) / sum(map(bool, by_class)),
    }
    content = record().model_dump()
    content["backbone"] |= {"name": name, "card": content["backbone"]["card"] | {"name": name}}
    result = content["result"]
    for metric, value in values.items():
        result["metrics"][metric] |= {"value": value, "n": len(outcomes), "interval": None}
    result["items"] |= {"sha256": hashlib.sha256(text.encode()).hexdigest(), "rows": len(outcomes)}
    counts = {"seed": seed, "done": len(outcomes), "expected": len(outcomes), "schema_version": 2}
    made = Record.model_validate(content | counts | changes)
    identity = identity_of(made)
    made = made.model_copy(update={"run_id": identity.run_id, "comparability": identity.comparability})
    folder.mkdir(parents=True)
    (folder / "items.csv").write_text(text)
    write_record(folder, made)
    return folder, made
