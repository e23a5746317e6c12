"""``bench check backbone NAME``, ``bench check data TASK`` and ``bench check task TASK``: check one of these."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from benchmarks.cli.arguments.number_types import parse_side
from benchmarks.cli.common_options import (
    add_data_root_option,
    add_device_option,
    add_hash_option,
    add_layout_options,
    add_overrides_option,
    collect_data_options,
)
from benchmarks.cli.output import align_columns, write_json, write_stdout
from benchmarks.cli.setup.check_data import check_data
from foundation.environment import resolve_data_root
from foundation.errors import UserError

_STATE_LABELS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("noun", choices=("backbone", "data", "task"), help="what to check")
    parser.add_argument("name", metavar="NAME", help="a backbone (registry name or timm/<name>), or a task")
    # One parser for all nouns: argparse sub-commands would need three more pages of help for a few options
    text = "for backbone: side of the input in pixels; default: the card's"
    parser.add_argument("--img-size", type=parse_side, metavar="PIXELS", help=text)
    text = "for backbone: also test torch.compile (may take a minute)"
    parser.add_argument("--compile", action="store_true", help=text)
    # a complete ImageNet has 1.3 million files, so opening each one is not the default
    parser.add_argument("--all", action="store_true", help="for data: open every file instead of a sample")
    text = "for data: where to draw twelve samples, as PNG; default: runs/check/TASK.png, and no file with --json"
    parser.add_argument("--sheet", type=Path, metavar="FILE", help=text)
    add_hash_option(parser)
    add_layout_options(parser)
    text = "for task: run its protocol on shuffled labels and on noise, where no score may be left"
    parser.add_argument("--controls", action="store_true", help=text)
    text = "for task: the protocol to check, or all; default: the task's first one"
    parser.add_argument("--protocol", metavar="PROTOCOL", help=text)
    parser.add_argument("--backbone", default="vit_nano", metavar="NAME", help="for task; default: vit_nano")
    text = "for task: length of the runs; default: smoke"
    parser.add_argument("--tier", choices=("smoke", "short", "full"), default="smoke", help=text)
    add_overrides_option(parser, "for task: settings of the protocol to change")
    add_device_option(parser, "for task: where to compute; auto uses a GPU if there is one")
    add_data_root_option(parser)


def main(options: Namespace) -> int:
    """Check and report.

    The exit code is 1 if a backbone breaks the contract, a test item is in the training data, or a control fails or
    proves nothing, and 2 if data cannot be used.
    """
    checks = {"backbone": _check_backbone, "data": check_data, "task": _check_task}
    return checks[options.noun](options)


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


def _check_task(options: Namespace) -> int:
    from benchmarks.negative_controls.check_protocols import ControlRequest, run_negative_controls, summarize_verdicts
    from benchmarks.negative_controls.report import format_controls
    from benchmarks.task_registry import TASKS

    if not options.controls:
        raise UserError(f"bench check task {options.name} has one check so far, so name it: add --controls")
    request = ControlRequest(
        task=TASKS.get(options.name),
        backbone=options.backbone,
        protocol=options.protocol,
        tier=options.tier,
        overrides=tuple(options.overrides),
        data_root=resolve_data_root(options.data_root),
        device=options.device,
        data_options=collect_data_options(options),
    )
    lines = run_negative_controls(request)
    verdicts = summarize_verdicts(lines)
    if options.json:
        asked = {"task": options.name, "backbone": request.backbone, "tier": request.tier}
        write_json({**asked, "verdicts": verdicts, "runs": [line._asdict() for line in lines]})
    else:
        write_stdout(format_controls(request, lines))
    return 0 if set(verdicts.values()) == {"ok"} else 1
