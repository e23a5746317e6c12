"""``bench show task|backbone|run NAME``: show all details of one thing."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cli.common_options import add_runs_option
from benchmarks.cli.format_run import format_run
from benchmarks.cli.output import write_json, write_stdout
from foundation.display_text import format_one_line
from foundation.errors import UserError
from foundation.storage.fault_isolation import convert_faults

# only for annotations: the module imports pydantic
if TYPE_CHECKING:
    from results.records.record import Record


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("noun", choices=("task", "backbone", "run"), help="what to show")
    parser.add_argument(
        "name", metavar="NAME", help="name of a task or backbone; for a run its folder or start of its id"
    )
    add_runs_option(parser)


def main(options: Namespace) -> int:
    """Write all details of one task, backbone or run; of a run what a reader asks first, and with --json the record."""
    # each branch imports only what it needs: a card does not need the task registry
    if options.noun == "backbone":
        data = describe_backbone(options.name)
    elif options.noun == "task":
        data = describe_task(options.name)
    else:
        from benchmarks.find_run import find_run

        folder, record = find_run(options.name, options.runs)
        drawn = _draw_pictures(folder, record)
        if not options.json:
            with convert_faults(f"cannot show the run in {folder}"):
                text = format_run(folder, record, drawn.get("pictures", []))
            write_stdout(text)
            return 0
        data = record.model_dump(mode="json") | drawn
    if options.json:
        write_json(data)
    else:
        write_stdout("\n".join(map(format_one_line, _format_nested(data))))
    return 0


def describe_backbone(name: str) -> dict[str, Any]:
    """Return the card of a backbone as plain data."""
    from backbones.registry import get_card

    return get_card(name).as_dict()


def describe_task(name: str) -> dict[str, Any]:
    """Return the description of a task as plain data."""
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
    """Return the paths of a run's pictures under ``pictures``, drawn now where they are missing, or why they cannot."""
    from benchmarks.run_pictures import ensure_run_pictures

    try:
        with convert_faults("they cannot be drawn"):
            pictures = ensure_run_pictures(folder, record)
    except UserError as error:  # the data were moved, or the task is no longer installed; the record is still shown
        return {"pictures": f"none: {error}"}
    return {"pictures": [str(picture.path) for picture in pictures]} if pictures else {}


def _format_nested(value: Any, indent: str = "") -> list[str]:
    """Format nested data as indented lines."""
    lines: list[str] = []
    pairs = value.items() if isinstance(value, dict) else ((f"- {i}", item) for i, item in enumerate(value))
    for key, item in pairs:
        # a list of plain values fits on one line; a list with dictionaries needs one block per entry
        nested = isinstance(item, dict) or (isinstance(item, list) and any(isinstance(x, dict) for x in item))
        if nested and item:
            lines += [f"{indent}{key}:", *_format_nested(item, indent + "  ")]
        elif isinstance(item, list):
            lines.append(f"{indent}{key}: {', '.join(map(str, item)) or 'none'}")
        else:
            lines.append(f"{indent}{key}: {'-' if item is None or item == {} else item}")
    return lines
