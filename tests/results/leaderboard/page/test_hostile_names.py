"""Names, reasons, items and settings that try to leave their element or to run: the markup is that of plain ones.

One page has all of them, and a second one plain texts in the same places: nothing but the texts may differ.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from results.leaderboard.page.write import write_page
from results.leaderboard.report import build_report
from results.records.picture_manifest import PictureEntry, write_picture_manifest
from results.records.store import scan_runs
from results.statistics.metric_statistics import MetricStatistic
from tests.foundation.test_display_text import DANGEROUS
from tests.results.leaderboard.page.conftest import Window
from tests.results.leaderboard.page.make_page import add_pictures, log_scalars
from tests.results.make import make_cost, make_record, write_table_run

TAKEN = "window.taken=1;document.title='taken'"

HOSTILE = [
    f"<script>{TAKEN}</script>",
    f"</script><script>{TAKEN}</script>",
    f'<img src=x onerror="{TAKEN}">"\'&',
    f"<svg/onload={TAKEN}>",
    f'x" onmouseover="{TAKEN}" y=\'',
    f"javascript:{TAKEN}",
    "{{7*7}}{% raw %}${7*7}<%= 7 %>{# x #}",
    "a\nb\r\n\n</td></tr></table></section>",
    "\u2028\u2029\u0085\u202egnp.exe\u2066\ufeff",
    "=cmd|' /C calc'!A0",
    "<!--",
    "--!><!-- --><![CDATA[ ]]>",
    "\x1b[2J\x9b31m\x7f",
    "&lt;script&gt;&#60;script&#62;&NewLine;",
    "</style><style>*{display:none}</style></title><base href=https://evil.example>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'><link rel=stylesheet href=//evil.example>",
    '\\u003c/script\\u003e\\"\\',
    "__proto__",
    "constructor",
    "x" * 4_000,
]

PLAIN = [f"plain{place:02}" for place in range(len(HOSTILE))]


def write_store(root: Path, texts: Sequence[str]) -> Path:
    """For each text a board of two backbones with two seeds, and a failed run; every field of a text has it."""
    base = make_record().model_dump()
    for number, text in enumerate(texts):
        where = base["environment"]
        cost = make_cost(100, 1.0, chip=text, runtime=text)
        changes: dict[str, Any] = {
            "task": text,
            "protocol": text,
            "comparability": f"{number:02}{text}",
            "config": {"recipe": {text: text, "a": {text: [text]}}},
            "changed_settings": [text],
            "data": base["data"] | {"deviations": [text], "duplicates": [text], "options": {text: text}},
            "environment": where | {"device": text, "command": [text], "packages": {text: text}, "git_commit": text},
            "non_identity_settings": {text: text},
            "cost": cost | {"phases": {text: 1.0}},
        }
        for place in range(4):
            backbone = base["backbone"] | {
                "name": f"{place % 2}{text}",
                "init": "card",
                "card": {"name": text, text: text},
            }
            backbone |= {"label": f"{place % 2}{text}"} if number % 2 else {}
            cell = text[:40].replace("\n", " ").replace("\r", " ")
            columns = {
                "name": [f'"{item} {cell.replace(chr(34), "")}"' for item in range(12)],
                "right": [10 * place] * 12,
            }
            folder = root / f"{number:02}{place}"
            more = {"seed": place // 2, "backbone": backbone, "run_id": f"{number:02}{place}{text}"}
            value = {text: (10.0 * place, MetricStatistic("mean", ("right",)))}
            write_hostile_run(folder, columns, value, text, changes | more)
        reason = {"run_id": f"{number:02}failed", "status": "failed", "reason": text, "result": None, "done": 0}
        failed = make_record(**{**changes, "run_id": reason["run_id"], "status": "failed"})
        (root / f"{number:02}failed").mkdir()
        content = failed.model_dump(mode="json") | reason
        (root / f"{number:02}failed" / "record.json").write_text(json.dumps(content))
    add_pictures(root / "001", 12)
    entry = PictureEntry(
        file="overlay.png", kind="overlay", title=texts[1][:300], caption=texts[0], item=texts[2][:500]
    )
    write_picture_manifest(root / "001", [entry])
    log_scalars(root / "001", {f"val/{texts[1]}": [(1, 2.0), (2, 1.0)]})
    return root


def write_hostile_run(folder: Path, columns: Any, value: Any, unit: str, changes: dict[str, Any]) -> None:
    """As ``write_table_run``, with the id of the caller's choice."""
    _, record = write_table_run(
        folder, "x", columns, value, unit, **{k: v for k, v in changes.items() if k != "run_id"}
    )
    content = record.model_dump(mode="json") | {
        "run_id": changes["run_id"],
        "comparability": changes["comparability"],
    }
    content["result"]["details"] = {"confusion": {unit: unit}, unit: unit}
    content["result"]["selection"] |= {"metric": unit, "chosen": unit}
    (folder / "record.json").write_text(json.dumps(content))


