"""Write the page: ``index.html`` and its pictures, with a content security policy that forbids any request."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.display_text import escape_controls
from foundation.errors import UserError
from foundation.files import ensure_writable_dir, write_atomic
from foundation.plural import format_count
from results.leaderboard.page.data import build_page_data
from results.leaderboard.page.media import (
    AnalysisPanel,
    PageMedia,
    list_page_media,
    remove_stale_media,
    write_media,
)
from results.leaderboard.page.overview import COST_COLUMNS, SIZE_CLASSES, UNKNOWN_SIZE, build_overview_tables
from results.leaderboard.page.view import ABSENT_WORDS, build_board_sections, build_summary_view, build_unmatched_view
from results.leaderboard.render.columns import SUMMARY_TITLE, UNMATCHED_TITLE
from results.leaderboard.render.csv import to_csv
from results.leaderboard.render.latex import to_latex
from results.leaderboard.report import LeaderboardReport

if TYPE_CHECKING:
    from jinja2 import Environment

ASSETS_DIR = Path(__file__).parent / "assets"
PAGE_FILE = "index.html"
PAGE_TITLE = "bench leaderboard"
NUM_HEAD_BYTES = 4_000
"""Bytes at the start of a page in which its title stands."""
SCRIPT_FILES = (
    *("dom.js", "state.js", "svg.js", "tables.js", "scatter.js", "plot.js", "runs.js", "items.js"),
    *("backbone.js", "compare.js", "export.js", "main.js"),
)
"""The parts of the page's script in their order; they share one scope."""


def write_page(
    report: LeaderboardReport, folder: Path, analysis_panels: Sequence[AnalysisPanel] = (), single_file: bool = False
) -> Path:
    """Write ``index.html`` and the pictures below ``media/`` into a folder. The same report gives the same bytes.

    Each file is written in one piece, the page after its pictures. Pictures of an earlier page in the same folder are
    removed after that, and no other file is. An ``index.html`` that bench did not write is never replaced.

    Args:
        report: what the page displays.
        folder: folder for the page; it is created if it does not exist.
        analysis_panels: analyses that are displayed after the boards.
        single_file: whether the pictures are embedded, so that the page is one file.

    Returns:
        Path of the page.

    Raises:
        UserError: the folder cannot be written, or has an ``index.html`` of somebody else.
    """
    require_page_folder(folder)
    media = PageMedia(embed=single_file)
    return write_rendered_page(folder, render_page(report, analysis_panels, media), media)


def require_page_folder(folder: Path) -> None:
    """Create the folder of a page, and check that the page can be written there.

    Raises:
        UserError: the folder cannot be written, or has an ``index.html`` of somebody else.
    """
    ensure_writable_dir(folder)
    _require_own_page(folder / PAGE_FILE)


def write_rendered_page(folder: Path, content: str, media: PageMedia) -> Path:
    """Write a page and its pictures, see ``write_page``, and return its path.

    Args:
        folder: the folder, which was checked.
        content: the page as ``render_page`` returned it.
        media: the pictures that it collected.
    """
    page = folder / PAGE_FILE
    earlier = list_page_media(page)
    write_media(folder, media.files)
    write_atomic(page, content)
    remove_stale_media(folder, earlier - media.files.keys())
    return page


def _require_own_page(page: Path) -> None:
    """Refuse to replace a file that is no page of bench.

    Raises:
        UserError: the file exists, and is no regular file or another page.
    """
    if not page.exists() and not page.is_symlink():
        return
    start = b""
    if page.is_file():
        with page.open("rb") as file:
            start = file.read(NUM_HEAD_BYTES)
    if f"<title>{PAGE_TITLE}</title>".encode() not in start:
        raise UserError(f"{page} was not written by bench, so it is not replaced; move it or name another folder")


