"""``bench score SET``."""

from __future__ import annotations

import argparse
import importlib
from argparse import Namespace
from pathlib import Path

from benchmarks.cli.common_options import add_data_root_option
from benchmarks.cli.output import write_json, write_stdout
from foundation.errors import UnknownNameError
from foundation.suggest import did_you_mean

_TRACKING_SCORER = "tracking.scoring.command:run_score_command"
_SUBMISSION_PACKER = "tracking.scoring.command:run_submission_command"

SCORERS = {
    "lasot": _TRACKING_SCORER,
    "lasot_ext": _TRACKING_SCORER,
    "got10k_val": _TRACKING_SCORER,
    "otb100": _TRACKING_SCORER,
    "uav123": _TRACKING_SCORER,
    "nfs": _TRACKING_SCORER,
    "got10k_test": _SUBMISSION_PACKER,
    "trackingnet": _SUBMISSION_PACKER,
    "ade20k": "segmentation.scoring:run_score_command",
}
"""A set's name and its scorer "module:function": takes the options, returns what has ``data`` and ``text``."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("set", metavar="SET", help="lasot, got10k_val, otb100 ..., ade20k (docs/scoring.md)")
    parser.add_argument(
        "--results",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="one folder a tracker, one file a sequence; ade20k: a folder of label PNGs",
    )
    parser.add_argument("--rules", choices=("official", "got10k"), default=None, help="default: official")
    parser.add_argument("--partial", action="store_true", help="score what is there; the number is marked partial")
    parser.add_argument("--int", action="store_true", help="truncate predictions to integers first")
    parser.add_argument("--by", choices=("sequence", "category", "attribute"), help="print a break-down too")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write plots there (PNG and PDF)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the JSON; for a server's set: the archive")
    add_data_root_option(parser)


def main(options: Namespace) -> int:
    """Score, and write the outcome to stdout."""
    if options.set not in SCORERS:
        raise UnknownNameError(f"unknown set {options.set!r}{did_you_mean(options.set, SCORERS)}")
    module, _, function = SCORERS[options.set].partition(":")
    report = getattr(importlib.import_module(module), function)(options)
    if options.json:
        write_json(report.data)
    else:
        write_stdout(report.text)
    return 0
