from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import UserError
from results.leaderboard.page.write import render_page, write_page
from results.leaderboard.report import build_report
from results.records.store import scan_runs
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
    text = Scripts(page).scripts[0][1]
    data: dict[str, Any] = json.loads(text)
    return data


def test_foreign_text_makes_no_markup_and_no_script() -> None:
    page = page_of(
        make_backbone_record(NASTY, 90.0, "1", config={"recipe": {"name": NASTY}}),
        make_record(run_id="2", status="failed", reason=NASTY),
    )
    seen = Scripts(page)
    assert [dict(attributes).get("type") for attributes, _ in seen.scripts] == ["application/json", None, None]
    assert "img" not in seen.tags
    data = json.loads(seen.scripts[0][1])
    assert data["boards"][0]["rows"][0]["label"] == f"{NASTY} (random)", "the text itself is kept"
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    for _, text in seen.scripts[1:]:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy[1].replace("&#43;", "+")
    assert "unsafe-inline" not in policy[1].partition("style-src")[0], "no other script may run"


def test_nothing_is_fetched_from_outside() -> None:
    assert {address for address in Scripts(page_of(ours())).addresses if not address.startswith("#")} == {"data:,"}


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", "a", [True, False], "1")
    pages = [write_page(build_report(scan_runs([tmp_path / "runs"])), tmp_path / name).read_bytes() for name in "xy"]
    assert pages[0] == pages[1]
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["index.html"]


def test_shared_parts_of_runs_stand_once() -> None:
    data = data_of(page_of(*(make_backbone_record("a", 90.0 + i, str(i), seed=i) for i in range(5))))
    assert len(data["runs"]) == 5
    assert len({run["shared"]["configuration"] for run in data["runs"]}) == 1
    assert sum("recipe" in part for part in data["shared_values"] if isinstance(part, dict)) == 1
    assert data["boards"][0]["rows"][0]["runs"] == [0, 1, 2, 3, 4]


def test_points_carry_null_for_what_was_not_measured() -> None:
    data = data_of(
        page_of(
            make_backbone_record("a", 90.0, "1", cost=make_cost(5, 2.0)),
            make_backbone_record("b", 80.0, "2", domain="tracking"),
        )
    )
    first, second = data["boards"][0]["rows"]
    assert (first["parameters"], first["macs"], first["latency"]) == (5, 50, 2.0)
    assert (second["parameters"], second["macs"], second["latency"]) == (None, None, None)


def test_an_empty_report_is_a_page_too() -> None:
    assert "No complete runs yet." in page_of()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to the output folder"):
        write_page(build_report(make_scan()), tmp_path / "file")
