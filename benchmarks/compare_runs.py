"""Compare two runs, or two backbones on every board that both are on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from benchmarks.find_run import find_runs
from foundation.errors import UserError
from results.leaderboard.row_labels import map_pretrain_methods
from results.records.record import PRETRAINING_DOMAIN
from results.records.store import RECORD_FILE
from results.statistics.comparison import BackboneComparison, compare_backbones, group_runs_by_board
from results.statistics.ranking import StoredRun
from results.store_index.select_runs import scan_selected_runs


def _drop_other_boards(runs: Sequence[StoredRun], backbones: Collection[str], task: str | None) -> list[StoredRun]:
    """Leave out the runs of boards on which the backbones do not meet; a name may be ambiguous there and clear here.

    Pre-trainings stay, as they name the start weights of other runs.
    """
    on_board: dict[str, set[str]] = defaultdict(set)
    # by name alone: which start of a backbone was asked for is found out on the boards that are left
    for _, record in runs:
        on_board[record.comparability].add(record.backbone.name)
    return [
        (folder, record)
        for folder, record in runs
        if record.domain == PRETRAINING_DOMAIN
        or (on_board[record.comparability] >= set(backbones) and task in (None, record.task))
    ]


def make_comparisons(first: str, second: str, stores: Sequence[Path], task: str | None) -> list[BackboneComparison]:
    """Compare two runs (folders or starts of ids), or two backbones on every board that both are on.

    Args:
        first, second: both a backbone (``NAME``, or ``NAME@START`` for one of several starts), or both a run (its
            folder, or the start of its id).
        stores: folders of runs.
        task: only boards of this task; ``None``: all.

    Returns:
        One comparison for each board; the difference is first minus second.

    Raises:
        UnknownNameError: neither a run nor a backbone with complete runs.
        UserError: not comparable; the sentence says why.
    """
    asked = {name.partition("@")[0] for name in (first, second)}
    runs: list[StoredRun] = []
    names: Collection[str] = ()
    # two folders need no search, which may look at thousands of records
    if not all((Path(name) / RECORD_FILE).is_file() for name in (first, second)):
        found = scan_selected_runs(stores, lambda facts: facts.backbone in asked)
        runs, names = found.scan_result.records, found.facts.backbones
    if all(name.partition("@")[0] in names for name in (first, second)):
        runs = _drop_other_boards(runs, asked, task)
        boards, others = group_runs_by_board(runs, first), group_runs_by_board(runs, second)
        shared = [key for key in boards if key in others and task in (None, boards[key][0][1].task)]
        if not shared:
            where = f" of task {task}" if task else ""
            raise UserError(f"{first} and {second} have no complete runs on one board{where}; see: bench table")
        made = map_pretrain_methods(runs)
        return [compare_backbones(boards[key], others[key], made) for key in shared]
    for name, partner in ((first, second), (second, first)):
        if name.partition("@")[0] in names:
            raise UserError(
                f"{name} is a backbone with runs here, and {partner} is not; name two backbones with runs, or two runs"
            )
    run, other = find_runs((first, second), stores, names)
    comparison = compare_backbones([run], [other])
    if task not in (None, comparison.task):
        raise UserError(f"the two runs are of task {comparison.task}, not {task}")
    return [comparison]
