from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import UserError
from results.leaderboard.page.write import ASSETS_DIR, SCRIPT_FILES, build_page_script, render_page, write_page
from results.leaderboard.report import build_report
from results.records.store import ScanResult, scan_runs
from tests.results.make import make_backbone_record, make_cost, make_record, make_scan, write_run
from tests.results.published.test_match import ours

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class Scripts(HTMLParser):
    """The page's scripts as a browser would see them, and every address that could be fetched."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")]
        assert not any(name.startswith("on") for name in found), "no handler stands in the markup"
        assert not found.keys() & {"style", "srcdoc", "formaction", "http-equiv"} or tag == "meta"
        self._inside = tag == "script"
        if self._inside:
            self.scripts.append((found, ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)


def page_of(*records: Any) -> str:
    return render_page(build_report(make_scan(*records)))


def data_of(page: str) -> dict[str, Any]:
    (text,) = (text for attributes, text in Scripts(page).scripts if attributes.get("id") == "data")
    data: dict[str, Any] = json.loads(text)
    return data


def test_foreign_text_makes_no_markup_and_no_script() -> None:
    page = page_of(
        make_backbone_record(NASTY, 90.0, "1", config={"recipe": {"name": NASTY}}),
        make_record(run_id="2", status="failed", reason=NASTY),
    )
    seen = Scripts(page)
    assert [attributes.get("id") for attributes, _ in seen.scripts] == ["media", "data", "exports", None]
    assert [attributes.get("type") for attributes, _ in seen.scripts] == ["application/json"] * 3 + [None]
    assert "img" not in seen.tags
    data = data_of(page)
    assert data["boards"][0]["rows"][0]["label"] == f"{NASTY} (random)", "the text itself is kept"
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    digest = base64.b64encode(hashlib.sha256(seen.scripts[-1][1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in html.unescape(policy[1])
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}';" in html.unescape(policy[1])
    assert "unsafe" not in policy[1] and "*" not in policy[1], "no other script and no other style may run"


def test_nothing_is_fetched_from_outside() -> None:
    page = page_of(ours())
    assert {address for address in Scripts(page).addresses if not address.startswith("#")} == {"data:,"}
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in html.unescape(policy[1]).split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "'self' data: blob:"
    assert set(rules) == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", "a", [True, False], "1")
    pages = [write_page(build_report(scan_runs([tmp_path / "runs"])), tmp_path / name).read_bytes() for name in "xy"]
    assert pages[0] == pages[1]
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["index.html"]


def test_shared_parts_of_runs_stand_once() -> None:
    data = data_of(page_of(*(make_backbone_record("a", 90.0 + i, str(i), seed=i) for i in range(5))))
    assert len(data["runs"]) == 5
    assert len({run["shared"]["settings"] for run in data["runs"]}) == 1
    assert sum("recipe" in part for part in data["shared_values"] if isinstance(part, dict)) == 1
    assert data["boards"][0]["rows"][0]["runs"] == [0, 1, 2, 3, 4]


def test_points_have_no_value_for_what_was_not_measured() -> None:
    data = data_of(
        page_of(
            make_backbone_record("a", 90.0, "1", cost=make_cost(5, 2.0)),
            make_backbone_record("b", 80.0, "2", domain="tracking"),
        )
    )
    first, second = data["boards"][0]["rows"]
    assert (first["parameters"], first["macs"], first["latency"]) == (5, 50, 2.0)
    assert not {"parameters", "macs", "latency"} & second.keys(), "what was not measured is left out, never 0"


def test_an_address_can_be_sent_although_boards_come_and_go() -> None:
    one, other = (make_backbone_record("a", 90.0, key, comparability=key) for key in ("11112222aaaa", "33334444bbbb"))
    keys = [[board["key"] for board in data_of(page_of(*records))["boards"]] for records in ((one,), (one, other))]
    assert keys[0][0] in keys[1] and len(set(keys[1])) == 2
    alike = [make_backbone_record("a", 90.0, key, comparability=key) for key in ("11112222aaaa", "11112222bbbb")]
    assert len({board["key"] for board in data_of(page_of(*alike))["boards"]}) == 2, "also with the same beginning"


def test_control_characters_are_codes_in_the_markup_and_in_the_data() -> None:
    record = make_backbone_record("a\u202eb\x1b", 90.0, "1", backbone={"init": "card"})
    page = render_page(build_report(ScanResult([(Path("runs/\udcff"), record)], [])))
    page.encode()  # the byte of a folder's name that is not UTF-8 cannot be written
    assert not {"\u202e", "\x1b"} & set(page)
    data = data_of(page)
    assert data["boards"][0]["rows"][0]["label"] == r"a\u202eb\u001b"
    assert data["runs"][0]["folder"] == r"runs/\udcff"
    assert r'data-label="a\u202eb\u001b"' in page, "the script finds the row by it"


def test_the_parts_of_the_script_stay_small() -> None:
    for path in ASSETS_DIR.iterdir():
        assert len(path.read_text().splitlines()) <= 400, path.name
    assert {path.name for path in ASSETS_DIR.glob("*.js")} == set(SCRIPT_FILES), "none is forgotten"


def test_text_never_becomes_markup_in_the_script() -> None:
    script = build_page_script()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "fetch("):
        assert word not in script


def test_an_empty_report_is_a_page_too() -> None:
    assert "No complete runs yet." in page_of()


def test_a_pre_training_alone_is_said_to_have_no_score() -> None:
    page = page_of(make_record(domain="pretraining", run_id="1"))
    assert "No complete runs with a score yet. The store has 1 pre-training, without a score;" in page


def test_one_of_a_kind_has_no_plural() -> None:
    page = page_of(make_record(run_id="1"), make_record(run_id="2", status="failed", reason="made up"))
    assert "1 backbone · 1 board · 1 run ·" in page and "<summary>1 run</summary>" in page


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to the output folder"):
        write_page(build_report(make_scan()), tmp_path / "file")
