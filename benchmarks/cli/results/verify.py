"""``bench verify RECORD|FOLDER``."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.common_options import add_data_root_option
from benchmarks.cli.output import write_json, write_stdout

if TYPE_CHECKING:
    pass

STATE_LABELS = {"holds": "ok  ", "fails": "FAIL", "unchecked": "?   "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("path", type=Path, metavar="RECORD|FOLDER", help="a record, a run's folder, or one with runs")
    parser.add_argument("--rerun-eval", action="store_true", help="evaluate again from the kept checkpoints")
    add_data_root_option(parser)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="for --rerun-eval")


def main(options: Namespace) -> int:
    """Check every record at a place; 1 if anything fails."""
    from benchmarks.verify_records import verify_records

    found = verify_records(options.path, options.data_root, options.rerun_eval, options.device)
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
