"""Records made up for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from results.records.identity import build_run_identity
from results.records.record import Record, StatisticRecord, parse_record
from results.records.store import ScanResult, write_record
from results.statistics.legacy_statistics import LEGACY_STATISTICS
from results.statistics.metric_statistics import MetricStatistic
from results.statistics.ranking import StoredRun

FIXTURE = Path(__file__).parent / "fixtures" / "record_v1.json"


def make_record(value: float | None = None, **changes: Any) -> Record:
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
        content["environment"]["started"] = started
    return Record.model_validate(content | changes)


def make_scan(*records: Record) -> ScanResult:
    """What a scan would have given; the folders are made up and hold no per-item files."""
    return ScanResult([(Path(f"runs/{number}"), each) for number, each in enumerate(records)], [])


def make_backbone_record(name: str, value: float, run: str, **changes: Any) -> Record:
    """A record of a backbone called ``name``."""
    return make_record(value, run_id=run, backbone={"name": name} | changes.pop("backbone", {}), **changes)


def write_run(folder: Path, name: str, correct: Sequence[bool], run: str, **changes: Any) -> Record:
    """As ``write_digits_run``, with an id, a comparability key and a backbone of the caller's choice."""
    folder.mkdir(parents=True)
    lines = [f"{number},0,{0 if each else 1},0.5,{0 if each else 1}" for number, each in enumerate(correct)]
    items = "\n".join(["item,label,prediction,confidence,place", *lines, ""])
    (folder / "items.csv").write_text(items)
    made = make_backbone_record(name, 100 * sum(correct) / len(correct), run, **changes).model_dump()
    made["result"]["items"] = {
        "file": "items.csv",
        "sha256": hashlib.sha256(items.encode()).hexdigest(),
        "rows": len(correct),
    }
    for metric in made["result"]["metrics"].values():
        metric["n"] = len(correct)
    made |= {"done": len(correct), "expected": len(correct)}
    done = Record.model_validate(made)
    write_record(folder, done)
    return done


def make_cost(parameters: int, milliseconds: float, **changes: Any) -> dict[str, Any]:
    """The cost of a record with these counts and times."""
    measured = {
        "img_size": [32, 32],
        "parameters": parameters,
        "macs": 10 * parameters,
        "macs_without_attention": 9 * parameters,
        "activations": parameters,
        "latency": {"batch": 1, "raw_ms": [milliseconds, milliseconds, 9 * milliseconds]},
        "throughput": {"batch": 4, "raw_ms": [2 * milliseconds]},
        "chip": "a chip",
        "threads": 1,
        "runtime": "torch 2",
        "precision": "fp32",
    }
    return {"phases": {}, "efficiency": measured | changes}


def write_digits_run(folder: Path, name: str, correct: Iterable[bool], seed: int = 0, **changes: Any) -> StoredRun:
    """A whole run as ``bench run`` leaves it, that had these images right: ten classes in turn, numbered from 0."""
    outcomes = list(correct)
    rows = [f"{item},{item % 10},{(item + (not ok)) % 10},0.5,{int(not ok)}" for item, ok in enumerate(outcomes)]
    text = "\n".join(["item,label,prediction,confidence,place", *rows]) + "\n"
    by_class = [[ok for item, ok in enumerate(outcomes) if item % 10 == c] for c in range(10)]
    values = {
        "top1": 100 * sum(outcomes) / len(outcomes),
        "mean_per_class": sum(100 * sum(each) / len(each) for each in by_class if each) / sum(map(bool, by_class)),
    }
    content = make_record().model_dump()
    content["backbone"] |= {"name": name, "card": content["backbone"]["card"] | {"name": name}}
    result = content["result"]
    for metric, value in values.items():
        result["metrics"][metric] |= {"value": value, "n": len(outcomes), "interval": None}
        if changes.get("schema_version", 2) > 3:  # a record since then says itself how a metric follows from the items
            result["metrics"][metric]["statistic"] = StatisticRecord.from_statistic(LEGACY_STATISTICS[metric])
    result["items"] |= {"sha256": hashlib.sha256(text.encode()).hexdigest(), "rows": len(outcomes)}
    counts = {"seed": seed, "done": len(outcomes), "expected": len(outcomes), "schema_version": 2}
    made = Record.model_validate(content | counts | changes)
    identity = build_run_identity(made)
    made = made.model_copy(update={"run_id": identity.run_id, "comparability": identity.comparability})
    folder.mkdir(parents=True)
    (folder / "items.csv").write_text(text)
    write_record(folder, made)
    return folder, made


def write_table_run(
    folder: Path,
    name: str,
    columns: Mapping[str, Sequence[object]],
    metrics: Mapping[str, tuple[float, MetricStatistic | None]],
    unit: str = "",
    **changes: Any,
) -> StoredRun:
    """A run of schema 4 with a table and metrics of the caller's choice; the first metric is the primary one."""
    rows = list(zip(*columns.values(), strict=True))
    text = "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n"
    content = make_record().model_dump() | {"schema_version": 4, "done": len(rows), "expected": len(rows)}
    content["backbone"] |= {"name": name, "card": content["backbone"]["card"] | {"name": name}}
    result = content["result"]
    result["primary_metric"] = next(iter(metrics))
    result["metrics"] = {
        metric: {
            "value": value,
            "unit": unit,
            "higher_is_better": True,
            "n": len(rows),
            "statistic": StatisticRecord.from_statistic(statistic).model_dump() if statistic else None,
        }
        for metric, (value, statistic) in metrics.items()
    }
    result["items"] |= {"sha256": hashlib.sha256(text.encode()).hexdigest(), "rows": len(rows)}
    made = Record.model_validate(content | changes)
    identity = build_run_identity(made)
    made = made.model_copy(update={"run_id": identity.run_id, "comparability": identity.comparability})
    folder.mkdir(parents=True)
    (folder / "items.csv").write_text(text)
    write_record(folder, made)
    return folder, made
