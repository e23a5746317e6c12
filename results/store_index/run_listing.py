"""List the runs of stores: as facts for a plan, and as plain data for ``bench list runs``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from foundation.machine.garbage_collection import pause_garbage_collection
from results.leaderboard.row_labels import format_start_label
from results.records.saved_timings import TimingScan, list_stores, scan_timings
from results.store_index.read_runs import iter_runs
from results.store_index.run_facts import RunFacts, decode_facts


class RunListing(NamedTuple):
    """The runs of some stores.

    Attributes:
        runs: facts of each readable record, in the order of a scan.
        errors: one sentence for each folder, record or saved timing that cannot be read.
    """

    runs: list[RunFacts]
    errors: list[str]


def list_run_facts(roots: Sequence[Path]) -> RunListing:
    """Return what the records of some stores say; a record that was read before and has not changed is not opened.

    Raises:
        UserError: a store does not exist.
    """
    errors: list[str] = []
    with pause_garbage_collection():
        runs = [decode_facts(run.folder, run.lines) for run in iter_runs(roots, errors)]
        return RunListing(runs, errors + scan_saved_timings(roots, (facts.folder for facts in runs)).errors)


def scan_saved_timings(roots: Sequence[Path], folders: Iterable[str]) -> TimingScan:
    """Read the timings that were saved beside the runs of some stores.

    Args:
        roots: the stores.
        folders: the folders of their runs.
    """
    # list_stores looks at the parents of runs only, and the runs of a task share theirs
    parents = {os.path.dirname(folder) for folder in folders}
    return scan_timings(list_stores(roots, (Path(parent, "run") for parent in parents)))


class RunColumns(NamedTuple):
    """The runs of some stores by columns.

    Attributes:
        columns: values by name of the column, each in the order of a scan.
        errors: one sentence for each folder, record or saved timing that cannot be read.
    """

    columns: dict[str, Sequence[Any]]
    errors: list[str]


def list_run_columns(roots: Sequence[Path]) -> RunColumns:
    """Return what ``bench list runs`` displays; by columns, because 100,000 rows as dictionaries take longer.

    Raises:
        UserError: a store does not exist.
    """
    found = list_run_facts(roots)
    by_field: dict[str, Sequence[Any]] = dict.fromkeys(RunFacts._fields, ())
    by_field.update(
        zip(RunFacts._fields, zip(*found.runs, strict=True), strict=False)
    )  # nothing to update with no runs
    made = {facts.exported_sha256: facts.protocol for facts in found.runs if facts.exported_sha256 is not None}
    starts = list(zip(by_field["start_kind"], by_field["start_sha256"], strict=True))
    labels = {(kind, sha256): format_start_label(kind, sha256, made.get(sha256, "")) for kind, sha256 in set(starts)}
    columns = {
        "run_id": by_field["run_id"],
        "task": by_field["task"],
        "protocol": by_field["protocol"],
        "tier": by_field["tier"],
        "departures": by_field["departures"],
        "backbone": by_field["backbone"],
        "start": [labels[start] for start in starts],
        "seed": by_field["seed"],
        "status": by_field["status"],
        "primary": by_field["primary_metric"],
        "value": by_field["value"],
        "folder": by_field["folder"],
    }
    return RunColumns(columns, found.errors)


def list_run_rows(roots: Sequence[Path]) -> list[dict[str, Any]]:
    """Return one row for each run folder; a record that cannot be read has its error only.

    Raises:
        UserError: a store does not exist.
    """
    columns, errors = list_run_columns(roots)
    rows = [{**dict(zip(columns, row, strict=True)), "error": None} for row in zip(*columns.values(), strict=True)]
    return rows + [{"error": fault} for fault in errors]
