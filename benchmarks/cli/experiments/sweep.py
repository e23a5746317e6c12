"""``bench sweep``: run every cell of a matrix, on this machine or on a cluster."""

from __future__ import annotations

import argparse
import sys
import time
from argparse import Namespace
from typing import TYPE_CHECKING

from benchmarks.cli.common_options import parse_nonnegative_int, parse_positive_int
from benchmarks.cli.matrix_options import add_matrix_options, make_matrix
from benchmarks.cli.output import write_message, write_stdout

# only for annotations: bench --help must import nothing heavy
if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.matrix.executors.executor import Executor
    from benchmarks.matrix.suite import MatrixCell
    from benchmarks.matrix.sweep import SweepState


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add_matrix_options(parser)
    text = "where the cells run: processes of this machine (default), a Ray cluster, or jobs of Slurm"
    parser.add_argument("--executor", choices=("local", "ray", "slurm"), default="local", help=text)
    text = "local: cells that run at the same time; default: as many as there are processors for"
    parser.add_argument("--slots", type=parse_positive_int, metavar="N", help=text)
    text = "how often a cell is tried again whose process, machine or job died; default: 2"
    parser.add_argument("--retries", type=parse_nonnegative_int, default=2, metavar="N", help=text)


def main(options: Namespace) -> int:
    """Run the cells; the exit code is 1 if one of them has no number at the end."""
    from benchmarks.matrix.sweep import get_sweep_folder
    from foundation.files import ensure_writable_dir
    from results.records.store import lock_folder

    matrix = make_matrix(options)
    for note in matrix.notes:
        write_message(f"bench: {note}")
    ensure_writable_dir(options.out)
    folder = get_sweep_folder(options.out.absolute(), matrix.cells)
    executor = _make_executor(options, matrix.cells)
    with lock_folder(folder):  # two drivers would hand out every cell twice
        began = time.monotonic()
        state = _run(matrix.cells, executor, folder, options)
    seconds = time.monotonic() - began
    _write_end(state, seconds, options.json)
    return 1 if state.failed else 0


def _make_executor(options: Namespace, cells: list[MatrixCell]) -> Executor:
    from benchmarks.matrix.executors.local import LocalExecutor

    return LocalExecutor(options.slots, cells[0].resources, len(cells))


def _run(cells: list[MatrixCell], executor: Executor, folder: Path, options: Namespace) -> SweepState:
    from benchmarks.cli.sweep_display import JsonSweepView, PlainSweepView
    from benchmarks.cli.sweep_live import LiveSweepView
    from benchmarks.matrix.sweep import run_sweep
    from foundation.plural import format_count

    title = f"{format_count(len(cells), 'cell')} on {executor.describe()}"
    if options.json:
        return run_sweep(cells, executor, folder, JsonSweepView(), options.retries)
    if sys.stderr.isatty():
        with LiveSweepView(title) as view:
            return run_sweep(cells, executor, folder, view, options.retries)
    write_message(f"bench: {title}")
    return run_sweep(cells, executor, folder, PlainSweepView(), options.retries)


def _write_end(state: SweepState, seconds: float, as_json: bool) -> None:
    from benchmarks.cli.sweep_display import write_end_event, write_summary
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
