"""``bench check backbone NAME`` and ``bench check data TASK``."""

from __future__ import annotations

import argparse
from argparse import Namespace
from typing import Any

from benchmarks.cli.common_options import add_data_root_option, parse_positive_int
from benchmarks.cli.output import align_columns, write_json, write_stdout
from foundation.environment import resolve_data_root

_STATE_LABELS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}
_MAX_LISTED_CLASSES = 12
"""Classes of a histogram that are listed one by one at most."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("noun", choices=("backbone", "data"), help="what to check")
    parser.add_argument("name", metavar="NAME", help="a backbone (registry name or timm/<name>), or a task")
    parser.add_argument(
        "--img-size", type=parse_positive_int, metavar="PIXELS", help="backbone: input side; default: the card's"
    )
    parser.add_argument("--compile", action="store_true", help="backbone: try torch.compile too (may take a minute)")
    parser.add_argument("--all", action="store_true", help="data: open every file, not a sample")
    add_data_root_option(parser)


def main(options: Namespace) -> int:
    """Check, and say what was seen; exit code 1 if a backbone broke the contract, 2 if data cannot be used."""
    return _check_backbone(options) if options.noun == "backbone" else _check_data(options)


def _check_backbone(options: Namespace) -> int:
    from backbones.conformance.suite import check_backbone

    outcomes = check_backbone(options.name, img_size=options.img_size, with_compile=options.compile)
    if options.json:
        write_json([outcome._asdict() for outcome in outcomes])
    else:
        write_stdout(
            align_columns([(_STATE_LABELS[outcome.status], outcome.check_name, outcome.detail) for outcome in outcomes])
        )
        failed = sum(outcome.status == "failed" for outcome in outcomes)
        verdict = f"{failed} of {len(outcomes)} checks failed" if failed else "keeps the contract"
        write_stdout(f"\n{options.name}: {verdict}")
    return 1 if any(outcome.status == "failed" for outcome in outcomes) else 0


def _check_data(options: Namespace) -> int:
    from benchmarks.task_registry import TASKS

    root = resolve_data_root(options.data_root)
    report = TASKS.get(options.name).check_data(root, "all" if options.all else "sample")
    if options.json:
        write_json({"task": options.name, "root": str(root), **report.as_dict()})
        return 0
    lines = [
        f"{split}: {count:,} items{_format_histogram(report.class_counts.get(split, {}))}"
        for split, count in report.splits.items()
    ]
    lines += [f"note: {note}" for note in report.notes]
    lines += [f"NOT THE OFFICIAL SET: {departure}" for departure in report.deviations]
    lines.append("every file was opened" if options.all else "a sample of the files was opened; --all opens every one")
    verdict = "sound, but not the official set: runs need --subset" if report.deviations else "whole"
    write_stdout("\n".join([*lines, f"fingerprint {report.fingerprint[:16]}", f"{options.name}: {verdict}"]))
    return 0


def _format_histogram(histogram: Any) -> str:
    """The label histogram of a split in words."""
    if not histogram:
        return ""
    counts = sorted(histogram.values())
    text = f" in {len(counts)} classes, {counts[0]} to {counts[-1]} each"
    if len(counts) <= _MAX_LISTED_CLASSES:
        text += " (" + ", ".join(f"{name} {count}" for name, count in histogram.items()) + ")"
    return text
