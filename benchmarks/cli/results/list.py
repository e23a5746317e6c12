"""``bench list tasks|backbones|protocols|pretraining|suites|runs``: list what exists."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cli.common_options import add_runs_option
from benchmarks.cli.output import join_columns, write_json, write_stdout
from foundation.display_text import format_one_line
from foundation.machine.garbage_collection import pause_garbage_collection

MAX_LISTED_VALUES = 8
"""Values of a cell that are listed; --json has all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    nouns = ("tasks", "backbones", "protocols", "pretraining", "suites", "runs")
    parser.add_argument("noun", choices=nouns, help="what to list")
    add_runs_option(parser)


def main(options: Namespace) -> int:
    """Write the listing; broken entries come last with their errors."""
    with pause_garbage_collection():
        return _write_listing(options)


def _write_listing(options: Namespace) -> int:
    # imported here: the registries take longer to import than thousands of runs to list
    if options.noun == "runs":
        from results.store_index.run_listing import list_run_columns, list_run_rows

        if options.json:
            write_json(list_run_rows(options.runs))
        else:
            columns, errors = list_run_columns(options.runs)
            places = zip(columns["status"], columns["folder"], strict=True)
            marked = {**columns, "status": [_mark_dead_run(status, Path(folder)) for status, folder in places]}
            _write_columns(options.noun, marked, errors)
        return 0
    from benchmarks import listing

    # functions and not results in the table: only the requested listing is computed
    rows = {
        "tasks": listing.list_tasks,
        "backbones": listing.list_backbones,
        "protocols": listing.list_protocols,
        "pretraining": listing.list_pretraining_methods,
        "suites": listing.list_suites,
    }[options.noun]()
    if options.json:
        write_json(rows)
        return 0
    whole = [row for row in rows if row.get("error") is None]
    # origin (a file or a package) is too long for a column; --json has it
    keys = [key for key in whole[0] if key not in ("error", "origin")] if whole else []
    errors = [row["error"] for row in rows if row.get("error") is not None]
    _write_columns(options.noun, {key: [row[key] for row in whole] for key in keys}, errors)
    if options.noun == "backbones":
        write_stdout("also timm/<name> for every model of timm")  # more than a thousand, too many to list
    return 0


def _write_columns(noun: str, columns: Mapping[str, Sequence[Any]], errors: Sequence[str]) -> None:
    if any(columns.values()):
        texts = [
            [name, *(values if set(map(type, values)) == {str} else map(_format_value, values))]
            for name, values in columns.items()
        ]
        write_stdout(join_columns(texts))
    elif not errors:
        write_stdout(f"no {noun}")
    # one broken card or record must not hide the others
    for error in errors:
        write_stdout(format_one_line(f"BROKEN: {error}"))


def _format_value(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        # COCO's 24 metrics would push everything else off the screen
        texts = list(map(str, value))
        more = [f"and {len(texts) - MAX_LISTED_VALUES} more"] if len(texts) > MAX_LISTED_VALUES + 1 else []
        return ", ".join([*texts[:MAX_LISTED_VALUES], *more] if more else texts) or "-"
    if isinstance(value, bool):  # before numbers: bool is a subclass of int
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}"
    return "-" if value is None else str(value)


def _mark_dead_run(status: str, folder: Path) -> str:
    """Return a run's status; one that says ``running`` in a folder that no process works on was killed."""
    from results.records.store import is_folder_at_work

    return "running (no process)" if status == "running" and is_folder_at_work(folder) is False else status
