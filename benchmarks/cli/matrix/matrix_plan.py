"""Plan the matrix of a command line: the options of the estimates, and the choice within a budget."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.arguments.number_types import finite_number
from benchmarks.cli.output import write_message
from foundation.display_text import shorten_value
from foundation.errors import UserError
from foundation.plural import format_count

if TYPE_CHECKING:
    from benchmarks.matrix.plan_cells import PlannedCell
    from benchmarks.matrix.suite import MatrixCell
    from benchmarks.resolve_cell import CellRequest
    from results.leaderboard.report import LeaderboardReport

CALIBRATION_SECONDS = 120.0
"""Default of ``--calibration-seconds``."""


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is estimated and from what, and the budget."""
    parser.add_argument(
        "--budget", type=parse_hours, default=None, metavar="TIME",
        help="take only the cells that tell most per hour and fit into this time, e.g. 8h, 90m or 2d",
    )  # fmt: skip
    parser.add_argument(
        "--runs", type=Path, nargs="+", default=[], metavar="DIR",
        help="further folders of runs, beside --out, whose records count as done and as evidence of durations",
    )  # fmt: skip
    parser.add_argument(
        "--calibration-seconds", type=finite_number(0, 1e9, "a number of seconds"), default=CALIBRATION_SECONDS,
        metavar="S",
        help="time for short runs that find the pace of cells of which nothing is known (about 20 s per kind of cell); "
        f"default: {CALIBRATION_SECONDS:.0f}",
    )  # fmt: skip
    text = "start no such runs; use only what earlier runs and calibrations tell"
    parser.add_argument("--no-calibration", action="store_true", help=text)


def plan_matrix(cells: Sequence[MatrixCell], options: Namespace) -> list[PlannedCell]:
    """Plan the cells of a matrix, with the calibrations that the options allow.

    Args:
        cells: the matrix.
        options: those of ``add_plan_options``.

    Raises:
        UserError: a folder of ``--runs`` is not there.
    """
    from benchmarks.matrix.plan_cells import CalibrationBudget, plan_cells

    seconds = 0.0 if options.no_calibration else options.calibration_seconds
    return plan_cells(
        [cell.request for cell in cells],
        _find_stores(options),
        [cell.resources.threads for cell in cells],
        CalibrationBudget(seconds, _report_calibration),
    )


def _find_stores(options: Namespace) -> list[Path]:
    """Return the folders of ``--runs``.

    Raises:
        UserError: one is not there; its cells would be planned as if they had never been run.
    """
    for root in options.runs:
        if not root.is_dir():
            raise UserError(f"no folder of runs at {root}; correct --runs, or leave it out")
    return [root.absolute() for root in options.runs]


def choose_within_budget(planned: Sequence[PlannedCell], options: Namespace) -> list[PlannedCell]:
    """Return the cells that tell most per hour and fit into ``--budget``, in the order in which they should run."""
    from benchmarks.matrix.choose_cells import choose_cells

    return choose_cells(planned, options.budget, _read_report([options.out, *options.runs]))


def select_budget_cells(cells: Sequence[MatrixCell], options: Namespace) -> list[MatrixCell]:
    """Return the cells of a matrix that fit into ``--budget``; all of them without a budget.

    Raises:
        UserError: no cell fits.
    """
    if options.budget is None:
        return list(cells)
    by_request = {cell.request: cell for cell in cells}
    chosen = choose_within_budget(plan_matrix(cells, options), options)
    if not chosen:
        raise UserError("no cell has to run and is known to fit into the budget; bench plan says why")
    return [by_request[cell.request] for cell in chosen]


def select_possible_cells(
    cells: Sequence[MatrixCell], options: Namespace
) -> tuple[list[MatrixCell], list[PlannedCell]]:
    """Return the cells that can run, and their plans in the same order; what cannot run is named on stderr.

    Raises:
        UserError: some cells cannot run, and the user has not said that they may be left out; or none can.
    """
    from benchmarks.matrix.plan_cells import plan_cells

    threads = [cell.resources.threads for cell in cells]
    plans = plan_cells([cell.request for cell in cells], _find_stores(options), threads)
    impossible = [plan for plan in plans if plan.state == "impossible"]
    for reason, number in Counter(plan.reason for plan in impossible).items():
        write_message(f"bench: {format_count(number, 'cell')} cannot run: {reason}")
    possible = [(cell, plan) for cell, plan in zip(cells, plans, strict=True) if plan.state != "impossible"]
    if not possible:
        raise UserError("no cell can run")
    if impossible and not options.skip_impossible:
        raise UserError(
            f"{len(impossible)} of {len(cells)} cells cannot run; add --skip-impossible to run the other "
            f"{len(possible)}: "
            f"{_summarize_cells([plan for _, plan in possible])}"
        )
    return [cell for cell, _ in possible], [plan for _, plan in possible]


def _summarize_cells(plans: Sequence[PlannedCell]) -> str:
    """Return how many cells there are of each task and protocol."""
    counts = Counter(f"{plan.task} {plan.protocol or ''}".strip() for plan in plans)
    return ", ".join(f"{number} {name}" for name, number in counts.items())


def _read_report(roots: Sequence[Path]) -> LeaderboardReport | None:
    from results.leaderboard.report import build_report
    from results.records.store import scan_runs

    found = [root for root in dict.fromkeys(roots) if root.is_dir()]
    return build_report(scan_runs(found)) if found else None


def _report_calibration(request: CellRequest, number: int, total: int) -> None:
    from benchmarks.matrix.cell_command import describe_cell

    write_message(f"calibration {number} of at most {total}: {describe_cell(request)}")


_parse_amount = finite_number(0, 1e9)

_HOURS = {"h": 1.0, "m": 1 / 60, "s": 1 / 3600, "d": 24.0}


def parse_hours(text: str) -> float:
    """Parse a time such as ``8h`` and return it in hours.

    Raises:
        argparse.ArgumentTypeError: the text is not a time above 0.

    >>> [parse_hours(text) for text in ("8h", "90m", "2d")]
    [8.0, 1.5, 48.0]
    """
    try:
        hours = _parse_amount(text[:-1]) * _HOURS[text[-1:].lower()]
    except (argparse.ArgumentTypeError, KeyError):
        hours = 0.0
    if hours <= 0:
        raise argparse.ArgumentTypeError(f"must be a time above 0 such as 8h, 90m or 2d, not {shorten_value(text)}")
    return hours