class Markup(HTMLParser):
    """The elements of a page with the names of their attributes, and the texts of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements = Counter[tuple[str, ...]]()
        self.scripts: list[str] = []
        self.comments: list[str] = []
        self._inside = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[(tag, *sorted(name for name, _ in attrs))] += 1
        self._inside = tag == "script"
        for name, value in attrs:
            if name in ("href", "src", "action"):
                assert (value or "").startswith(("#", "data:,", "data:image/png;base64,")), value
        if self._inside:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.elements[f"/{tag}",] += 1
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[-1] += data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def unknown_decl(self, data: str) -> None:
        self.comments.append(data)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The page of hostile texts, and that of plain ones."""
    root = tmp_path_factory.mktemp("names")
    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(root / "cache"))
        for name, texts in (("hostile", HOSTILE), ("plain", PLAIN)):
            report = build_report(scan_runs([write_store(root / f"{name}-runs", texts)]))
            assert len(report.table.boards) == len(HOSTILE) and report.table.warnings == ()
            made.append(write_page(report, root / name, single_file=True))
    return made[0], made[1]


def test_the_markup_is_that_of_plain_names(pages: tuple[Path, Path]) -> None:
    hostile, plain = (Markup(page.read_text()) for page in pages)
    assert hostile.elements == plain.elements
    assert hostile.comments == plain.comments == []
    assert len(hostile.scripts) == 4 and hostile.scripts[-1] == plain.scripts[-1], "our script, and no other"


def test_the_data_stay_in_their_elements_and_are_the_texts(pages: tuple[Path, Path]) -> None:
    text = pages[0].read_text()
    assert not set(DANGEROUS) & set(text)
    scripts = Markup(text).scripts
    for script in scripts[:-1]:
        assert not set("<>&\u2028\u2029") & set(script)
    data = json.loads(scripts[1])
    assert {board["task"] for board in data["boards"]} >= {text for text in HOSTILE if text.isprintable()}
    assert "evil.example" in scripts[1] and "__proto__" in scripts[1], "the texts are kept, as texts"


def test_a_browser_runs_nothing_of_it(pages: tuple[Path, Path], window: Window) -> None:
    home = window.page.parent / "names"
    home.mkdir()
    page = home / "index.html"
    page.write_bytes(pages[0].read_bytes())
    window.driver.get(page.as_uri())
    try:
        labels = window.labels("#overview-full")
        assert len(labels) == 2 * len(HOSTILE)
        for label in labels[:: len(labels) // 8]:
            window.open(backbone=label)
            assert window.all("#detail h2")
        window.open(compare=labels[:2])
        assert window.run("return [window.taken, document.querySelectorAll('script').length]") == [None, 4]
        assert (
            window.run("return document.querySelectorAll('base, iframe, object, embed, form:not(#filters)').length")
            == 0
        )
        assert window.driver.title != "taken"
    finally:
        page.unlink()
        home.rmdir()
        window.driver.get(window.page.as_uri())
