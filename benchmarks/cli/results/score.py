"""``bench score SET``."""

from __future__ import annotations

import importlib
from argparse import Namespace

from benchmarks.cli.output import write, write_json
from foundation.errors import UnknownNameError
from foundation.suggest import did_you_mean

_TRACKING = "tracking.scoring.command:score"
_SERVER = "tracking.scoring.command:submit"

SCORERS = {
    "lasot": _TRACKING,
    "lasot_ext": _TRACKING,
    "got10k_val": _TRACKING,
    "otb100": _TRACKING,
    "uav123": _TRACKING,
    "nfs": _TRACKING,
    "got10k_test": _SERVER,
    "trackingnet": _SERVER,
    "ade20k": "segmentation.scoring:score",
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
        write(report.text)
    return 0
