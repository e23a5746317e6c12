"""``bench table``."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.cli.common_options import add_runs_option
from benchmarks.cli.output import write_stdout
from results.leaderboard.filter_sort import TableFilter
from results.leaderboard.report import LeaderboardReport, build_report
from results.records.store import scan_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    add_runs_option(parser)
    parser.add_argument("--task", nargs="+", default=[], metavar="NAME", help="only boards of these tasks")
    parser.add_argument("--tier", nargs="+", choices=("smoke", "short", "full"), default=[], help="only these tiers")
    parser.add_argument(
        "--backbone", nargs="+", default=[], metavar="NAME", help="only these rows; ranks stay those among all"
    )
    parser.add_argument(
        "--pareto", nargs="?", choices=("parameters", "macs", "latency"), const="parameters",
        help="only rows that no other beats in score and in this cost at once (default: parameters)",
    )  # fmt: skip
    parser.add_argument(
        "--sort", default="rank",
        choices=("rank", "score", "backbone", "parameters", "macs", "latency", "throughput", "date"),
        help="order of the rows of a board",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=("markdown", "csv", "latex", "json"), default="markdown", help="of the text on stdout"
    )
    parser.add_argument("--html", type=Path, metavar="DIR", help="write DIR/index.html, a page that needs nothing else")


def main(options: Namespace) -> int:
    """Write the boards to stdout, or the page into a folder, and every warning to stderr."""
    with _disable_gc():
        return _write_report(options)


@contextmanager
def _disable_gc() -> Iterator[None]:
    """The garbage collector rests: ten thousand records are a million objects that all stay, and walking them over and
    over takes longer than reading them.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _write_report(options: Namespace) -> int:
    choice = TableFilter(
        tuple(options.task), tuple(options.backbone), tuple(options.tier), options.sort, options.pareto
    )
    report = build_report(scan_runs(options.runs), choice)
    if options.html is None:
        write_stdout(render_report(report, "json" if options.json else options.format))
    else:
        from benchmarks.page_analyses import collect_page_analyses
        from results.leaderboard.page.write import write_page

        shown, faults = collect_page_analyses(options.runs)
        write_stdout(str(write_page(report, options.html, shown)))
        for fault in faults:
            sys.stderr.write(f"bench: warning: left out of the page: {fault}\n")
    for warning in report.table.warnings:
        sys.stderr.write(f"bench: warning: left out of the table: {warning}\n")
    return 0


def render_report(report: LeaderboardReport, output_format: str) -> str:
    """The report as ``markdown``, ``csv``, ``latex`` or ``json``."""
    if output_format == "csv":
        from results.leaderboard.render.csv import to_csv

        return to_csv(report)
    if output_format == "latex":
        from results.leaderboard.render.latex import to_latex

        return to_latex(report)
    if output_format == "json":
        from results.leaderboard.render.json import to_json_data

        return json.dumps(to_json_data(report), indent=2, ensure_ascii=False, allow_nan=False)
    from results.leaderboard.render.markdown import to_markdown

    return to_markdown(report)
