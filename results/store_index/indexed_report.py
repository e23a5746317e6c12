"""Build a leaderboard from the records of the boards that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from results.leaderboard.filter_sort import TableFilter
from results.leaderboard.report import LeaderboardReport, build_report
from results.records.store import scan_runs
from results.store_index.faulty_runs import StoredRuns, build_without_faulty
from results.store_index.select_runs import scan_selected_runs


class StoreReport(NamedTuple):
    """A leaderboard, and one sentence for each record or saved timing that cannot be read or used and is not in it."""

    report: LeaderboardReport
    errors: list[str]
    rendered: Any = None


def build_store_report(
    roots: Sequence[Path], table_filter: TableFilter, render: Callable[[LeaderboardReport], Any] = lambda report: None
) -> StoreReport:
    """Build the leaderboard of some stores; it is the same as from a scan of all records.

    Args:
        roots: the stores.
        table_filter: which boards and rows to display.
        render: turns the report into something, for example text, which is returned as ``rendered``; without any other
            effect, because a run with which building or rendering fails is looked for by doing both with some of them.

    Raises:
        UserError: a store does not exist.
        UnknownNameError: the filter names a task or backbone that no run has.
    """
    # without a choice of boards all records have to be read anyway
    if not table_filter.tasks and not table_filter.tiers:
        scan_result, facts = scan_runs(roots), None
    else:
        scan_result, facts = scan_selected_runs(roots, lambda facts: table_filter.matches_board(facts.task, facts.tier))

    errors: list[str] = scan_result.errors

    def build(runs: StoredRuns) -> StoreReport:
        report = build_report(scan_result._replace(records=list(runs)), table_filter, facts)
        return StoreReport(report, errors, render(report))

    return build_without_faulty(scan_result.records, build, errors)
