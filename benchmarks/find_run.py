"""Find the run that a user names: by its folder, or by the start of its id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foundation.errors import UnknownNameError
from foundation.suggest import did_you_mean
from results.records.record import Record
from results.records.store import RECORD_FILE, read_record
from results.store_index.run_listing import list_run_facts


def find_run(name: str, stores: Sequence[Path]) -> tuple[Path, Record]:
    """Return a run's folder and record.

    Args:
        name: the run's folder, or the start of its id.
        stores: folders that are searched for an id.

    Raises:
        UnknownNameError: no such run, or several.
    """
    folder = Path(name)
    if (folder / RECORD_FILE).is_file():
        return folder, read_record(folder)
    runs = list_run_facts(stores).runs
    found = [facts for facts in runs if facts.run_id.startswith(name)]
    if not found:
        known = {facts.run_id for facts in runs}
        raise UnknownNameError(f"no run {name!r}{did_you_mean(name, known, hint='see: bench list runs')}")
    if len({facts.run_id for facts in found}) > 1:
        raise UnknownNameError(f"{name!r} is the start of {len(found)} run ids; give more of it")
    # several attempts at one run share its id; the one that the leaderboard displays counts
    chosen = Path(max(found, key=lambda facts: (facts.status == "complete", facts.started)).folder)
    return chosen, read_record(chosen)
