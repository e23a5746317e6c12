"""``bench merge RUNS ... --out DIR``: the union of several stores."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from benchmarks.cli.output import write_json, write_stdout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    text = "folders of runs, and archives of bench pack (.tar.zst, .tar.gz), which are unpacked as untrusted"
    parser.add_argument("sources", type=Path, nargs="+", metavar="RUNS", help=text)
    text = "store to write; what is there already stays, and the others are added to it"
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=text)
    text = "of records with equal numbers that differ elsewhere (times, machine), keep the first; other numbers of one "
    text += "run are a conflict always"
    parser.add_argument("--keep-first", action="store_true", help=text)


def main(options: Namespace) -> int:
    """Merge stores; with a conflict nothing is written, and the exit code is 1."""
    from benchmarks.transfer.install_union import describe_merge, merge_stores

    report = merge_stores(options.sources, options.out, keep_first=options.keep_first)
    if options.json:
        write_json({**report._asdict(), "out": str(report.out)})
    else:
        write_stdout(describe_merge(report))
    return 1 if report.conflicts else 0
