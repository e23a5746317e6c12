"""Find the run that a user names: by its folder, or by the start of its id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foundation.errors import UnknownNameError
from foundation.suggest import did_you_mean
from results.records.record import Record
from results.records.store import RECORD_FILE, read_record, scan_runs


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
    records = scan_runs(stores).records
    found = [(folder, record) for folder, record in records if record.run_id.startswith(name)]
    if not found:
        known = {record.run_id for _, record in records}
        raise UnknownNameError(f"no run {name!r}{did_you_mean(name, known, hint='see: bench list runs')}")
    if len({record.run_id for _, record in found}) > 1:
        raise UnknownNameError(f"{name!r} is the start of {len(found)} run ids; give more of it")
    # several attempts at one run share its id; the one that the leaderboard displays counts
    return max(found, key=lambda item: (item[1].status == "complete", item[1].environment.started))