def render_page(
    report: LeaderboardReport, analysis_panels: Sequence[AnalysisPanel] = (), media: PageMedia | None = None
) -> str:
    """Return the page as text.

    The content of records is not trusted. The templates escape all of it, the data for the script are JSON without
    ``<``, the script inserts them into the document as text only, and the content security policy forbids all other
    scripts and all requests.

    Args:
        report: what the page displays.
        analysis_panels: analyses that are displayed after the boards.
        media: takes the pictures; by default they are embedded.
    """
    from markupsafe import Markup

    media = media or PageMedia(embed=True)
    script = build_page_script()
    css = (ASSETS_DIR / "page.css").read_text(encoding="utf-8")
    boards = report.table.boards
    data = build_page_data(report, media)
    template = _build_environment().get_template("page.html.j2")
    return template.render(
        security_policy=_build_security_policy(script, css),
        css=Markup(css),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own files
        data=Markup(_encode_script_json(data)),  # noqa: S704 - it contains no <
        exports=Markup(_encode_script_json(_render_exports(report))),  # noqa: S704 - it contains no <
        overview_tables=build_overview_tables(boards),
        cost_columns=COST_COLUMNS,
        size_classes=[*(name for _, name in SIZE_CLASSES), UNKNOWN_SIZE],
        boards=build_board_sections(report),
        board_keys=[board["key"] for board in data["boards"]],
        summaries=[build_summary_view(summary) for summary in report.summaries],
        summary_title=SUMMARY_TITLE,
        unmatched=build_unmatched_view(report.table.unmatched) if report.table.unmatched else None,
        unmatched_title=UNMATCHED_TITLE,
        analysis_panels=_place_figures(analysis_panels, media),
        unranked=[str(each) for each in report.table.unranked],
        warnings=list(report.table.warnings),
        title=PAGE_TITLE,
        counts=[
            format_count(len(data["sizes"]), "backbone"),
            format_count(len(boards), "board"),
            format_count(sum(len(row.runs) for board in boards for row in board.rows), "run"),
        ],
        num_pretrainings=len(report.pretrainings),
        format_count=format_count,
        newest=max((row.finished_at[:16] for board in boards for row in board.rows), default=""),
        tasks=sorted({board.task for board in boards}),
        absent_words=ABSENT_WORDS,
        # after everything that may add a picture
        media_names=Markup(_encode_script_json(sorted(media.files))),  # noqa: S704 - it contains no <
    )


def _build_environment() -> Environment:
    """Return the templates with their escaping; everything that they insert is text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(ASSETS_DIR),
        autoescape=True,
        undefined=StrictUndefined,  # a misspelled name in the template is an error, not an empty cell
        finalize=_make_displayable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # a label is escaped before it becomes part of an address, as it is in the data that the address is looked up in
    environment.filters["escape_controls"] = escape_controls
    return environment


def build_page_script() -> str:
    """Return the page's script: the parts in one function, so that nothing of them is global."""
    parts = "\n".join((ASSETS_DIR / name).read_text(encoding="utf-8") for name in SCRIPT_FILES)
    return f'"use strict";\n(() => {{\n{parts}\n}})();\n'


def _render_exports(report: LeaderboardReport) -> dict[str, str]:
    """Return the boards as the text renderers give them, for the page's buttons."""
    return {"csv": to_csv(report), "latex": to_latex(report)} if report.table.boards else {}


def _place_figures(panels: Sequence[AnalysisPanel], media: PageMedia) -> list[dict[str, Any]]:
    """Return the panels with the addresses of their figures; a caption says how many have no room on the page."""
    placed = []
    for panel in panels:
        addresses = [(name, media.add_picture(content)) for name, content in panel.figures]
        figures = [(name, address) for name, address in addresses if address is not None]
        left = len(panel.figures) - len(figures)
        caption = panel.caption + (f"; this page has no room for {format_count(left, 'figure')}" if left else "")
        placed.append({"title": panel.title, "caption": caption, "figures": figures})
    return placed


def _build_security_policy(script: str, css: str) -> str:
    """Return the policy: this script and this style sheet only, by their hashes, and no requests but for pictures."""
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, css)]
    return (
        f"default-src 'none'; script-src 'sha256-{digests[0]}'; style-src 'sha256-{digests[1]}'; "
        "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'"
    )


def _make_displayable(value: Any) -> Any:
    """Return a value with the control characters of its texts as codes, in the markup and in the data alike.

    A name that reverses the writing direction would otherwise be displayed as another one, and a folder's name that is
    not UTF-8 cannot be written at all.
    """
    if type(value) is str:  # not its subclass Markup, which is our own text
        return escape_controls(value)
    if isinstance(value, dict):
        return {_make_displayable(key): _make_displayable(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return [_make_displayable(each) for each in value]
    return value


def _encode_script_json(value: Any) -> str:
    """Return JSON that is safe inside a script element."""
    text = json.dumps(_make_displayable(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # "</script>" in a string would end the element, and U+2028 and U+2029 are line breaks in older JavaScript. Inside
    # JSON these letters occur in strings only, so their \u escapes mean the same.
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text
