"""Build a leaderboard from the records of the boards that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from results.leaderboard.filter_sort import TableFilter
from results.leaderboard.report import LeaderboardReport, build_report
from results.records.store import scan_runs
from results.store_index.select_runs import scan_selected_runs


class StoreReport(NamedTuple):
    """A leaderboard, and one sentence for each record or saved timing that cannot be read and is not in it."""

    report: LeaderboardReport
    errors: list[str]


def build_store_report(roots: Sequence[Path], table_filter: TableFilter) -> StoreReport:
    """Build the leaderboard of some stores; it is the same as from a scan of all records.

    Raises:
        UserError: a store does not exist.
        UnknownNameError: the filter names a task or backbone that no run has.
        RecordError: the records of one board disagree about a metric's direction.
    """
    # without a choice of boards all records have to be read anyway
    if not table_filter.tasks and not table_filter.tiers:
        scan_result = scan_runs(roots)
        return StoreReport(build_report(scan_result, table_filter), scan_result.errors)
    found = scan_selected_runs(roots, lambda facts: table_filter.matches_board(facts.task, facts.tier))
    return StoreReport(build_report(found.scan_result, table_filter, found.facts), found.scan_result.errors)
