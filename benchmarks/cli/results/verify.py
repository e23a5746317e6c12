"""``bench verify RECORD|FOLDER``: check records against the files of their runs."""

from __future__ import annotations

import argparse
from argparse import Namespace
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.common_options import add_data_root_option
from benchmarks.cli.output import write_json, write_stdout
from engine.device import DEVICES
from foundation.display_text import format_one_line
from foundation.machine.garbage_collection import pause_garbage_collection

# only for annotations: the module imports pydantic
if TYPE_CHECKING:
    from results.records.verification import VerificationCheck

# padded to one width, so that the messages line up
STATE_LABELS = {"holds": "ok  ", "fails": "FAIL", "unchecked": "?   ", "note": "note"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    text = "a record, the folder of a run, or a folder with several runs"
    parser.add_argument("path", type=Path, metavar="RECORD|FOLDER", help=text)
    # off by default: hashes and ids are checked in seconds, an evaluation can take hours
    text = "also evaluate again from the stored checkpoints, and compare the numbers"
    parser.add_argument("--rerun-eval", action="store_true", help=text)
    text = "also make every run again from its record alone, in a temporary folder, and compare numbers and items"
    parser.add_argument("--rerun", action="store_true", help=text)
    add_data_root_option(parser)
    text = "where to compute for --rerun-eval and --rerun; auto with --rerun: the kind of device that the run had"
    parser.add_argument("--device", choices=DEVICES, default="auto", help=text)


def main(options: Namespace) -> int:
    """Check every record at a path; the exit code is 1 if any check fails."""
    # imported here: counting parameters imports torch, and --device must be known before
    from benchmarks.verify.verify_records import VerifyRequest, verify_records

    repeats_runs = options.rerun_eval or options.rerun
    with nullcontext() if repeats_runs else pause_garbage_collection():
        report = verify_records(
            VerifyRequest(options.path, options.data_root, options.rerun_eval, options.rerun, options.device)
        )
    checks = [check for _, each in [*report.records, *report.ledgers] for check in each]
    # "unchecked" is not a failure: a file may have been removed to save space, which does not prove the record wrong
    failed, unchecked = (sum(check.state == state for check in checks) for state in ("fails", "unchecked"))
    if options.json:
        write_json(
            [
                {kind: str(folder), "checks": [check._asdict() for check in each]}
                for kind, places in (("record", report.records), ("ledger", report.ledgers))
                for folder, each in places
            ]
        )
        return 1 if failed else 0
    for folder, each in report.records:
        write_stdout("\n".join([format_one_line(str(folder)), *map(_format_check, each)]))
    for folder, each in report.ledgers:
        write_stdout("\n".join([format_one_line(f"ledger {folder}"), *map(_format_check, each)]))
    records = f"{len(report.records)} record{'' if len(report.records) == 1 else 's'}"
    rest = f"{unchecked} could not be checked here" if unchecked else "everything could be checked"
    write_stdout(f"{records}: {failed or 'nothing'} failed; {rest}")
    return 1 if failed else 0


def _format_check(check: VerificationCheck) -> str:
    return f"  {STATE_LABELS[check.state]} {format_one_line(f'{check.subject}: {check.message}')}"
