"""The page of a backbone and the comparison of two, in a headless Chromium."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from results.leaderboard.page.write import write_page
from results.leaderboard.report import build_report
from results.records.store import scan_runs
from results.statistics.comparison import compare_backbones, group_runs_by_board
from tests.results.leaderboard.page.conftest import Window, wait_until
from tests.results.leaderboard.page.make_page import NASTY, ODD, add_pictures
from tests.results.make import make_cost, write_run


@pytest.fixture
def other(window: Window) -> Iterator[Window]:
    """A second page: two tiers, a name with a control character, and an item whose picture is of one run only."""
    root = window.page.parent / "other"
    for tier in ("full", "short"):
        for name, right in (("a\u202e", 3), ("b", 4)):
            where = {"comparability": tier, "tier": tier}
            folder = root / tier / name
            write_run(
                folder, name, [i < right for i in range(9)], f"{tier}{name}", cost=make_cost(45_000, 0.5), **where
            )
            if tier == "short":
                record = (folder / "record.json").read_text()
                (folder / "record.json").write_text(
                    record.replace('"higher_is_better": true', '"higher_is_better": false')
                )
        add_pictures(root / tier / "a\u202e", 1)
    window.driver.get(write_page(build_report(scan_runs([root])), root / "page").as_uri())
    yield window
    shutil.rmtree(root)
    window.driver.get(window.page.as_uri())


def test_a_deep_link_opens_the_page_of_a_backbone(window: Window) -> None:
    window.open(backbone="big")
    assert window.all("#home") == []
    assert window.one("#detail h2").text == "big"
    assert window.driver.switch_to.active_element.text == "big", "the focus is where the reading begins"
    assert window.driver.title == "big · bench leaderboard"
    text = window.one("#detail").text
    assert "digits · finetune · full" in text and "80.00 %" in text
    assert "worst image: 3 Truth and <b>errors</b>." in text
    assert [each.get_attribute("aria-label") for each in window.all("#detail .columns > svg")] == [
        "loss by step, from 2 to 1",
        "val/top1 by validation, from 50 to 70",
    ]
    image = window.one("#detail figure img")
    window.run("arguments[0].scrollIntoView()", image)
    assert wait_until(lambda: image.get_property("naturalWidth") == 60), "the picture lies beside the page"


def test_a_run_shows_what_made_its_number(window: Window) -> None:
    window.open(backbone=NASTY)
    assert window.one("#detail h2").text == NASTY and window.driver.title == f"{NASTY} · bench leaderboard"
    summary = window.run(
        "return [...document.querySelectorAll('#detail summary')].find(s => s.textContent.startsWith('seed 0'))"
    )
    summary.click()
    assert wait_until(lambda: len(window.all("#detail details details details")) > 3)
    (settings,) = (each for each in window.all("#detail summary") if each.text == "settings")
    settings.click()
    assert wait_until(lambda: settings.find_elements("xpath", "following-sibling::pre")), "made when it is opened"
    assert json.loads(settings.find_element("xpath", "following-sibling::pre").text)["recipe"]["epochs"] == 40
    assert {each.text for each in window.all("#detail summary")} >= {"data", "machine", "versions", "backbone"}
    assert window.all("#detail table.heat td.right"), "which class was taken for which"


def test_worst_items_come_with_their_pictures(window: Window) -> None:
    window.open(backbone="big")
    table = window.all("#detail [aria-label^='worst items'] table")[0]
    rows = [
        [cell.text for cell in row.find_elements("css selector", "td, th")]
        for row in table.find_elements("css selector", "tbody tr")
    ]
    assert len(rows) == 8 and [row[2:4] for row in rows] == [["0", "1"]] * 8, "label and prediction differ"
    tile = table.find_element("css selector", "img")
    window.run("arguments[0].scrollIntoView()", tile)
    # item 160 stands at the beginning of the 17th row of tiles, 8 pixels each
    assert wait_until(lambda: tile.value_of_css_property("object-position") == "0px -128px")


def test_back_and_escape_lead_home_with_the_filters(window: Window) -> None:
    window.choose("search", "big")
    window.one("#overview-full tr[data-label=big] a").click()
    assert window.one("#detail h2").text == "big"
    window.driver.back()
    assert window.labels("#overview-full") == ["big"]
    assert window.driver.switch_to.active_element.text == "big", "the focus is back on the link"
    window.driver.forward()
    assert window.one("#detail h2").text == "big"
    window.driver.switch_to.active_element.send_keys("\ue00c")
    assert window.labels("#overview-full") == ["big"] and window.state() == "#q=big"


def test_a_link_that_can_be_copied_names_the_backbone(window: Window) -> None:
    address = window.run("return document.querySelector('tr[data-label=' + CSS.escape(arguments[0]) + '] a').href", ODD)
    window.driver.get("about:blank")
    window.driver.get(address)
    assert window.one("#detail h2").text == ODD


def test_two_ticked_rows_are_compared_with_the_numbers_of_bench_compare(window: Window) -> None:
    for label in ("small", "big"):
        window.one(f"#overview-full tr[data-label={label}] .pick").click()
    window.one("#selection .primary").click()
    window.choose(
        "compare-board", next(o.get_attribute("value") for o in window.all("#compare-board option") if "pets" in o.text)
    )
    found = compare_pets(window.page)
    text = window.one("#detail").text
    assert f"{found.difference:+.2f} points" in text
    assert f"95 % interval {found.low:+.2f} to {found.high:+.2f}, seeds x items" in text
    assert f"Of 200 items, {len(found.better)} are better with small, {len(found.worse)} with big" in text
    assert "Resolved at 5 %: big is better." in text
    first = found.worse[0]
    assert f"{first.item} (right in {first.first / 50:.0f} and {first.second / 50:.0f} of 2 seeds)" in text
    (swap,) = (each for each in window.all("#detail button") if each.text == "Swap")
    swap.click()
    turned = window.one("#detail").text
    assert f"{-found.difference:+.2f} points" in turned
    assert f"{-found.high:+.2f} to {-found.low:+.2f}" in turned
    assert f"{len(found.worse)} are better with big, {len(found.better)} with small" in turned
    assert "bench compare big@card small@card --task pets" in turned


def compare_pets(page: Path) -> Any:
    runs = scan_runs([page.parent.parent / "runs"]).records
    (key,) = (key for key, same in group_runs_by_board(runs, "small").items() if same[0][1].task == "pets")
    return compare_backbones(*(group_runs_by_board(runs, name)[key] for name in ("small", "big")))


def test_items_that_changed_are_shown_as_pictures(window: Window) -> None:
    window.open(compare=["big", "small"])
    assert "says nothing about other training runs" in window.one("#detail").text, "one seed each on digits"
    tiles = window.all("#detail .tile")
    assert len(tiles) == 40 and tiles[0].text == "120", "right with big alone"
    assert tiles[0].find_element("tag name", "img").get_attribute("src").startswith(window.page.parent.as_uri())


def test_a_large_picture_of_a_changed_item_says_whose_it_is(other: Window) -> None:
    other.open(compare=["a\\u202e (random)", "b (random)"], tier="short")
    (tile,) = other.all("#detail .tile")
    assert tile.text == "3; picture of a\\u202e (random), seed 0"


def test_a_view_begins_with_the_tier_that_was_looked_at(other: Window) -> None:
    for tier in ("short", "full"):
        other.open(compare=["a\\u202e (random)", "b (random)"], tier=tier)
        assert other.one("#compare-board").get_attribute("value").split(".")[2] == tier
        other.open(backbone="b (random)", tier=tier)
        assert other.all("#detail tbody th[scope=row]")[0].text.endswith(tier)


def test_the_plot_of_a_board_says_that_lower_is_better(other: Window) -> None:
    assert "lower" not in other.one("#plot svg[role=group]").text
    other.open(tier="short", cost="latency")
    assert "top1 (%), lower is better" in other.one("#plot svg[role=group]").text
    assert "a\\u202e (random) (0.50 ms, 33.33 %)" in other.one("#plot-text").text
    other.open(compare=["b (random)", "a\\u202e (random)"], tier="short")
    assert "Better with a\\u202e (random) (1)" in other.one("#detail").text


def test_points_of_one_cost_have_an_axis_that_can_be_read(other: Window) -> None:
    ticks = [each.text for each in other.all("#plot svg[role=group] > g:first-child > text[text-anchor=middle]")]
    assert len(ticks) > 2, "at least two ticks, and the title"


def test_a_name_with_a_control_character_has_a_page(other: Window) -> None:
    (link,) = (each for each in other.all("#overview-full a") if each.text != "b")
    link.click()
    assert other.one("#detail h2").text == "a\\u202e (random)"
    assert "2 boards." in other.one("#detail").text, "and not: no row is called so"


@pytest.mark.parametrize("state", ["task=nope", "size=99", "front=nope", "sel=nope&only=1"])
def test_what_a_page_does_not_offer_hides_no_row(other: Window, state: str) -> None:
    """A link may come from a page of other runs."""
    other.run("location.hash = arguments[0]", state)
    assert wait_until(lambda: len(other.labels("#overview-full")) == 2)
    assert other.one("#count").text == "2 rows on 1 board"
    assert other.one("#task").get_attribute("value") == "" and other.all("#selection") == []


@pytest.mark.parametrize("pair", [["big", "nobody"], ["mae_tiny", "none"], ["big"]])
def test_what_cannot_be_compared_says_so(window: Window, pair: list[str]) -> None:
    window.open(compare=pair)
    text = window.one("#detail").text
    assert "No row is called" in text or "no board in common" in text
    window.one("#detail a").click()
    assert window.labels("#overview-full")


def test_an_unknown_backbone_says_so(window: Window) -> None:
    window.open(backbone="nobody")
    assert "No row is called nobody." in window.one("#detail").text


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "state", [{}, {"backbone": "big"}, {"compare": ["big", "small"]}], ids=["home", "backbone", "compare"]
)
def test_axe_finds_nothing_serious(window: Window, theme: str, state: dict[str, Any]) -> None:
    pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
    script = find_axe()
    window.open(**state)
    window.run("document.documentElement.dataset.theme = arguments[0]", theme)
    try:
        if not window.run("return Boolean(window.axe)"):
            window.driver.execute_script(script)
        found = window.driver.execute_async_script(
            "const done = arguments[0]; const describe = (v) => [v.id, v.impact, v.nodes.map(n => n.html).slice(0, 3)];"
            "axe.run().then(found => done(found.violations.map(describe)))"
        )
    finally:
        window.run("delete document.documentElement.dataset.theme")
    assert [each for each in found if each[1] in ("serious", "critical")] == []


def find_axe() -> str:
    """The text of axe's script, which the package brings."""
    import importlib.util

    spec = importlib.util.find_spec("axe_core_python")
    assert spec is not None and spec.origin is not None
    return (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")
