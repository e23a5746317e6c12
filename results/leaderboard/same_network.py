"""Which runs of one backbone name are runs of one network: only those may be averaged as seeds of one row.

A plug-in may be edited between two runs. Its name, card and arguments then stay the same, but the network does not.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence

from results.records.record import Record
from results.statistics.ranking import StoredRun


def split_by_network(runs: Sequence[StoredRun]) -> list[list[StoredRun]]:
    """Group runs of one backbone, card and start by the digest of the network that was built.

    Records of schema versions before 5 have no such digest. They join the others if there is one network only, and
    are a group of their own if there are several, because then nobody knows which of them they were.

    Args:
        runs: runs with the same name, card, arguments and start weights.

    Returns:
        The groups, in the order of their first run.
    """
    by_model: dict[str, list[StoredRun]] = defaultdict(list)
    for run in runs:
        by_model[get_model_digest(run[1])].append(run)
    known = [digest for digest in by_model if digest]
    if len(known) == 1:
        return [list(runs)]
    return list(by_model.values())


def select_newest_seeds(runs: Sequence[StoredRun]) -> tuple[list[StoredRun], list[StoredRun]]:
    """Keep one run for each seed, the newest: a seed that counted twice would shift the mean and narrow its interval.

    The same command has another id since records hold a digest of the network, so a seed of an earlier version may be
    run again beside its old record.

    Args:
        runs: runs of one row.

    Returns:
        The runs that count, in the order of their seeds, and those that were made again.
    """
    newest: dict[int, StoredRun] = {}
    older = []
    for run in sorted(runs, key=lambda run: run[1].environment.started):
        if (before := newest.get(run[1].seed)) is not None:
            older.append(before)
        newest[run[1].seed] = run
    return [newest[seed] for seed in sorted(newest)], older


def select_newest_attempts(records: Sequence[StoredRun], warnings: list[str]) -> list[StoredRun]:
    """Return one record per run_id: the newest complete attempt, or else the newest one.

    A warning is added for complete attempts at one run whose numbers disagree.

    Args:
        records: all runs.
        warnings: sentences are appended to it.
    """
    by_run: dict[str, list[StoredRun]] = defaultdict(list)
    for folder, record in records:
        by_run[record.run_id].append((folder, record))
    kept = []
    for run_id, same in sorted(by_run.items()):
        # False sorts before True, so the last entry is a complete attempt if there is any
        same.sort(key=lambda item: (item[1].status == "complete", item[1].environment.started))
        kept.append(same[-1])
        values = [
            (record.result.metrics[record.result.primary_metric].value, folder)
            for folder, record in same
            if record.status == "complete" and record.result
        ]
        if len({value for value, _ in values}) > 1:
            # with all digits: rounded, different numbers may look the same
            numbers = [f"{value!r} ({folder})" for value, folder in values]
            warnings.append(
                f"run {run_id} was completed {len(values)} times with different numbers; {numbers[-1]} counts, because "
                f"it was started last, and {', '.join(numbers[:-1])} is left out"
            )
    return kept


def get_model_digest(record: Record) -> str:
    """Return the digests of the network as one text; empty in records of schema versions before 5."""
    model = record.backbone.model
    return json.dumps(model, sort_keys=True) if model else ""


def find_network_conflict(records: Sequence[Record]) -> str | None:
    """Return why runs cannot be of one network, as a sentence; ``None`` if nothing speaks against it.

    Args:
        records: the runs of one row.
    """
    parameters, macs = set(), set()
    for record in records:
        efficiency = record.cost.efficiency if record.cost else None
        if record.backbone.parameters is not None:
            parameters.add(record.backbone.parameters)
        if efficiency is not None:
            macs.add((tuple(efficiency.img_size), efficiency.macs))
    if len(parameters) > 1:
        counts = " and ".join(f"{count:,}" for count in sorted(parameters))
        return f"its runs have different networks: {counts} parameters; keep the runs of one of them"
    if len(macs) > 1:
        counts = " and ".join(f"{count:,}" for _, count in sorted(macs))
        return f"its runs have different networks: {counts} multiply-accumulates; keep the runs of one of them"
    return None
