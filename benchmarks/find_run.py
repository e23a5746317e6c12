"""Find the run that a user names: by its folder, or by the start of its id."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from foundation.errors import UnknownNameError, UserError
from foundation.suggest import did_you_mean
from results.records.record import Record
from results.records.store import RECORD_FILE, read_record
from results.store_index.run_facts import RunFacts
from results.store_index.run_listing import list_run_facts


def find_run(name: str, stores: Sequence[Path]) -> tuple[Path, Record]:
    """Return a run's folder and record.

    Args:
        name: the run's folder, or the start of its id.
        stores: folders that are searched for an id.

    Raises:
        UnknownNameError: no such run.
        UserError: several runs.
    """
    return find_runs([name], stores)[0]


def find_runs(
    names: Sequence[str], stores: Sequence[Path], backbones: Collection[str] = ()
) -> list[tuple[Path, Record]]:
    """Return the folders and records of runs; the stores are searched once for all of them, and only for ids.

    Args:
        names: each as for ``find_run``.
        stores: folders that are searched for ids.
        backbones: names of backbones, where the user could have meant one of them.

    Raises:
        UnknownNameError: no such run.
        UserError: several runs.
    """
    are_folders = [(Path(name) / RECORD_FILE).is_file() for name in names]
    runs = [] if all(are_folders) else list_run_facts(stores).runs
    folders = [
        Path(name) if is_folder else _choose_folder(name, runs, backbones)
        for name, is_folder in zip(names, are_folders, strict=True)
    ]
    return [(folder, read_record(folder)) for folder in folders]


def _choose_folder(name: str, runs: Sequence[RunFacts], backbones: Collection[str]) -> Path:
    """Return the folder of the run whose id starts so; see ``find_runs``."""
    found = [facts for facts in runs if facts.run_id.startswith(name)]
    hint = "see: bench list runs"
    if not found and backbones:
        close = did_you_mean(name, backbones, hint=hint)
        raise UnknownNameError(f"{name!r} is neither a run nor a backbone with runs{close}")
    if not found:
        known = {facts.run_id for facts in runs}
        raise UnknownNameError(f"no run {name!r}{did_you_mean(name, known, hint=hint)}")
    if (count := len({facts.run_id for facts in found})) > 1:
        raise UserError(f"{name!r} is the start of {count} run ids; give more of it")
    # several attempts at one run share its id; the one that the leaderboard displays counts, the last one of equals
    return Path(sorted(found, key=lambda facts: (facts.status == "complete", facts.started))[-1].folder)
