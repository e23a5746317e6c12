"""``bench verify RECORD|FOLDER``: check records against the files of their runs."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from benchmarks.cli.common_options import add_data_root_option
from benchmarks.cli.output import write_json, write_stdout

# padded to one width, so that the messages line up
STATE_LABELS = {"holds": "ok  ", "fails": "FAIL", "unchecked": "?   "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    text = "a record, the folder of a run, or a folder with several runs"
    parser.add_argument("path", type=Path, metavar="RECORD|FOLDER", help=text)
    # off by default: hashes and ids are checked in seconds, an evaluation can take hours
    text = "also evaluate again from the stored checkpoints, and compare the numbers"
    parser.add_argument("--rerun-eval", action="store_true", help=text)
    add_data_root_option(parser)
    text = "where to compute for --rerun-eval"
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help=text)


def main(options: Namespace) -> int:
    """Check every record at a path; the exit code is 1 if any check fails."""
    # imported here: --rerun-eval imports torch, and --device must be known before
    from benchmarks.verify_records import verify_records

    found = verify_records(options.path, options.data_root, options.rerun_eval, options.device)
    # "unchecked" is not a failure: a file may have been removed to save space, which does not prove the record wrong
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
