"""Check every record at a place, and the ledgers of the stores that it touches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from benchmarks.verify.backbone_checks import check_backbone
from benchmarks.verify.evaluations import check_evaluation, repeat_evaluation
from benchmarks.verify.recorded_command import check_recorded_command
from benchmarks.verify.repeat_evaluation import reproduce_evaluation
from benchmarks.verify.repeat_run import reads_every_byte, reproduce_run
from benchmarks.verify.task_checks import check_against_task
from benchmarks.verify.teacher_check import check_teacher
from engine.data.data_options import make_data_options
from foundation.environment import resolve_data_root
from foundation.errors import ConfigError, RecordError, UserError
from foundation.run_scope import open_run_scope
from foundation.storage.fault_isolation import convert_faults
from results.records.ledger import LEDGER_FOLDER, find_store
from results.records.ledger_checks import check_ledgers
from results.records.record import Record
from results.records.store import RECORD_FILE, iter_folders, list_unread_records, scan_runs
from results.records.verification import VerificationCheck, verify_record

CheckedPlace = tuple[Path, list[VerificationCheck]]
"""A folder of a run or a ledger, and its checks."""


class VerifyRequest(NamedTuple):
    """What to verify.

    Attributes:
        path: a record, a run's folder, or a folder with runs below it.
        data_root: folder of the data sets; ``None``: where the run had them, else the usual place.
        reruns_evaluation: evaluate again from the kept checkpoints.
        reruns_all: make every run again, from its start.
        device: for these two.
    """

    path: Path
    data_root: Path | None = None
    reruns_evaluation: bool = False
    reruns_all: bool = False
    device: str = "auto"


class VerifyReport(NamedTuple):
    """The checks of each record and of each ledger, by folder; a file that is no record fails."""

    records: list[CheckedPlace]
    ledgers: list[CheckedPlace]


def verify_records(request: VerifyRequest) -> VerifyReport:
    """Check every record at a place. Nothing that an earlier run stored in a cache is believed.

    Raises:
        UserError: there is no record.
    """
    folder = request.path.parent if request.path.name == RECORD_FILE else request.path
    found = scan_runs([folder])
    checks: dict[Path, list[VerificationCheck]] = {run: [] for run, _ in found.records}
    # a scope for each way of reading data, so that a set that hundreds of runs share is read once
    ways: dict[tuple[bool, str], list[tuple[Path, Record]]] = {}
    for run, record in found.records:
        ways.setdefault((reads_every_byte(record), json.dumps(record.data.options)), []).append((run, record))
    for (hashes_all, _), members in ways.items():
        try:
            options = make_data_options(members[0][1].data.options)
        except ConfigError as error:  # a record that was edited by hand
            checks |= {run: [VerificationCheck("data", "fails", str(error))] for run, _ in members}
            continue
        with open_run_scope(trusts_caches=False, hashes_all=hashes_all, data_options=options):
            for run, record in members:
                checks[run] = _verify_run_alone(run, record, request)
    records = [*checks.items(), *((folder, [VerificationCheck("record", "fails", text)]) for text in found.errors)]
    records += ((path.parent, [_check_unread(path, folder)]) for path in list_unread_records(folder))
    ledgers = _verify_ledgers(folder, found.records)
    if not records and not any(check.state == "fails" for _, each in ledgers for check in each):
        raise UserError(
            f"there is no record at {request.path}; name a record.json, a run's folder or a folder with runs"
        )
    return VerifyReport(records, ledgers)


def _check_unread(path: Path, root: Path) -> VerificationCheck:
    """Report a record that no list, board or merge has, because it lies in a run's folder or in a hidden one."""
    if any(part.startswith(".") for part in path.relative_to(root).parts):
        text = f"{path} lies in a hidden folder, so no command finds it; rename that folder, or remove it"
        return VerificationCheck("record", "unchecked", text)
    text = f"{path} lies in the folder of another run, so no command finds it; move its folder out, or remove it"
    return VerificationCheck("record", "fails", text)


def _verify_run_alone(folder: Path, record: Record, request: VerifyRequest) -> list[VerificationCheck]:
    """Verify a run; an error that no check foresaw is a failed check of this run, and the others go on."""
    try:
        with convert_faults("it cannot be verified"):
            return _verify_run(folder, record, request)
    except RecordError as error:
        return [VerificationCheck("record", "fails", str(error))]


def _verify_run(folder: Path, record: Record, request: VerifyRequest) -> list[VerificationCheck]:
    root = resolve_data_root(request.data_root)
    # a finished model has no plan to compare with, and one way of making it again for both options
    if record.is_evaluation:
        checks = [*verify_record(folder, record), *check_recorded_command(record)]
        is_repeated = request.reruns_evaluation or request.reruns_all
        checks += check_evaluation(folder, record, root, is_repeated=is_repeated)
        if is_repeated:
            checks += repeat_evaluation(folder, record, root, request.device)
        return checks
    checks = [
        *verify_record(folder, record),
        *check_recorded_command(record),
        *check_backbone(record),
        *check_teacher(record),
        *check_against_task(folder, record, root),
    ]
    if request.reruns_evaluation:
        checks += reproduce_evaluation(folder, record, root, request.device)
    if request.reruns_all:
        checks += reproduce_run(folder, record, root, request.device)
    return checks


def _verify_ledgers(folder: Path, runs: list[tuple[Path, Record]]) -> list[CheckedPlace]:
    """Check the ledger of every store that the runs belong to, and of every store at or below the folder."""
    stores = {store for run, record in runs if (store := find_store(run.resolve(), record.task))}
    # a store from which every run was deleted has its ledger still
    # folders that cannot be listed were reported by the scan
    places = (Path(found.folder) for found in iter_folders(folder, []))
    stores |= {place.parent.resolve() for place in places if place.name == LEDGER_FOLDER and any(place.glob("*.jsonl"))}
    if not stores:
        text = f"{folder} is not in a store, so no ledger says what was deleted, replaced or repeated"
        return [(folder, [VerificationCheck("ledger", "unchecked", text)])]
    return [(store / LEDGER_FOLDER, _check_ledger_alone(store, runs, folder)) for store in sorted(stores)]


def _check_ledger_alone(store: Path, runs: list[tuple[Path, Record]], folder: Path) -> list[VerificationCheck]:
    try:
        with convert_faults("it cannot be checked"):
            return check_ledgers(store, runs, folder)
    except RecordError as error:
        return [VerificationCheck("ledger", "fails", str(error))]
