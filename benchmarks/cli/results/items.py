"""``bench items``: write the per-item outcomes of runs as one long table."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.cli.common_options import add_runs_option
from benchmarks.cli.output import write_json, write_message, write_stdout
from foundation.display_text import format_one_line
from foundation.errors import UserError
from foundation.machine.garbage_collection import pause_garbage_collection
from foundation.plural import format_count

# only for annotations: the module imports scipy
if TYPE_CHECKING:
    from results.statistics.ranking import StoredRun


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    text = "folder or start of the id of a run; without any: all runs on the leaderboards that the options choose"
    parser.add_argument("run", nargs="*", metavar="RUN", help=text)
    parser.add_argument("--task", nargs="+", default=[], metavar="NAME", help="only runs of these tasks")
    text = "only runs of these tiers"
    parser.add_argument("--tier", nargs="+", choices=("smoke", "short", "full"), default=[], help=text)
    parser.add_argument("--backbone", nargs="+", default=[], metavar="NAME", help="only runs of these backbones")
    text = "csv, or parquet with typed columns, which needs pip install 'litevit-bench[parquet]'"
    parser.add_argument("--format", choices=("csv", "parquet"), default="csv", help=text)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write")
    add_runs_option(parser)


def main(options: Namespace) -> int:
    """Write the table, say what is in it, and name every run that is not."""
    # imported here, because scipy takes a second
    from results.tabular.item_table import write_item_table

    with pause_garbage_collection():
        chosen = _choose_runs(options)
        done = write_item_table(chosen.runs, chosen.pretrain_methods, options.out, options.format)
        done = done._replace(left_out=[*chosen.errors, *done.left_out])
    for fault in done.left_out:
        write_message(f"bench: warning: left out of the table: {fault}")
    if options.json:
        write_json({"file": str(options.out), **done._asdict()})
    else:
        counts = f"{format_count(done.rows, 'row')} of {format_count(done.runs, 'run')}"
        write_stdout(format_one_line(f"{options.out}: {counts}"))
    return 0


class _ChosenRuns(NamedTuple):
    """The runs that were asked for.

    Attributes:
        runs: the runs.
        pretrain_methods: pre-training method by the SHA-256 of the weights it produced.
        errors: one sentence for each record that cannot be read, which could be one of them.
    """

    runs: Sequence[StoredRun]
    pretrain_methods: Mapping[str, str]
    errors: Sequence[str]


def _keep_distinct(runs: Sequence[StoredRun]) -> Sequence[StoredRun]:
    """Return each run once, whatever names it has: with its rows twice, every mean over them would be another.

    Raises:
        UserError: two of them are attempts at one run, whose rows the table could not tell apart.
    """
    kept: dict[str, StoredRun] = {}
    for folder, record in runs:
        first, _ = kept.setdefault(record.run_id, (folder, record))
        if first.resolve() != folder.resolve():
            raise UserError(f"{first} and {folder} are attempts at the same run, {record.run_id}; name one of them")
    return [*kept.values()]


def _choose_runs(options: Namespace) -> _ChosenRuns:
    from benchmarks.find_run import find_runs
    from results.leaderboard.filter_sort import TableFilter
    from results.leaderboard.row_labels import map_pretrain_methods
    from results.store_index.indexed_report import build_store_report
    from results.store_index.select_runs import scan_selected_runs

    if options.run:
        if options.task or options.tier or options.backbone:
            raise UserError("--task, --tier and --backbone choose among leaderboards; leave them out, or the names")
        stores = [root for root in options.runs if root.is_dir()]  # a run named by its folder needs no store
        made = map_pretrain_methods(scan_selected_runs(stores, lambda facts: False).scan_result.records)
        return _ChosenRuns(_keep_distinct(find_runs(options.run, options.runs)), made, ())
    choice = TableFilter(tuple(options.task), tuple(options.backbone), tuple(options.tier))
    report, errors, _ = build_store_report(options.runs, choice)
    # the runs that count: of several attempts at a run, or runs of a seed, the one that is on the board
    runs = [run for board in report.table.boards for row in board.rows for run in row.runs]
    return _ChosenRuns(runs, map_pretrain_methods(report.pretrainings), errors)
