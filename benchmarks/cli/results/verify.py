"""``bench verify RECORD|FOLDER``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.output import write, write_json
from foundation.environment import data_root
from foundation.errors import UserError

if TYPE_CHECKING:
    from results.records.verification import Check

SIGNS = {"holds": "ok  ", "fails": "FAIL", "unchecked": "?   "}


def main(options: Namespace) -> int:
    """Check every record at a place; 1 if anything fails."""
    found = verify(options.place, options.data_root, options.rerun_eval, options.device)
    failed = sum(check.state == "fails" for _, checks in found for check in checks)
    if options.json:
        write_json(
            [{"record": str(folder), "checks": [check._asdict() for check in checks]} for folder, checks in found]
        )
        return 1 if failed else 0
    for folder, checks in found:
        write(str(folder))
        write("\n".join(f"  {SIGNS[check.state]} {check.what}: {check.text}" for check in checks))
    unchecked = sum(check.state == "unchecked" for _, checks in found for check in checks)
    records = f"{len(found)} record{'' if len(found) == 1 else 's'}"
    write(f"{records}: {failed or 'nothing'} failed; {unchecked or 'nothing'} could not be checked here")
    return 1 if failed else 0


def verify(place: Path, root: Path | None, rerun: bool, device: str) -> list[tuple[Path, list[Check]]]:
    """Every record at a place with its checks; a file that is no record fails.

    Args:
        place: a record, a run's folder, or a folder with runs below it.
        root: of the data; ``None``: where the run had them, else the usual place.
        rerun: whether to evaluate again from the kept checkpoints.
        device: for that.

    Raises:
        UserError: there is no record.
    """
    from benchmarks.verify_evaluation import check_against_task, check_data, check_evaluation
    from results.records.store import RECORD_FILE, scan
    from results.records.verification import Check, verify_record

    folder = place.parent if place.name == RECORD_FILE else place
    found = scan([folder])
    checked = []
    for run, record in found.records:
        where = data_root(root)
        checks = [*verify_record(run, record), *check_against_task(record), *check_data(record, where)]
        if rerun:
            checks += check_evaluation(run, record, where, device)
        checked.append((run, checks))
    checked += [(folder, [Check("record", "fails", fault)]) for fault in found.faults]
    if not checked:
        raise UserError(f"there is no record at {place}; name a record.json, a run's folder or a folder with runs")
    return checked
