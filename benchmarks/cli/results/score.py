"""``bench score SET``: score result files of any tracker, detector, segmentation network or classifier."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from benchmarks.cli.common_options import add_data_root_option, add_layout_options, collect_data_options
from benchmarks.cli.output import write_json, write_stdout
from results.score_request import ScoreRequest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "set",
        metavar="SET",
        help="lasot, got10k_val, otb100 ..., ade20k, coco, cocofolder, imagenet ... (docs/reference/scoring.md)",
    )
    parser.add_argument(
        "--results",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="one folder per tracker with one file per sequence; segmentation: a folder of label PNGs; "
        "classification: a CSV; detection: a JSON",
    )
    # default None and not "official": segmentation has no rules to choose and refuses the option when it is given
    parser.add_argument(
        "--rules", choices=("official", "got10k"), default=None, help="definitions of the metrics; default: official"
    )
    # without it a missing sequence is an error: a mean over fewer sequences is another number
    text = "score the results that exist; the number is marked as partial"
    parser.add_argument("--partial", action="store_true", help=text)
    # some published numbers were computed from integer boxes
    parser.add_argument("--int", action="store_true", help="truncate predicted boxes to integers first")
    text = "also print the results by sequence, category or attribute"
    parser.add_argument("--by", choices=("sequence", "category", "attribute"), help=text)
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write plots to this folder (PNG and PDF)")
    text = "write the JSON to this file; for sets that a server scores: the archive to submit"
    parser.add_argument("--out", type=Path, metavar="FILE", help=text)
    text = "detection: the ground truth in COCO's format; no images are needed"
    parser.add_argument("--annotations", type=Path, metavar="FILE", help=text)
    add_data_root_option(parser)
    add_layout_options(parser)


def main(options: Namespace) -> int:
    """Score the results and write the scores to stdout."""
    # imported here, because numpy and the scoring code take a second
    from benchmarks.score_results import score_results

    report = score_results(make_score_request(options))
    if options.json:
        write_json(report.data)
    else:
        write_stdout(report.text)
    return 0


def make_score_request(options: Namespace) -> ScoreRequest:
    """Turn the options into a request."""
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
        annotations=options.annotations,
        data_options=collect_data_options(options).as_dict(),
    )
