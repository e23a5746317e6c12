"""``bench plan``: what is done, stale and missing of a matrix of cells, and what the rest will cost."""

from __future__ import annotations

import argparse
import shlex
from argparse import Namespace

from benchmarks.cli.matrix.format_plan import format_choice, format_plan, plan_to_dict
from benchmarks.cli.matrix.matrix_options import add_matrix_options, make_matrix
from benchmarks.cli.matrix.matrix_plan import add_plan_options, choose_within_budget, plan_matrix
from benchmarks.cli.output import write_json, write_message, write_stdout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add_matrix_options(parser)
    add_plan_options(parser)


def main(options: Namespace) -> int:
    """Print the plan; the exit code is 1 if no cell of it can run."""
    matrix = make_matrix(options)
    for note in matrix.notes:
        write_message(f"bench: {note}")
    cells = plan_matrix(matrix.cells, options)
    chosen = None if options.budget is None else choose_within_budget(cells, options)
    if options.json:
        write_json(plan_to_dict(cells, chosen))
    else:
        write_stdout(format_plan(cells))
        if chosen is not None:
            write_stdout(format_choice(chosen, cells, options.budget, make_sweep_command(options)))
    return 0 if any(cell.state != "impossible" for cell in cells) else 1


def make_sweep_command(options: Namespace) -> str:
    """Return the command that runs what was planned: the same words, without those that only concern the output."""
    words = [word for word in options.command_line[2:] if word != "--json"]
    return shlex.join(["bench", "sweep", *words])
