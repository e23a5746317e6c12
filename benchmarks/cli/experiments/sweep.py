"""``bench sweep``: run every cell of a matrix, on this machine or on a cluster."""

from __future__ import annotations

import argparse
import sys
import time
from argparse import Namespace
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.arguments.number_types import parse_process_count, whole_number
from benchmarks.cli.matrix.matrix_options import add_matrix_options, make_matrix
from benchmarks.cli.matrix.matrix_plan import add_plan_options, select_budget_cells, select_possible_cells
from benchmarks.cli.output import write_message, write_stdout
from foundation.errors import UserError
from foundation.plural import format_count

# only for annotations: bench --help must import nothing heavy
if TYPE_CHECKING:
    from benchmarks.matrix.executors.executor import Executor
    from benchmarks.matrix.suite import MatrixCell
    from benchmarks.matrix.sweep import SweepState, SweepView

_OWN_OPTIONS = {
    "slots": ("local", "ray"),
    "address": ("ray",),
    "partition": ("slurm",),
    "time": ("slurm",),
    "array_size": ("slurm",),
    "sbatch": ("slurm",),
}
"""Options that only some executors have."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add_matrix_options(parser)
    text = "where the cells run: processes of this machine (default), a Ray cluster, or jobs of Slurm"
    parser.add_argument("--executor", choices=("local", "ray", "slurm"), default="local", help=text)
    text = "cells that run at the same time on this machine; default: as many as there are processors for"
    parser.add_argument("--slots", type=parse_process_count, metavar="N", help=text)
    add_plan_options(parser)
    text = "leave out the cells that cannot run (missing data or weights, wrong settings) instead of running none"
    parser.add_argument("--skip-impossible", action="store_true", help=text)
    text = "how often a cell is tried again whose process, machine or job died; default: 2"
    parser.add_argument("--retries", type=whole_number(0, 1000), default=2, metavar="N", help=text)
    text = "ray: the head node of a cluster, or auto for the one this machine belongs to; default: Ray on this machine"
    parser.add_argument("--address", metavar="HOST:PORT", help=text)
    parser.add_argument("--partition", metavar="NAME", help="slurm: partition; default: Slurm's own")
    text = "slurm: limit of one job, minutes or D-HH:MM:SS; default: that of the partition"
    parser.add_argument("--time", metavar="LIMIT", help=text)
    text = "slurm: jobs that wait or run at the same time; default: 32"
    parser.add_argument("--array-size", type=whole_number(1, 100_000), metavar="N", help=text)
    text = "slurm: further options of sbatch, e.g. account=vision qos=low exclusive"
    parser.add_argument("--sbatch", nargs="+", metavar="KEY=VALUE", help=text)


def main(options: Namespace) -> int:
    """Run the cells; the exit code is 1 if one of them has no number at the end."""
    from benchmarks.matrix.sweep import begin_sweep, get_sweep_folder
    from engine.device import get_dist_info
    from engine.processes.launcher import apply_launcher
    from foundation.files import ensure_writable_dir
    from results.records.store import lock_folder

    apply_launcher(None)  # refuses several processes of srun
    if get_dist_info()[1] > 1:
        raise UserError(
            "bench sweep starts the processes of its cells by itself (--slots, --executor); start it without torchrun"
        )
    matrix = make_matrix(options)
    _require_own_options(options)
    for note in matrix.notes:
        write_message(f"bench: {note}")
    cells, planned = select_possible_cells(select_budget_cells(matrix.cells, options), options)
    state = begin_sweep(cells, planned)
    ensure_writable_dir(options.out)
    # of the whole matrix: with another budget, or after data were added, it is still the same sweep
    folder = get_sweep_folder(options.out.absolute(), matrix.cells)
    began = time.monotonic()
    with lock_folder(folder):  # two drivers would hand out every cell twice
        _run(state, folder, options)
    _write_end(state, time.monotonic() - began, options.json)
    return 1 if state.failed else 0


def _require_own_options(options: Namespace) -> None:
    """Refuse an option that the executor does not have: it would be ignored in silence."""
    for name, executors in _OWN_OPTIONS.items():
        if getattr(options, name) is not None and options.executor not in executors:
            option = f"--{name.replace('_', '-')}"
            raise UserError(
                f"{option} is for --executor {' or '.join(executors)}, and this sweep has --executor "
                f"{options.executor}; leave it out"
            )
    if options.slots is not None and options.address is not None:
        raise UserError("--slots is for a Ray on this machine; the cluster at --address says itself what it has")


def _make_executor(options: Namespace, cells: list[MatrixCell], folder: Path) -> Executor:
    from benchmarks.matrix.executors.executor import CellResources

    # the blocks of a suite may differ: --slots cells of the largest shape have room
    needs = [cell.resources for cell in cells]
    memory = max(each.memory_gib or 0.0 for each in needs) or None
    default = CellResources(max(each.threads for each in needs), max(each.gpus for each in needs), memory)
    if options.executor == "ray":
        from benchmarks.matrix.executors.ray_cluster import RayExecutor

        num_cpus = None if options.slots is None else options.slots * default.threads
        return RayExecutor(folder=folder, address=options.address, num_cpus=num_cpus)
    if options.executor == "slurm":
        from benchmarks.matrix.executors.slurm import SlurmExecutor

        words = [word.partition("=") for word in options.sbatch or []]
        return SlurmExecutor(
            folder=folder,
            partition=options.partition,
            time=options.time,
            array_size=options.array_size or 32,
            # a word without a value is a switch of sbatch
            arguments={key: value if equals else True for key, equals, value in words},
        )
    from benchmarks.matrix.executors.local import LocalExecutor

    return LocalExecutor(options.slots, default, len(cells))


def _run(state: SweepState, folder: Path, options: Namespace) -> None:
    from benchmarks.matrix.sweep import open_executor, run_sweep

    if not state.waiting:  # no cluster is asked for nothing
        with _open_view("", options) as view:
            view.show_answered(state)
        return
    needs = [state.cells[number] for number in state.waiting]
    with open_executor(_make_executor(options, needs, folder)) as executor:
        title = f"{format_count(len(state.cells), 'cell')} on {executor.describe()}"
        with _open_view(title, options) as view:
            view.show_answered(state)
            run_sweep(state, executor, folder, view, options.retries)


def _open_view(title: str, options: Namespace) -> AbstractContextManager[SweepView]:
    from benchmarks.cli.matrix.sweep_display import JsonSweepView, PlainSweepView
    from benchmarks.cli.matrix.sweep_live import LiveSweepView

    if options.json:
        return nullcontext(JsonSweepView())
    if sys.stderr.isatty():
        return LiveSweepView(title)
    if title:
        write_message(f"bench: {title}")
    return nullcontext(PlainSweepView())


def _write_end(state: SweepState, seconds: float, as_json: bool) -> None:
    from benchmarks.cli.matrix.sweep_display import write_end_event, write_summary
    from results.leaderboard.render.markdown import to_markdown
    from results.leaderboard.report import build_report
    from results.records.store import ScanResult, read_record

    if as_json:
        write_end_event(state, seconds)
    else:
        folders = [report.folder for report in state.finished.values() if report.folder is not None]
        if folders:
            report = build_report(ScanResult([(folder, read_record(folder)) for folder in folders], []))
            write_stdout(to_markdown(report))
    # last, so that failures are what a reader sees
    write_summary(state, seconds)
