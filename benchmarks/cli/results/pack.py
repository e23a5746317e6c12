"""``bench pack RUNS -o FILE``: the records of a store in one archive."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from benchmarks.cli.output import write_json, write_stdout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("runs", type=Path, metavar="RUNS", help="folder of the runs, a whole store")
    text = "archive to write: .tar.zst, .tar.gz or .tar; equal runs give equal bytes"
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=text)
    add_content_options(parser)


def add_content_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is packed besides records, per-item files, ledger, timings and analyses."""
    parser.add_argument("--with-pictures", action="store_true", help="pack the pictures of the runs too")
    text = "pack checkpoints and pre-trained encoders too; look at their licences first"
    parser.add_argument("--with-weights", action="store_true", help=text)


def main(options: Namespace) -> int:
    """Pack a store."""
    from benchmarks.transfer.pack_results import PackContent, describe_pack, pack_results

    content = PackContent(options.with_pictures, options.with_weights)
    report = pack_results(options.runs, options.output, content)
    if options.json:
        write_json({**report._asdict(), "archive": str(report.archive)})
    else:
        write_stdout(describe_pack(report))
    return 0
