"""``bench check backbone NAME`` and ``bench check data TASK``: check a backbone or a data set."""

from __future__ import annotations

import argparse
from argparse import Namespace
from typing import Any

from benchmarks.cli.common_options import add_data_root_option, add_hash_option, parse_positive_int
from benchmarks.cli.output import align_columns, write_json, write_stdout
from foundation.environment import resolve_data_root
from foundation.run_scope import open_run_scope

_STATE_LABELS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}
_MAX_LISTED_CLASSES = 12
"""Maximum number of classes that are listed one by one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("noun", choices=("backbone", "data"), help="what to check")
    parser.add_argument("name", metavar="NAME", help="a backbone (registry name or timm/<name>), or a task")
    # One parser for both nouns: argparse sub-commands would need two more pages of help for three options
    text = "for backbone: side of the input in pixels; default: the card's"
    parser.add_argument("--img-size", type=parse_positive_int, metavar="PIXELS", help=text)
    text = "for backbone: also test torch.compile (may take a minute)"
    parser.add_argument("--compile", action="store_true", help=text)
    # a complete ImageNet has 1.3 million files, so opening each one is not the default
    parser.add_argument("--all", action="store_true", help="for data: open every file instead of a sample")
    add_hash_option(parser)
    add_data_root_option(parser)


def main(options: Namespace) -> int:
    """Check and report.

    The exit code is 1 if a backbone breaks the contract or a test item is in the training data, and 2 if data cannot
    be used.
    """
    return _check_backbone(options) if options.noun == "backbone" else _check_data(options)


def _check_backbone(options: Namespace) -> int:
    # imports torch and timm, which checking data does not need
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
    # bench --help reads this module, so the task registry is imported only here
    from benchmarks.task_registry import TASKS

    root = resolve_data_root(options.data_root)
    # unusable data raise DataError, which main turns into one sentence and exit code 2
    with open_run_scope(hashes_all=options.hash_all):
        report = TASKS.get(options.name).check_data(root, "all" if options.all else "sample")
    if options.json:
        write_json({"task": options.name, "root": str(root), **report.as_dict()})
        return 1 if report.duplicates else 0
    lines = [
        f"{split}: {count:,} items{_format_histogram(report.class_counts.get(split, {}))}"
        for split, count in report.splits.items()
    ]
    lines += [f"note: {note}" for note in report.notes]
    lines += [f"NOT THE OFFICIAL SET: {departure}" for departure in report.deviations]
    lines += [f"IN TWO SPLITS: {sentence}" for sentence in report.duplicates]
    lines.append("every file was opened" if options.all else "a sample of the files was opened; --all opens every one")
    verdict = "usable, but not the official set: runs need --subset" if report.deviations else "complete"
    if report.duplicates:
        verdict = "the test is not independent of the training data: runs need --allow-duplicates"
    fingerprint = f"fingerprint {report.fingerprint[:16]} over {report.coverage}"
    write_stdout("\n".join([*lines, fingerprint, f"{options.name}: {verdict}"]))
    return 1 if report.duplicates else 0


def _format_histogram(histogram: Any) -> str:
    """Describe the label histogram of a split; the text is empty for data without labels."""
    if not histogram:
        return ""
    counts = sorted(histogram.values())
    text = f" in {len(counts)} classes, {counts[0]} to {counts[-1]} each"
    # the classes of ImageNet would fill the screen
    if len(counts) <= _MAX_LISTED_CLASSES:
        text += " (" + ", ".join(f"{name} {count}" for name, count in histogram.items()) + ")"
    return text
