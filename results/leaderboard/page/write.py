"""Write the page: a single file whose content security policy forbids any access to the outside."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundation.files import ensure_writable_dir, write_atomic
from results.leaderboard.page.data import build_page_data
from results.leaderboard.page.pictures import AnalysisPanel
from results.leaderboard.page.view import build_board_sections, build_summary_view, build_unmatched_view
from results.leaderboard.render.columns import SUMMARY_TITLE, UNMATCHED_TITLE
from results.leaderboard.report import LeaderboardReport
from results.records.record import TIER_ORDER

PAGE_ASSETS_DIR = Path(__file__).parent
PAGE_FILE = "index.html"


def write_page(report: LeaderboardReport, folder: Path, analysis_panels: Sequence[AnalysisPanel] = ()) -> Path:
    """Write ``index.html`` into a folder atomically. The same report gives the same bytes.

    Args:
        report: what the page displays.
        folder: folder for the page; it is created if it does not exist.
        analysis_panels: analyses that are displayed after the boards.

    Returns:
        Path of the page.

    Raises:
        UserError: the folder cannot be written.
    """
    ensure_writable_dir(folder)
    write_atomic(folder / PAGE_FILE, render_page(report, analysis_panels))
    return folder / PAGE_FILE


def render_page(report: LeaderboardReport, analysis_panels: Sequence[AnalysisPanel] = ()) -> str:
    """Return the page as text.

    The content of records is not trusted. The template escapes all of it, the data for the script are JSON without
    ``<``, the script inserts them into the document as text only, and the content security policy forbids all other
    scripts and all requests.

    Args:
        report: what the page displays.
        analysis_panels: analyses that are displayed after the boards.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

    scripts = [get_plotlyjs(), (PAGE_ASSETS_DIR / "page.js").read_text(encoding="utf-8")]
    environment = Environment(
        loader=FileSystemLoader(PAGE_ASSETS_DIR),
        autoescape=True,
        undefined=StrictUndefined,  # a misspelled name in the template is an error, not an empty cell
        trim_blocks=True,
        lstrip_blocks=True,
    )
    data = build_page_data(report)
    return environment.get_template("page.html.j2").render(
        security_policy=_build_security_policy(scripts),
        css=Markup((PAGE_ASSETS_DIR / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - plotly's and our own
        data=Markup(_encode_script_json(data)),  # noqa: S704 - it contains no <
        boards=build_board_sections(report),
        summaries=[build_summary_view(summary) for summary in report.summaries],
        summary_title=SUMMARY_TITLE,
        unmatched=build_unmatched_view(report.table.unmatched) if report.table.unmatched else None,
        unmatched_title=UNMATCHED_TITLE,
        analysis_panels=list(analysis_panels),
        unranked=[str(each) for each in report.table.unranked],
        warnings=list(report.table.warnings),
        runs=len(data["runs"]),
        newest=max((run["finished"] for run in data["runs"]), default=""),
        tasks=sorted({board.task for board in report.table.boards}),
        tiers=[tier for tier in TIER_ORDER if any(board.tier == tier for board in report.table.boards)],
    )


def _build_security_policy(scripts: list[str]) -> str:
    """Return the policy that allows these scripts only, identified by their hashes, and no requests at all."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _encode_script_json(value: Any) -> str:
    """Return JSON that is safe inside a script element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # "</script>" in a string would end the element, and U+2028 and U+2029 are line breaks in older JavaScript. Inside
    # JSON these letters occur in strings only, so their \u escapes mean the same.
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text
