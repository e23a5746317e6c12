"""``bench show task|backbone|run NAME``."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cli.common_options import add_runs_option
from benchmarks.cli.output import write_json, write_stdout
from foundation.errors import UserError

if TYPE_CHECKING:
    from results.records.record import Record


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("noun", choices=("task", "backbone", "run"), help="what to show")
    parser.add_argument("name", metavar="NAME", help="a name; for a run its folder or the start of its id")
    add_runs_option(parser)


def main(options: Namespace) -> int:
    """Write one thing in full."""
    if options.noun == "backbone":
        data = describe_backbone(options.name)
    elif options.noun == "task":
        data = describe_task(options.name)
    else:
        from benchmarks.find_run import find_run

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
