"""``bench score SET``."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from benchmarks.cli.common_options import add_data_root_option
from benchmarks.cli.output import write_json, write_stdout
from results.score_request import ScoreRequest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("set", metavar="SET", help="lasot, got10k_val, otb100 ..., ade20k (docs/reference/scoring.md)")
    parser.add_argument(
        "--results",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="one folder a tracker, one file a sequence; ade20k: a folder of label PNGs",
    )
    parser.add_argument(
        "--rules", choices=("official", "got10k"), default=None, help="whose definitions; default: official"
    )
    parser.add_argument("--partial", action="store_true", help="score what is there; the number is marked partial")
    parser.add_argument("--int", action="store_true", help="truncate predictions to integers first")
    parser.add_argument("--by", choices=("sequence", "category", "attribute"), help="print a break-down too")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write plots there (PNG and PDF)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the JSON; for a server's set: the archive")
    add_data_root_option(parser)


def main(options: Namespace) -> int:
    """Score, and write the outcome to stdout."""
    from benchmarks.score_results import score_results

    report = score_results(make_score_request(options))
    if options.json:
        write_json(report.data)
    else:
        write_stdout(report.text)
    return 0


def make_score_request(options: Namespace) -> ScoreRequest:
    """The request that the options make."""
    return ScoreRequest(
        test_set=options.set,
        results=tuple(options.results),
        data_root=options.data_root,
        rules=options.rules,
        partial=options.partial,
        truncate_to_integers=options.int,
        group_by=options.by,
        plots_dir=options.plots,
        out_file=options.out,
    )
