"""Select runs of stores by what their records said when they were read, and open those that are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from foundation.errors import RecordError
from results.leaderboard.report import StoreFacts
from results.leaderboard.timing_index import RunTiming
from results.records.record import Record
from results.records.store import ScanResult, read_record
from results.store_index.read_runs import iter_runs
from results.store_index.run_facts import RunFacts, decode_facts, decode_timing
from results.store_index.run_listing import scan_saved_timings


class SelectedRuns(NamedTuple):
    """The records that were asked for, as a scan of all records would give them, and what the other records say.

    Attributes:
        scan_result: the records, and the complete pre-trainings, which name the start weights of others.
        facts: what a leaderboard needs of all records.
    """

    scan_result: ScanResult
    facts: StoreFacts


def scan_selected_runs(roots: Sequence[Path], is_chosen: Callable[[RunFacts], bool]) -> SelectedRuns:
    """Read the records of stores that are asked for.

    Args:
        roots: the stores.
        is_chosen: returns whether a record is asked for.

    Raises:
        UserError: a store does not exist.
    """
    errors: list[str] = []
    unread: list[str] = []
    records: list[tuple[Path, Record]] = []
    timings: list[RunTiming] = []
    tasks, backbones, parents = set(), set(), set()
    for run in iter_runs(roots, errors):
        facts = decode_facts(run.folder, run.lines)
        tasks.add(facts.task)
        backbones.add(facts.backbone)
        parents.add(os.path.dirname(run.folder))
        timing = decode_timing(run.folder, run.lines)
        if timing is not None:
            timings.append(timing)
        if is_chosen(facts) or facts.is_pretraining:
            try:
                records.append((Path(run.folder), run.record or read_record(Path(run.folder))))
            except RecordError as error:  # it was changed or removed since the walk has seen it
                unread.append(str(error))
    saved = scan_saved_timings(roots, (os.path.join(parent, "run") for parent in parents))
    scan_result = ScanResult(records, errors + unread + saved.errors, saved.timings)
    return SelectedRuns(scan_result, StoreFacts(tasks, backbones, timings))
