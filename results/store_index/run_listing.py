"""List the runs of stores: as facts for a plan, and as plain data for ``bench list runs``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from foundation.garbage_collection import pause_garbage_collection
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


def list_run_rows(roots: Sequence[Path]) -> list[dict[str, Any]]:
    """Return one row for each run folder; a record that cannot be read has its error only.

    Raises:
        UserError: a store does not exist.
    """
    found = list_run_facts(roots)
    made = {facts.exported_sha256: facts.protocol for facts in found.runs if facts.exported_sha256 is not None}
    rows: list[dict[str, Any]] = [
        {
            "run_id": facts.run_id,
            "task": facts.task,
            "protocol": facts.protocol,
            "tier": facts.tier,
            "departures": facts.departures,
            "backbone": facts.backbone,
            "start": format_start_label(facts.start_kind, facts.start_sha256, made.get(facts.start_sha256, "")),
            "seed": facts.seed,
            "status": facts.status,
            "primary": facts.primary_metric,
            "value": facts.value,
            "folder": facts.folder,
            "error": None,
        }
        for facts in found.runs
    ]
    return rows + [{"error": fault} for fault in found.errors]
