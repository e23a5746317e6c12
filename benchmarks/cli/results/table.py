"""``bench table``."""

from __future__ import annotations

import gc
import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.cli.output import write
from results.leaderboard.filter_sort import Choice
from results.leaderboard.report import Report, make_report
from results.records.store import scan


def main(options: Namespace) -> int:
    """Write the boards to stdout, or the page into a folder, and every warning to stderr."""
    with _collector_off():
        return _write(options)


@contextmanager
def _collector_off() -> Iterator[None]:
    """The garbage collector rests: ten thousand records are a million objects that all stay, and walking them over and
    over takes longer than reading them.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _write(options: Namespace) -> int:
    choice = Choice(tuple(options.task), tuple(options.backbone), tuple(options.tier), options.sort, options.pareto)
    report = make_report(scan(options.runs), choice)
    if options.html is None:
        write(render(report, "json" if options.json else options.format))
    else:
        from benchmarks.page_analyses import looks
        from results.leaderboard.page.write import write_page

        shown, faults = looks(options.runs)
        write(str(write_page(report, options.html, shown)))
        for fault in faults:
            sys.stderr.write(f"bench: warning: left out of the page: {fault}\n")
    for warning in report.table.warnings:
        sys.stderr.write(f"bench: warning: left out of the table: {warning}\n")
    return 0


def render(report: Report, form: str) -> str:
    """The report as ``markdown``, ``csv``, ``latex`` or ``json``."""
    if form == "csv":
        from results.leaderboard.render.csv import to_csv

        return to_csv(report)
    if form == "latex":
        from results.leaderboard.render.latex import to_latex

        return to_latex(report)
    if form == "json":
        from results.leaderboard.render.json import to_data

        return json.dumps(to_data(report), indent=2, ensure_ascii=False, allow_nan=False)
    from results.leaderboard.render.markdown import to_markdown

    return to_markdown(report)
