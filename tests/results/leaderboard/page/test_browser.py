"""The tables and the plot of the page in a headless Chromium: sorting, filters, selection, addresses, files."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from results.leaderboard.render.csv import to_csv
from results.leaderboard.report import build_report
from results.records.store import scan_runs
from tests.results.leaderboard.page.conftest import Window, wait_until
from tests.results.leaderboard.page.make_page import NASTY, ODD

OVERVIEW = "#overview-full"
DIGITS = ".board[data-task=digits]"


def test_the_top_is_a_table_of_backbones_by_task(window: Window) -> None:
    groups = [each.text for each in window.all(f"{OVERVIEW} .group")]
    assert groups == ["below 1 M parameters", "1 to 3 M", "3 to 8 M", "size not measured"]
    assert window.labels(OVERVIEW) == [NASTY, "small", "big", ODD, "mae_tiny", "none"]
    assert [each.text for each in window.all(f"{OVERVIEW} .task")] == ["cost", "digits", "imagenet", "pets"]


def test_only_rows_with_several_seeds_are_called_best(window: Window) -> None:
    def marks(label: str) -> list[str]:
        found: list[str] = window.run(
            "const row = `${arguments[0]} tr[data-label=${CSS.escape(arguments[1])}]`;"
            "return [...document.querySelectorAll(`${row} .mark`)].map(mark => mark.textContent)",
            *(OVERVIEW, label),
        )
        return found

    assert marks("big") == ["highest", "best"], "one seed on digits, two on pets"
    assert marks("small") == []


def test_hovering_and_focusing_a_score_says_its_interval(window: Window) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    (value,) = (each for each in window.all(f"{OVERVIEW} .value") if each.text.endswith("80.00"))
    ActionChains(window.driver).move_to_element(value).perform()
    tip = window.one("#tip").text
    assert "big: 80.00 %" in tip and "One seed" in tip and "items only" in tip
    window.run("arguments[0].focus()", value)  # not where an earlier test has left the focus
    value.send_keys("\ue015")  # the arrow down leads to the next backbone
    focused = window.driver.switch_to.active_element
    label = focused.find_element("xpath", "ancestor::tr").get_attribute("data-label")
    assert label != "big" and window.one("#tip").text.startswith(f"{label}: ")
    assert focused.get_attribute("aria-describedby") == "tip"
    assert (
        len(window.run("return [...document.querySelectorAll('#overview-full .value')].filter(v => v.tabIndex === 0)"))
        == 1
    )
    window.driver.switch_to.active_element.send_keys("\ue00c")
    assert window.all("#tip") == [], "Escape closes it"


def test_sorting_by_a_head_that_is_a_button(window: Window) -> None:
    assert window.labels(DIGITS) == ["big", "small", "none", NASTY, ODD], "best first, to begin with"
    (button,) = (each for each in window.all(f"{DIGITS} .sort") if each.text.startswith("parameters"))
    head = button.find_element("xpath", "..")
    button.send_keys("\n")  # by the keyboard
    assert head.get_attribute("aria-sort") == "ascending"
    assert window.labels(DIGITS) == [NASTY, "small", "big", ODD, "none"], "not measured comes last"
    button.click()
    assert window.labels(DIGITS) == [ODD, "big", "small", NASTY, "none"], "and last again"
    window.driver.back()
    window.driver.back()
    assert window.labels(DIGITS) == ["big", "small", "none", NASTY, ODD], "the back button restores the first order"


def test_the_table_sorts_within_its_sizes_or_across_them(window: Window) -> None:
    (button,) = (each for each in window.all(f"{OVERVIEW} [data-task=digits] .sort"))
    button.click()
    assert window.labels(OVERVIEW) == ["small", NASTY, "big", ODD, "mae_tiny", "none"]
    window.one("#grouped").click()
    assert window.labels(OVERVIEW) == ["big", "small", "none", NASTY, ODD, "mae_tiny"]


def test_filters_act_on_the_table_the_boards_and_the_plot(window: Window) -> None:
    window.choose("search", "SMA")
    assert window.labels(OVERVIEW) == ["small"] and window.labels(DIGITS) == ["small"]
    assert window.one("#count").text == "2 rows on 2 boards"
    assert window.state() == "#q=SMA"
    window.choose("search", "")
    window.choose("task", "pets")
    assert window.labels(OVERVIEW) == ["small", "big"] and window.all(DIGITS) == []
    assert [each.text for each in window.all(f"{OVERVIEW} .task")] == ["cost", "pets"]
    assert "pets" in window.one("#plot svg[role=group]").get_attribute("aria-label")
    window.choose("task", "")
    window.choose("front", "parameters")
    assert NASTY in window.labels(OVERVIEW) and ODD not in window.labels(OVERVIEW)
    window.choose("front", "")
    window.choose("size", "1")
    assert window.labels(OVERVIEW) == ["big"]


def test_tiers_never_meet(window: Window) -> None:
    assert "lasot" not in window.one("#overview").text
    window.run("document.querySelector('input[name=tier][value=short]').click()")
    assert window.labels("#overview-short") == ["small"] and window.all(OVERVIEW) == []
    assert [each.get_attribute("data-task") for each in window.all(".board")] == ["lasot"]
    assert window.state() == "#tier=short"
    window.driver.back()
    assert window.all("#overview-short") == []


def test_columns_can_be_left_out(window: Window) -> None:
    window.one("#columns > summary").click()
    (box,) = (each for each in window.all("#column-list label") if each.text == "MACs")
    box.click()
    assert window.all(f"{OVERVIEW} [data-col=macs]") == []
    assert window.state() == "#hide=macs"
    window.driver.switch_to.active_element.send_keys("\ue00c")
    assert window.all("#column-list") == []


def test_published_numbers_are_a_layer_of_their_own(window: Window) -> None:
    (cell,) = window.all(f"{OVERVIEW} .published")
    assert cell.text == "78.0"
    window.open(task="imagenet")
    reported = window.one("#plot .point.reported")
    said = reported.get_attribute("aria-label")
    assert "published: 78.0 %" in said and "Published: 78.0 (" in said, "the digits that were printed"
    window.one("#published").click()
    assert window.all(f"{OVERVIEW} .published") == [] and window.all("#plot .point.reported") == []


def test_points_are_named_and_open_their_backbone(window: Window) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    window.open(task="digits", cost="parameters")
    assert "big (2 M, 80.00 %)" in window.one("#plot-text").text, "said for those who do not see it"
    names = [each.text for each in window.all("#plot .label")]
    assert {"big", "small", ODD} <= set(names), "labels stand beside the points"
    boxes = [each.rect for each in window.all("#plot .label")]
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            apart = one["x"] + one["width"] <= other["x"] + 1 or other["x"] + other["width"] <= one["x"] + 1
            assert apart or abs(one["y"] - other["y"]) >= 11, "labels do not overlap"
    (point,) = (each for each in window.all("#plot .point") if each.get_attribute("data-name") == "small")
    ActionChains(window.driver).move_to_element(point.find_element("css selector", ".shape")).perform()
    assert "small: 60.00 %" in window.one("#tip").text
    ActionChains(window.driver).click().perform()
    assert window.one("#detail h2").text == "small"
    window.driver.back()
    first = window.run("return document.querySelector('#plot .point[tabindex=\"0\"]')")
    window.run("arguments[0].focus()", first)
    first.send_keys("\ue014")
    window.driver.switch_to.active_element.send_keys("\n")
    assert window.all("#detail h2"), "and the keyboard does the same"


def test_a_time_of_a_busy_machine_is_drawn_as_such(window: Window) -> None:
    window.open(task="digits", cost="latency")
    (busy,) = window.all("#plot .point.busy")
    assert busy.get_attribute("data-name") == ODD and "busy machine" in busy.get_attribute("aria-label")
    assert "timed on a busy machine" in window.one("#plot .legend").text
    assert ODD not in window.one("#plot-text").text.partition(":")[2], "and is on no front"
    odd = window.run("return document.querySelector(`#overview-full tr[data-label=${CSS.escape(arguments[0])}]`)", ODD)
    assert "busy machine" in odd.text


def test_selected_rows_are_marked_everywhere(window: Window) -> None:
    for label in ("big", "small"):
        window.one(f"{OVERVIEW} tr[data-label={label}] .pick").click()
    assert {each.get_attribute("data-label") for each in window.all("tr.selected")} == {"big", "small"}
    assert {each.get_attribute("data-name") for each in window.all("#plot .chosen")} == {"big", "small"}
    window.one("#selection .switch input").click()
    assert window.labels(OVERVIEW) == ["small", "big"] and len(window.all("#plot .point")) == 2
    (clear,) = (each for each in window.all("#selection button") if each.text == "Clear")
    clear.click()
    assert window.all("#selection") == [] and window.state() == ""


def test_an_address_shows_what_it_was_copied_from(window: Window) -> None:
    window.open(q="a,b&c#d", cost="macs", sel=[ODD, NASTY])
    assert window.labels(OVERVIEW) == [ODD]
    assert window.one("#search").get_attribute("value") == "a,b&c#d"
    assert window.one("#plot-cost").get_attribute("value") == "macs"
    address = window.run("return location.href")
    window.driver.get("about:blank")
    window.driver.get(address)
    assert window.labels(OVERVIEW) == [ODD] and window.one("#selection").text.startswith(ODD)


def test_a_broken_address_is_the_page_without_it(window: Window) -> None:
    window.run("location.hash = 'q=%E0%A4%A&tier=none&sort=x~99~up,overview-full~99~ascending&board=no'")
    assert len(window.labels(OVERVIEW)) == 6


@pytest.mark.parametrize(("button", "file"), [("save-csv", "leaderboard.csv"), ("save-png", "score-against-cost.png")])
def test_files_can_be_saved_without_a_request(window: Window, page: Path, button: str, file: str) -> None:
    window.one(f"#{button}").click()
    folder = window.downloads
    assert wait_until(lambda: (folder / file).is_file() and (folder / file).stat().st_size)
    content = (folder / file).read_bytes()
    if file.endswith(".csv"):
        assert content.decode() == to_csv(build_report(scan_runs([page.parent.parent / "runs"])))
    else:
        width, height = struct.unpack(">II", content[16:24])
        assert content.startswith(b"\x89PNG") and width > 1000
        assert height > 2 * window.one("#plot svg[role=group]").size["height"], "the legend and the board go with it"
        assert len(content) > 10_000, "an empty picture is smaller"


def test_a_phone_scrolls_tables_and_not_the_page(window: Window) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    window.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        for state in ({}, {"backbone": "big"}, {"compare": ["big", "small"]}):
            window.open(**state)
            assert window.run("return document.documentElement.scrollWidth") <= 390, state
        window.open()
        covered = """
        const names = [...document.querySelectorAll('.board tbody th.name')].filter((name) => name.offsetParent);
        const end = (text) => text.getBoundingClientRect().left + text.scrollWidth;
        return names.filter((name) => end(name.querySelector('span > span')) > name.getBoundingClientRect().right + 1);
        """
        assert window.run(covered) == [], "no name lies over the next column"
        assert window.all(f"{OVERVIEW} [data-col=macs]") == [], "scores come before costs where room is short"
    finally:
        window.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_contrast_in_both_themes(window: Window, theme: str) -> None:
    """WCAG AA: 4.5 for text, on the background, on panels and on selected rows."""
    script = """
    document.documentElement.dataset.theme = arguments[0];
    const probe = document.createElement('span'); document.body.append(probe);
    const colour = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
    const found = Object.fromEntries(arguments[1].map((name) => [name, colour(name)])); probe.remove();
    delete document.documentElement.dataset.theme; return found;
    """
    inks = ("--text", "--quiet", "--accent", "--within", "--outside")
    grounds = ("--back", "--panel", "--tint")
    colours: dict[str, Any] = window.run(script, theme, [*inks, *grounds])
    for ink in inks:
        for ground in grounds:
            assert contrast(colours[ink], colours[ground]) >= 4.5, (theme, ink, ground)


def contrast(one: str, other: str) -> float:
    """Contrast of two ``rgb(r, g, b)`` colours by WCAG 2."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in colour[4:-1].split(",")]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
