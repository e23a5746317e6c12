"""``bench plan``: what is done, stale and missing of a matrix of cells, and what the rest will cost."""

from __future__ import annotations

import argparse
import shlex
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.common_options import (
    add_data_options,
    add_output_options,
    add_overrides_option,
    parse_positive_int,
)
from benchmarks.cli.format_plan import format_choice, format_plan, plan_to_dict
from benchmarks.cli.output import write_json, write_message, write_stdout

if TYPE_CHECKING:
    from benchmarks.resolve_cell import CellRequest
    from results.leaderboard.report import LeaderboardReport

CALIBRATION_SECONDS = 120.0
"""Default of ``--calibration-seconds``."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("--tasks", nargs="+", required=True, metavar="TASK", help="tasks (bench list tasks)")
    parser.add_argument("--backbones", nargs="+", required=True, metavar="NAME", help="registry names, or timm/<name>")
    text = "protocols; default: the first one of each task"
    parser.add_argument("--protocols", nargs="+", default=[None], metavar="NAME", help=text)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="seeds; default: 0")
    parser.add_argument(
        "--checkpoint", help="weight file to start from, or the word 'random'; default: as the card says"
    )
    parser.add_argument("--tier", choices=("smoke", "short", "full"), default="full", help="length of the schedule")
    add_overrides_option(parser, "change the protocols' configuration, e.g. optimizer.lr=1e-3")
    add_data_options(parser)
    add_output_options(parser)
    add_plan_options(parser)


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is estimated, and from what."""
    parser.add_argument(
        "--runs", type=Path, nargs="+", default=[], metavar="DIR",
        help="further folders of runs whose records count as done and as evidence, beside --out",
    )  # fmt: skip
    text = "CPU threads of each cell; default: as many as a single run would use here"
    parser.add_argument("--threads", type=parse_positive_int, default=None, metavar="N", help=text)
    parser.add_argument(
        "--budget", type=_parse_hours, default=None, metavar="TIME",
        help="choose the cells that tell most per hour and fit into this time, e.g. 8h, 90m or 1.5h",
    )  # fmt: skip
    parser.add_argument(
        "--calibration-seconds", type=_parse_seconds, default=CALIBRATION_SECONDS, metavar="S",
        help="time for short runs that find the pace of cells of which nothing is known (about 20 s per kind of cell); "
        f"default: {CALIBRATION_SECONDS:.0f}",
    )  # fmt: skip
    text = "start no such runs; show only what earlier runs and calibrations tell"
    parser.add_argument("--no-calibration", action="store_true", help=text)


def main(options: Namespace) -> int:
    """Print the plan; exit code 1 if no cell of it can run."""
    from benchmarks.matrix.choose_cells import choose_cells
    from benchmarks.matrix.plan_cells import CalibrationBudget, plan_cells

    requests = make_requests(options)
    seconds = 0.0 if options.no_calibration else options.calibration_seconds
    calibration = CalibrationBudget(seconds, _report_calibration)
    cells = plan_cells(requests, options.runs, options.threads, calibration)
    chosen = None
    if options.budget is not None:
        chosen = choose_cells(cells, options.budget, _read_report([options.out, *options.runs]))
    if options.json:
        write_json(plan_to_dict(cells, chosen))
    else:
        write_stdout(format_plan(cells))
        if chosen is not None:
            write_stdout(format_choice(chosen, cells, options.budget, make_sweep_command(options)))
    return 0 if any(cell.state != "impossible" for cell in cells) else 1


def make_requests(options: Namespace) -> list[CellRequest]:
    """Return the cells that the options ask for: every task with every protocol, backbone and seed."""
    from benchmarks.resolve_cell import CellRequest
    from foundation.environment import resolve_data_root

    return [
        CellRequest(
            task=task,
            backbone=backbone,
            protocol=protocol,
            checkpoint=options.checkpoint,
            tier=options.tier,
            seed=seed,
            overrides=tuple(options.overrides),
            data_root=resolve_data_root(options.data_root),
            out=options.out,
            device=options.device,
            allow_partial=options.allow_partial,
            allow_subset=options.subset,
            allow_duplicates=options.allow_duplicates,
            hash_all=options.hash_all,
        )
        for task in options.tasks
        for protocol in options.protocols
        for backbone in options.backbones
        for seed in options.seeds
    ]


def make_sweep_command(options: Namespace) -> str:
    """Return the command that runs what was planned."""
    words, skipped = [], False
    for word in options.command_line[2:]:
        if word in ("--calibration-seconds", "--runs"):
            skipped = True  # with all of its values
        elif word.startswith("--") or not skipped:
            skipped = False
            words += [] if word in ("--no-calibration", "--json") else [word]
    return shlex.join(["bench", "sweep", *words])


def _read_report(roots: Sequence[Path]) -> LeaderboardReport | None:
    from results.leaderboard.report import build_report
    from results.records.store import scan_runs

    found = [root for root in dict.fromkeys(roots) if root.is_dir()]
    return build_report(scan_runs(found)) if found else None


def _report_calibration(request: CellRequest, number: int, total: int) -> None:
    what = " ".join(map(str, filter(None, (request.task, request.protocol, request.tier, request.backbone))))
    write_message(f"calibration {number} of at most {total}: {what}")


_HOURS = {"h": 1.0, "m": 1 / 60, "s": 1 / 3600, "d": 24.0}


def _parse_hours(text: str) -> float:
    """Parse a time such as ``8h`` and return it in hours."""
    try:
        hours = float(text[:-1]) * _HOURS[text[-1:].lower()]
    except (ValueError, KeyError):
        hours = -1.0
    # the comparison also refuses "nan", which float() accepts
    if not 0 < hours < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a time above 0 such as 8h, 90m or 2d, not {text!r}")
    return hours


def _parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds, 0 or above, not {text!r}")
    return seconds
