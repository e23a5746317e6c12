"""``bench score SET``."""

from __future__ import annotations

import importlib
from argparse import Namespace

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
