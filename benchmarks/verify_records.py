"""Check every record at a place: its own fields and files, the task's metrics, and the data where they are."""

from __future__ import annotations

from pathlib import Path

from benchmarks.verify_evaluation import check_data_fingerprint, check_metric_specs, reproduce_evaluation
from foundation.environment import resolve_data_root
from foundation.errors import UserError
from results.records.store import RECORD_FILE, scan_runs
from results.records.verification import VerificationCheck, verify_record


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
