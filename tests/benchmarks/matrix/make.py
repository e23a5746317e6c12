"""Runs made up for tests of the matrix: complete records of real requests, without a training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.cell_record import list_changed_settings
from benchmarks.resolve_cell import CellRequest, make_run_stem, resolve_cell
from results.records.identity import build_run_identity
from results.records.record import Record
from results.records.store import write_record
from tests.results.make import make_record


def make_request(out: Path, **changes: Any) -> CellRequest:
    """A cell of the digits that trains nothing big."""
    fields: dict[str, Any] = {
        "task": "digits", "backbone": "vit_nano", "protocol": "knn", "checkpoint": "random", "out": out,
    }  # fmt: skip
    return CellRequest(**fields | changes)


def write_complete_run(request: CellRequest, value: float = 50.0, **changes: Any) -> tuple[Path, Record]:
    """Writes the record that a run of a request would have left.

    Args:
        request: the cell.
        value: its primary metric.
        changes: what is other than in such a record; a mapping changes only the keys that it has. The id follows.
    """
    resolved = resolve_cell(request)
    content = make_record(value).model_dump() | {
        "schema_version": 6,
        "tier": request.tier,
        "task": resolved.task.name,
        "domain": resolved.task.domain,
        "protocol": resolved.request.protocol,
        "protocol_version": resolved.plan.protocol_version,
        "seed": request.seed,
        "backbone": resolved.backbone.model_dump(),
        "config": dict(resolved.plan.config),
        "non_identity_settings": dict(resolved.plan.non_identity_settings),
        "changed_settings": list_changed_settings(resolved.task, resolved.request, resolved.data, resolved.plan),
        "task_source": resolved.task_source,
    }
    content["data"] |= {"fingerprint": resolved.data.fingerprint, "splits": dict(resolved.data.splits)}
    record = Record.model_validate(_merge(content, changes))
    identity = build_run_identity(record)
    record = record.model_copy(update={"run_id": identity.run_id, "comparability": identity.comparability})
    folder = request.out / make_run_stem(resolved.task, resolved.request, request.seed, identity.run_id)
    folder.mkdir(parents=True)
    write_record(folder, record)
    return folder, record


def _merge(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(content)
    for name, value in changes.items():
        old = merged.get(name)
        merged[name] = _merge(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return merged
