"""``bench score SET``."""

from __future__ import annotations

import importlib
from argparse import Namespace

from benchmarks.cli.output import write_json, write_stdout
from foundation.errors import UnknownNameError
from foundation.suggest import did_you_mean
from results.score_request import ScoreRequest

_TRACKING_SCORER = "tracking.scoring.command:score_tracking_set"
_SUBMISSION_PACKER = "tracking.scoring.command:pack_tracking_submission"

SCORERS = {
    "lasot": _TRACKING_SCORER,
    "lasot_ext": _TRACKING_SCORER,
    "got10k_val": _TRACKING_SCORER,
    "otb100": _TRACKING_SCORER,
    "uav123": _TRACKING_SCORER,
    "nfs": _TRACKING_SCORER,
    "got10k_test": _SUBMISSION_PACKER,
    "trackingnet": _SUBMISSION_PACKER,
    "ade20k": "segmentation.scoring:score_segmentation_set",
}
"""A set's name and its scorer "module:function": takes a ``ScoreRequest``, returns what has ``data`` and ``text``."""


def main(options: Namespace) -> int:
    """Score, and write the outcome to stdout."""
    if options.set not in SCORERS:
        raise UnknownNameError(f"unknown set {options.set!r}{did_you_mean(options.set, SCORERS)}")
    module, _, function = SCORERS[options.set].partition(":")
    report = getattr(importlib.import_module(module), function)(make_score_request(options))
    if options.json:
        write_json(report.data)
    else:
        write_stdout(report.text)
    return 0


def make_score_request(options: Namespace) -> ScoreRequest:
    """The request that the options make."""
    return ScoreRequest(
        set_name=options.set,
        results=tuple(options.results),
        data_root=options.data_root,
        rules=options.rules,
        partial=options.partial,
        truncate_to_integers=options.int,
        group_by=options.by,
        plots_dir=options.plots,
        out_file=options.out,
    )
