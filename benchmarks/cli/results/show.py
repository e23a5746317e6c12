"""``bench show task|backbone|run NAME``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cli.output import write_json, write_stdout
from foundation.errors import UnknownNameError, UserError
from foundation.suggest import did_you_mean

if TYPE_CHECKING:
    from results.records.record import Record


def main(options: Namespace) -> int:
    """Write one thing in full."""
    if options.noun == "backbone":
        data = describe_backbone(options.name)
    elif options.noun == "task":
        data = describe_task(options.name)
    else:
        folder, record = find_run(options.name, options.runs)
        data = record.model_dump(mode="json") | _draw_pictures(folder, record)
    if options.json:
        write_json(data)
    else:
        write_stdout("\n".join(_format_nested(data)))
    return 0


def describe_backbone(name: str) -> dict[str, Any]:
    """A backbone's card."""
    from backbones.registry import get_card

    return get_card(name).as_dict()


def describe_task(name: str) -> dict[str, Any]:
    """What a task says of itself."""
    from benchmarks.task_registry import TASKS

    task = TASKS.get(name)
    return {
        "name": task.name,
        "domain": task.domain,
        "summary": task.summary,
        "protocols": list(task.protocols),
        "metrics": [
            {"name": metric.name, "unit": metric.unit, "higher_is_better": metric.higher_is_better}
            for metric in task.metrics
        ],
        "expected": dict(task.expected),
    }


def find_run(name: str, stores: Sequence[Path]) -> tuple[Path, Record]:
    """A run's folder and record, by its folder or the start of its run id.

    Raises:
        UnknownNameError: no such run, or several.
    """
    from results.records.store import RECORD_FILE, read_record, scan_runs

    folder = Path(name)
    if (folder / RECORD_FILE).is_file():
        return folder, read_record(folder)
    records = scan_runs(stores).records
    found = [(folder, record) for folder, record in records if record.run_id.startswith(name)]
    if not found:
        known = {record.run_id for _, record in records}
        raise UnknownNameError(f"no run {name!r}{did_you_mean(name, known, hint='see: bench list runs')}")
    if len({record.run_id for _, record in found}) > 1:
        raise UnknownNameError(f"{name!r} is the start of {len(found)} run ids; give more of it")
    return max(found, key=lambda item: item[1].environment.started)


def _draw_pictures(folder: Path, record: Record) -> dict[str, Any]:
    """What the task draws of a complete run, as ``pictures`` beside the record's own fields; or why it cannot."""
    from benchmarks.task_registry import TASKS
    from pretraining.task import list_pictures
    from results.records.record import PRETRAINING_DOMAIN

    if record.status != "complete":
        return {}
    try:
        files = (
            list_pictures(folder)
            if record.domain == PRETRAINING_DOMAIN
            else TASKS.get(record.task).visualize_run(folder, record)
        )
    except UserError as error:  # data that were moved, or a task that is no longer installed
        return {"pictures": f"none: {error}"}
    return {"pictures": [str(path) for path in files]} if files else {}


def _format_nested(value: Any, indent: str = "") -> list[str]:
    """Nested data as indented lines."""
    lines: list[str] = []
    pairs = value.items() if isinstance(value, dict) else ((f"- {i}", item) for i, item in enumerate(value))
    for key, item in pairs:
        nested = isinstance(item, dict) or (isinstance(item, list) and any(isinstance(x, dict) for x in item))
        if nested and item:
            lines += [f"{indent}{key}:", *_format_nested(item, indent + "  ")]
        elif isinstance(item, list):
            lines.append(f"{indent}{key}: {', '.join(map(str, item)) or 'none'}")
        else:
            lines.append(f"{indent}{key}: {'-' if item is None or item == {} else item}")
    return lines
