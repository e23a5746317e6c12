"""The checks that a repository of results makes before it takes runs; whoever submits makes the same ones first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.transfer.pack_results import require_one_store
from benchmarks.transfer.store_contents import StoreContents, StoredFolder
from benchmarks.verify.verify_records import VerifyRequest, verify_records
from foundation.display_text import format_one_line
from foundation.errors import UserError
from foundation.plural import format_count
from results.records.record import SCHEMA_VERSION, Record

UNKNOWN_LICENCES = ("", "?", "unknown", "none", "not stated", "unspecified")
"""What a card says, in lower case, where nobody has stated a licence."""


class SubmissionFault(NamedTuple):
    """Why runs cannot be submitted as they are: the place, the check, and a sentence with the fix."""

    place: str
    check: str
    message: str


class SubmissionReport(NamedTuple):
    """The outcome of the checks.

    Attributes:
        faults: everything that was found; empty if the runs can be submitted.
        num_records: records that were checked.
        num_unchecked: checks that this machine cannot make, for example of data that are not here.
        licences: licences of the start weights, with the number of runs.
    """

    faults: list[SubmissionFault]
    num_records: int
    num_unchecked: int
    licences: dict[str, int]


def check_submission(runs: Path, data_root: Path | None = None) -> SubmissionReport:
    """Make every check, and return all faults at once.

    Args:
        runs: a store.
        data_root: folder of the data sets; what is not there is left unchecked.

    Raises:
        UserError: there is no such folder.
    """
    if not runs.is_dir():
        raise UserError(f"there is no folder {runs}; name a folder of runs, or unpack an archive with bench merge")
    try:
        store = require_one_store(runs)
    except UserError as error:
        return SubmissionReport([SubmissionFault(str(runs), "store", str(error))], 0, 0, {})
    faults, num_unchecked = _verify_store(store.root, data_root)
    records = {name: found for name, found in store.folders.items() if found.record is not None}
    if not records:
        faults.append(SubmissionFault(str(runs), "completeness", "it has no record; run something first"))
    licences: Counter[str] = Counter()
    for name, found in records.items():
        assert found.record is not None
        faults += _check_completeness(name, found, found.record)
        licence, fault = _find_licence(found.record, store)
        licences[licence] += 1
        if fault:
            faults.append(SubmissionFault(name, "licence", fault))
    return SubmissionReport(faults, len(records), num_unchecked, dict(sorted(licences.items())))


def describe_submission(report: SubmissionReport) -> str:
    """Return the outcome as text, the faults first."""
    lines = [f"{fault.check}: {fault.place}: {fault.message}" for fault in report.faults]
    lines += [
        f"licence of the start weights of {format_count(n, 'run')}: {name}" for name, n in report.licences.items()
    ]
    found = format_count(len(report.faults), "fault") if report.faults else "nothing against a submission"
    rest = f"; {report.num_unchecked} things could not be checked here" if report.num_unchecked else ""
    return "\n".join(map(format_one_line, [*lines, f"{format_count(report.num_records, 'record')}: {found}{rest}"]))


def _verify_store(root: Path, data_root: Path | None) -> tuple[list[SubmissionFault], int]:
    """Verify every record and ledger; return what fails and the number of things that could not be checked."""
    verified = verify_records(VerifyRequest(root, data_root))
    faults, num_unchecked = [], 0
    for folder, checks in [*verified.records, *verified.ledgers]:
        place = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else str(folder)
        for check in checks:
            num_unchecked += check.state == "unchecked"
            if check.state == "fails":
                faults.append(SubmissionFault(place, "verify", f"{check.subject}: {check.message}"))
    return faults, num_unchecked


def _check_completeness(name: str, found: StoredFolder, record: Record) -> Iterator[SubmissionFault]:
    if record.status in ("running", "failed"):
        why = f" ({record.reason})" if record.reason else ""
        yield SubmissionFault(name, "completeness", f"it is {record.status}{why}; finish it, or remove its folder")
    if record.schema_version != SCHEMA_VERSION:
        text = (
            f"it has schema version {record.schema_version}, the present one is {SCHEMA_VERSION}; migrate the store "
            "with python -m results.records.migrate, or run again with --fresh"
        )
        yield SubmissionFault(name, "schema", text)


def _find_licence(record: Record, store: StoreContents) -> tuple[str, str]:
    """Return the licence of a run's start weights as its card says it, and what is wrong with it, or ""."""
    init, checkpoint = record.backbone.init, record.backbone.checkpoint
    if init == "random":
        return "none needed, random weights", ""
    if init == "card":
        weights: Any = record.backbone.card.get("weights")
        licence = str(weights.get("licence", "")).strip() if isinstance(weights, dict) else ""
        if licence.lower() not in UNKNOWN_LICENCES:
            return licence, ""
        return "unknown", f"the card of {record.backbone.name} states no licence of its weights; add it to the card"
    if record.is_evaluation and checkpoint is not None:
        # the weights of a run stay on the machine, so the store knows them only by the path in its record
        parts = Path(checkpoint.uri).parts
        for each in store.folders.values():
            # the licence of a run's own weights is that of what it started from
            if each.record is not None and not each.record.is_evaluation and each.folder.name in parts:
                # not an evaluation, so this ends
                return _find_licence(each.record, store)
    if checkpoint is not None and any(_wrote_encoder(each, checkpoint.sha256) for each in store.folders.values()):
        return "yours, pre-trained in this store", ""
    return "unknown", (
        f"its start weights {checkpoint.uri if checkpoint else ''} are neither of a card nor of a pre-training in this "
        "store, so nobody can tell their licence; merge the store of the pre-training into this one, or make a card "
        "for them with bench add backbone and run again"
    )


def _wrote_encoder(found: StoredFolder, sha256: str) -> bool:
    """Return whether a folder is that of the pre-training which made an encoder."""
    if found.record is None or found.record.result is None:
        return False
    encoder = found.record.result.details.get("encoder")
    return isinstance(encoder, dict) and encoder.get("sha256") == sha256
