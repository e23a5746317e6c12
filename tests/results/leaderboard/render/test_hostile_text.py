"""Names, notes, reasons and folders that try to be something else than text, in every format."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from foundation.display_text import escape_controls
from results.leaderboard.render.csv import guard_cell, to_csv
from results.leaderboard.render.json import to_json_data
from results.leaderboard.render.latex import escape_latex, to_latex
from results.leaderboard.render.markdown import escape_markdown, escape_markdown_line, to_markdown
from results.leaderboard.report import LeaderboardReport, build_report
from results.leaderboard.table import build_table
from results.published.rows import read_published
from results.records.store import ScanResult
from tests.foundation.test_display_text import DANGEROUS
from tests.results.make import make_backbone_record, make_record
from tests.results.published.test_match import ours

HOSTILE = [
    "![x](https://evil.example/a.png)",
    "[click](javascript:alert(1))",
    "<img src=x onerror=alert(1)>",
    "a | b",
    "a\\| b",
    "`code` **bold** _it_ ~~gone~~ $x^2$",
    "https://evil.example",
    "www.evil.example",
    "me@evil.example",
    "a\n\n# heading\n- item",
    "x\r\n| 1 | 2 |",
    "=cmd|' /C calc'!A0",
    "\t=1+1",
    "\r@SUM(A1)",
    "\x1b[2J\x1b]0;title\x07",
    "\u202egnp.exe",
    "a\u2028b\x9b31m",
    "\udcff not utf-8",
    "\\input{/etc/passwd} 100% #$&{}^~ ^^M",
    "[1em] \\\\ \\end{tabular}",
]


def make_hostile_report(text: str) -> LeaderboardReport:
    """A report that has the text in every place that a record decides."""
    content: dict[str, Any] = make_record().model_dump()
    data = content["data"] | {"deviations": [text], "duplicates": [text]}
    config = {"recipe": {**content["config"]["recipe"], text: text}}
    changes = {"task": text, "protocol": text, "data": data, "config": config, "changed_settings": [text]}
    result = json.loads(json.dumps(content["result"]).replace("mean_per_class", "other"))
    result["metrics"][text] = result["metrics"].pop("other") | {"unit": text}
    first, second = (
        make_backbone_record(f"{text}{n}", 90.0 + n, f"{text}{n}", **changes, result=result) for n in (1, 2)
    )
    failed = make_record(run_id="f", status="failed", reason=text)
    runs = [(Path(f"runs/{text}/{place}"), each) for place, each in enumerate((first, second, failed, ours(77.8)))]
    return build_report(ScanResult(runs, [f"{text} is not a record"]))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_control_character_is_in_any_format(text: str) -> None:
    report = make_hostile_report(text)
    data = escape_controls(json.dumps(to_json_data(report), ensure_ascii=False, allow_nan=False))
    for output in (to_markdown(report), to_csv(report), to_latex(report), data):
        assert not set(DANGEROUS) & set(output)
        output.encode()
    names = {row["backbone"] for board in json.loads(data)["boards"] for row in board["rows"]}
    assert f"{text}1" in names, "JSON keeps the true text"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_has_no_live_content(text: str) -> None:
    written = to_markdown(make_hostile_report(text))
    tags = _Tags()
    html = MarkdownIt("commonmark").enable("table").render(written)
    tags.feed(html)
    assert set(tags.found) <= {"h2", "table", "thead", "tbody", "tr", "th", "td", "p", "br", "ul", "li"}
    expected = _Tags()
    expected.feed(MarkdownIt("commonmark").enable("table").render(to_markdown(make_hostile_report("plain"))))
    counts, known = (Counter(tag for tag in each.found if tag != "br") for each in (tags, expected))
    assert counts == known, "no row, heading or item more"
    # addresses that GitHub would turn into links by itself
    assert not re.search(r"https?://|www\.|\w@\w+\.", written.replace("arXiv", ""))


def test_markdown_of_ordinary_names_stays_readable() -> None:
    for name in ("mae_distill_tiny", "timm/vit_tiny_patch16_224.augreg", "mae 0a1b2c3d (floor)", "-0.20, within 0.3"):
        assert escape_markdown(name) == name
    assert escape_markdown("_x_ a_b") == r"\_x\_ a_b"
    assert [escape_markdown_line(line) for line in ("- a", "1. a", "1.5 a", "# a", "===", "12) b", "a - b")] == [
        *(r"\- a", r"1\. a", "1.5 a", r"\# a", r"\===", r"12\) b", "a - b"),
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_csv_has_no_formula_and_numbers_stay_numbers(text: str) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(make_hostile_report(text)))))
    assert len(rows) == 2 * 2 + len(ours(77.8).result.metrics)  # type: ignore[union-attr]
    for row in rows:
        for cell in row.values():
            assert "\n" not in cell
            if cell.lstrip()[:1] in tuple("=+-@\t\r"):
                float(cell)
    assert [guard_cell(value) for value in (-0.2, 3, None, "-0.2", " =1", "\uff1d1", "a=1")] == [
        *(-0.2, 3, None, "'-0.2", "' =1", "'\uff1d1", "a=1"),
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_latex_has_no_command_of_a_name(text: str) -> None:
    written, known = ("\n".join(_list_code(to_latex(make_hostile_report(each)))) for each in (text, "plain"))
    allowed = {r"\textbackslash", r"\textasciitilde", r"\textasciicircum", r"\textless", r"\textgreater"}
    commands = set(re.findall(r"\\[a-zA-Z]+", written)) - set(re.findall(r"\\[a-zA-Z]+", known))
    assert commands <= allowed
    assert len(written.splitlines()) == len(known.splitlines()), "no line more, not even of a comment"
    bare = re.sub(r"\\[{}]", "", written)
    assert bare.count("{") == bare.count("}")
    assert not re.search(r"(?<!\\)[#$%&_^~]", escape_latex(text))
    assert not re.search(r"\\\\\n\s*[\[*]", written), "LaTeX would read it as an argument of the end of the row"


def _list_code(latex: str) -> list[str]:
    """The lines of LaTeX that are no comments; a name may not get out of its comment."""
    return [line for line in latex.splitlines() if not line.startswith("%")]


def test_published_rows_are_escaped_too() -> None:
    row = read_published()[0].model_copy(
        update={"page": "![x](http://a.b)\x1b[2J", "backbone": "<b>", "task": "digits"}
    )
    table = build_table(ScanResult([(Path("runs"), make_record())], []), published=[row])
    assert table.unmatched
    report = build_report(ScanResult([(Path("runs"), make_record())], []))._replace(table=table)
    for output in (to_markdown(report), to_latex(report)):
        assert "![" not in output and "<b>" not in output and "\x1b" not in output and "u001b" in output
