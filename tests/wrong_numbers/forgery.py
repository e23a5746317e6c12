"""Forge a run as somebody would who knows bench: every hash, metric, interval and id is computed again."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.verify.verify_records import VerifyReport, VerifyRequest, verify_records
from results.records.identity import collect_identity_fields
from results.records.verification import VerificationCheck
from results.statistics.intervals import wilson_interval

Edit = Callable[[dict[str, Any]], object]
EditRows = Callable[[list[dict[str, str]]], list[dict[str, str]]]


def forge_run(folder: Path, edit: Edit = lambda content: None, edit_rows: EditRows | None = None) -> Path:
    """Edit the record and the rows of a k-NN or fine-tuning run, make everything else fit, and rename the folder."""
    path = folder / "record.json"
    content = json.loads(path.read_text())
    if edit_rows is not None:
        _forge_rows(folder, content, edit_rows)
    edit(content)
    identity = collect_identity_fields(content)
    content |= {"run_id": identity.run_id, "comparability": identity.comparability}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    name = content["backbone"]["name"]
    cell = f"{name}-{content['protocol']}-{content['tier']}-seed{content['seed']}"
    return folder.rename(folder.with_name(f"{cell}-{identity.run_id}"))


def _forge_rows(folder: Path, content: dict[str, Any], edit_rows: EditRows) -> None:
    table = folder / "items.csv"
    rows = edit_rows(list(csv.DictReader(io.StringIO(table.read_text()))))
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    table.write_text(text.getvalue())
    right = [row["label"] == row["prediction"] for row in rows]
    by_class: dict[str, list[bool]] = {}
    for row, is_right in zip(rows, right, strict=True):
        by_class.setdefault(row["label"], []).append(is_right)
    result, count = content["result"], len(rows)
    metrics = result["metrics"]
    interval = wilson_interval(sum(right), count, resampling_unit="images")
    metrics["top1"] |= {"value": 100 * sum(right) / count, "n": count, "interval": interval.model_dump()}
    means = [100 * sum(each) / len(each) for each in by_class.values()]
    metrics["mean_per_class"] |= {"value": sum(means) / len(means), "n": count}
    result["items"] |= {"sha256": hashlib.sha256(text.getvalue().encode()).hexdigest(), "rows": count}
    content |= {"done": count, "expected": count}


def set_command(content: dict[str, Any], *words: str) -> None:
    """Let the record say that another command made it."""
    content["environment"]["command"] = ["bench", *words]


def verify_folder(path: Path, **settings: Any) -> VerifyReport:
    """Verify on the CPU."""
    return verify_records(VerifyRequest(path, device="cpu", **settings))


def judge_run(path: Path, **settings: Any) -> dict[str, str]:
    """The worst state of each thing that is checked of the one record at a place."""
    ((_, checks),) = verify_folder(path, **settings).records
    return judge_checks(checks)


def judge_checks(checks: list[VerificationCheck]) -> dict[str, str]:
    """The worst state of each subject."""
    order = ("holds", "note", "unchecked", "fails")
    found: dict[str, str] = {}
    for check in checks:
        found[check.subject] = max(found.get(check.subject, "holds"), check.state, key=order.index)
    return found


def list_failures(path: Path, **settings: Any) -> set[str]:
    """What fails of the one record at a place."""
    return {subject for subject, state in judge_run(path, **settings).items() if state == "fails"}
