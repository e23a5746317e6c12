"""``bench table``: write the leaderboards of all runs as text or as a web page."""

from __future__ import annotations

import argparse
import json
from argparse import Namespace
from pathlib import Path

from benchmarks.cli.common_options import add_runs_option
from benchmarks.cli.output import write_message, write_stdout
from foundation.display_text import escape_controls, format_one_line
from foundation.errors import UserError
from foundation.files import write_atomic
from foundation.machine.garbage_collection import pause_garbage_collection
from results.leaderboard.filter_sort import TableFilter
from results.leaderboard.report import LeaderboardReport
from results.store_index.indexed_report import build_store_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add_runs_option(parser)
    parser.add_argument("--task", nargs="+", default=[], metavar="NAME", help="only leaderboards of these tasks")
    text = "only leaderboards of these tiers"
    parser.add_argument("--tier", nargs="+", choices=("smoke", "short", "full"), default=[], help=text)
    # ranks are not computed again: a rank among selected rows would look like one among all
    text = "only rows of these backbones; ranks are still those among all rows"
    parser.add_argument("--backbone", nargs="+", default=[], metavar="NAME", help=text)
    # const is the value of --pareto without a cost
    parser.add_argument(
        "--pareto", nargs="?", choices=("parameters", "macs", "latency"), const="parameters",
        help="only rows that no other row beats in both score and this cost (parameters if not given)",
    )  # fmt: skip
    parser.add_argument(
        "--sort", default="rank",
        choices=("rank", "score", "backbone", "parameters", "macs", "latency", "throughput", "date"),
        help="order of the rows",
    )  # fmt: skip
    parser.add_argument(
        "--format",
        choices=("markdown", "csv", "latex", "json", "parquet"),
        default="markdown",
        help="format of the text on stdout; parquet: of the file that --out names",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the leaderboards to this file instead")
    text = "write DIR/index.html and its pictures in DIR/media instead, a page that needs no network"
    parser.add_argument("--html", type=Path, metavar="DIR", help=text)
    text = "with --html: put the pictures into index.html, so that the page is one file"
    parser.add_argument("--single-file", action="store_true", help=text)


def main(options: Namespace) -> int:
    """Write the leaderboards to stdout or a page to a folder, and every warning to stderr."""
    with pause_garbage_collection():
        return _write_report(options)


def _write_report(options: Namespace) -> int:
    if options.single_file and options.html is None:
        raise UserError("--single-file says how the page is written; name its folder with --html DIR")
    if options.out is not None and options.html is not None:
        raise UserError("--out is for text and Parquet, and --html for a page; leave out one of them")
    table_format = "json" if options.json else options.format
    if table_format == "parquet" and options.out is None and options.html is None:
        raise UserError("a Parquet file is no text for stdout; name the file with --out FILE")
    choice = TableFilter(
        tuple(options.task), tuple(options.backbone), tuple(options.tier), options.sort, options.pareto
    )
    # broken records are left out with a warning on stderr, so that stdout stays valid CSV or JSON
    if options.html is not None:
        report, errors = _write_page(options, choice)
    elif table_format == "parquet":
        from results.tabular.board_table import write_board_table

        report, errors, _ = build_store_report(options.runs, choice)
        write_board_table(report, options.out)
    else:
        report, errors, text = build_store_report(
            options.runs, choice, lambda report: render_report(report, table_format)
        )
        _write_text(text, options.out)
    for warning in report.table.warnings:
        # the other warnings are about attempts of which one is in the table
        left_out = "left out of the table: " if warning in errors else ""
        write_message(f"bench: warning: {left_out}{warning}")
    return 0


def _write_page(options: Namespace, choice: TableFilter) -> tuple[LeaderboardReport, list[str]]:
    """Write the page, and return its leaderboards and the records that are not in it."""
    # text output needs neither the analyses nor the code of the page
    from benchmarks.page_analyses import collect_page_analyses
    from results.leaderboard.page.media import PageMedia
    from results.leaderboard.page.write import render_page, require_page_folder, write_rendered_page

    def render(report: LeaderboardReport) -> tuple[str, PageMedia]:
        media = PageMedia(embed=options.single_file)
        return render_page(report, shown, media), media

    shown, faults = collect_page_analyses(options.runs)
    require_page_folder(options.html)
    report, errors, (content, media) = build_store_report(options.runs, choice, render)
    write_stdout(format_one_line(str(write_rendered_page(options.html, content, media))))
    for fault in faults:
        write_message(f"bench: warning: left out of the page: {fault}")
    return report, errors


def _write_text(text: str, out: Path | None) -> None:
    if out is None:
        write_stdout(text)
    else:
        write_atomic(out, escape_controls(text).rstrip("\n") + "\n")


def render_report(report: LeaderboardReport, output_format: str) -> str:
    """Render the report.

    Args:
        report: the leaderboards.
        output_format: ``markdown``, ``csv``, ``latex`` or ``json``.
    """
    # each renderer is imported only when it is used, which keeps bench table fast
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
