"""``bench submit RUNS``: make the checks of a repository of results, and pack what passes."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from benchmarks.cli.common_options import add_data_root_option
from benchmarks.cli.output import write_json, write_stdout
from benchmarks.cli.results.pack import add_content_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("runs", type=Path, metavar="RUNS", help="folder of the runs, a whole store")
    text = "archive to write if no check fails: .tar.zst, .tar.gz or .tar; without it only the checks are made"
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help=text)
    add_content_options(parser)
    add_data_root_option(parser)


def main(options: Namespace) -> int:
    """Check a store, and pack it if nothing is wrong; the exit code is 1 if anything is."""
    from benchmarks.transfer.pack_results import PackContent, describe_pack, pack_results
    from benchmarks.transfer.submission import check_submission, describe_submission

    report = check_submission(options.runs, options.data_root)
    packed = None
    if options.output is not None and not report.faults:
        packed = pack_results(options.runs, options.output, PackContent(options.with_pictures, options.with_weights))
    if options.json:
        faults = [fault._asdict() for fault in report.faults]
        archive = None if packed is None else {**packed._asdict(), "archive": str(packed.archive)}
        write_json({**report._asdict(), "faults": faults, "pack": archive})
    else:
        write_stdout(describe_submission(report))
        if packed is not None:
            write_stdout(describe_pack(packed))
    return 1 if report.faults else 0
