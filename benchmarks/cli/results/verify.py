"""``bench verify RECORD|FOLDER``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.output import write_json, write_stdout
from foundation.environment import resolve_data_root
from foundation.errors import UserError

if TYPE_CHECKING:
    from results.records.verification import VerificationCheck

STATE_LABELS = {"holds": "ok  ", "fails": "FAIL", "unchecked": "?   "}


def main(options: Namespace) -> int:
    """Check every record at a place; 1 if anything fails."""
    found = verify_records(options.place, options.data_root, options.rerun_eval, options.device)
    failed = sum(check.state == "fails" for _, checks in found for check in checks)
    if options.json:
        write_json(
            [{"record": str(folder), "checks": [check._asdict() for check in checks]} for folder, checks in found]
        )
        return 1 if failed else 0
    for folder, checks in found:
        write_stdout(str(folder))
        write_stdout("\n".join(f"  {STATE_LABELS[check.state]} {check.subject}: {check.message}" for check in checks))
    unchecked = sum(check.state == "unchecked" for _, checks in found for check in checks)
    records = f"{len(found)} record{'' if len(found) == 1 else 's'}"
    write_stdout(f"{records}: {failed or 'nothing'} failed; {unchecked or 'nothing'} could not be checked here")
    return 1 if failed else 0


def verify_records(
    path: Path, data_dir: Path | None, rerun_evaluation: bool, device: str
) -> list[tuple[Path, list[VerificationCheck]]]:
    """Every record at a place with its checks; a file that is no record fails.

    Args:
        path: a record, a run's folder, or a folder with runs below it.
        data_dir: of the data; ``None``: where the run had them, else the usual place.
        rerun_evaluation: whether to evaluate again from the kept checkpoints.
        device: for that.

    Raises:
        UserError: there is no record.
    """
    from benchmarks.verify_evaluation import check_data_fingerprint, check_metric_specs, reproduce_evaluation
    from results.records.store import RECORD_FILE, scan_runs
    from results.records.verification import VerificationCheck, verify_record

    folder = path.parent if path.name == RECORD_FILE else path
    found = scan_runs([folder])
    checked = []
    for run, record in found.records:
        where = resolve_data_root(data_dir)
        checks = [*verify_record(run, record), *check_metric_specs(record), *check_data_fingerprint(record, where)]
        if rerun_evaluation:
            checks += reproduce_evaluation(run, record, where, device)
        checked.append((run, checks))
    checked += [(folder, [VerificationCheck("record", "fails", fault)]) for fault in found.errors]
    if not checked:
        raise UserError(f"there is no record at {path}; name a record.json, a run's folder or a folder with runs")
    return checked
