"""The page in a headless Chromium: sorting, filtering, hovering, opening a run; nothing is fetched, nothing fails."""

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
from tests.results.make import make_cost, write_run

NASTY = "<script>document.title='taken'</script>"
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=1300,1000"),
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
    for number, (name, right, parameters) in enumerate(
        ((NASTY, 500, 300), ("small", 700, 100), ("big", 900, 900), ("none", 600, 0))
    ):
        cost = make_cost(parameters, parameters / 100) if parameters else {"phases": {}}
        more: dict[str, Any] = {"backbone": {"init": "card", "parameters": None}, "cost": cost}
        write_run(root / "runs" / name[:5].strip("<"), name, [i < right for i in range(1000)], f"{number}", **more)
    write_run(root / "runs" / "other", "small", [True, False], "9", task="lasot", comparability="o", tier="short")
    return write_page(build_report(scan_runs([root / "runs"])), root / "page")


@pytest.fixture(scope="module")
def browser(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no Chromium with chromedriver on the PATH")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(driver)
    window = webdriver.Chrome(options=options, service=service)
    try:
        window.get(page.as_uri())
        yield window
    finally:
        window.quit()


def names(browser: Any) -> list[str]:
    """Of the rows of the digits board that are shown, in their order."""
    shown: list[str] = browser.execute_script(
        "return [...document.querySelectorAll('.board[data-task=digits] tbody tr')]"
        ".filter(row => !row.hidden && row.offsetParent).map(row => row.dataset.name)"
    )
    return shown


def choose(browser: Any, field: str, value: str) -> None:
    browser.execute_script(
        "const f = document.getElementById(arguments[0]); f.value = arguments[1];"
        "f.dispatchEvent(new Event('input', { bubbles: true }))",
        *(field, value),
    )


def test_sorting_by_a_head_that_is_a_button(browser: Any) -> None:
    assert names(browser) == ["big", "small", "none", NASTY], "best first, to begin with"
    (button,) = (
        b for b in browser.find_elements("css selector", ".board[data-task=digits] .sort") if b.text == "parameters"
    )
    head = button.find_element("xpath", "..")
    button.send_keys("\n")  # by the keyboard
    assert head.get_attribute("aria-sort") == "ascending"
    assert names(browser) == ["small", NASTY, "big", "none"], "not measured comes last"
    button.click()
    assert head.get_attribute("aria-sort") == "descending"
    assert names(browser) == ["big", NASTY, "small", "none"], "and last again"


def test_filters(browser: Any) -> None:
    choose(browser, "search", "SMA")
    assert names(browser) == ["small"]
    assert browser.find_element("id", "count").text == "2 rows on 2 boards"
    choose(browser, "tier", "short")
    assert names(browser) == []
    choose(browser, "tier", "")
    choose(browser, "search", "")
    choose(browser, "rows", "parameters")
    assert sorted(names(browser)) == ["big", "small"]
    choose(browser, "rows", "")
    choose(browser, "task", "lasot")
    assert names(browser) == []
    choose(browser, "task", "")
    assert len(names(browser)) == 4


def test_hovering_a_point_names_it_and_clicking_opens_its_run(browser: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    wait = WebDriverWait(browser, 20)
    plot = browser.find_element("id", "plot")
    assert "big (900, 90.00 %)" in plot.get_attribute("aria-label"), "said for those who do not see it"
    browser.execute_script("arguments[0].scrollIntoView({ block: 'center' })", plot)
    points = wait.until(lambda b: b.find_elements("css selector", "#plot .point"))
    ActionChains(browser).move_to_element(points[0]).perform()
    hover = wait.until(lambda b: b.find_elements("css selector", "#plot .hoverlayer .hovertext"))
    assert "small" in hover[0].text
    ActionChains(browser).click().perform()
    dialog = browser.find_element("id", "run")
    wait.until(lambda _: dialog.get_attribute("open") is not None)
    assert browser.find_element("id", "run-title").text == "small"
    browser.find_element("id", "close").click()


def test_opening_a_run_shows_what_it_was_as_text(browser: Any) -> None:
    (button,) = (b for b in browser.find_elements("css selector", ".open") if b.text == NASTY)
    button.click()
    body = browser.find_element("id", "run-body")
    assert browser.find_element("id", "run-title").text == NASTY
    assert "seed 0" in body.text
    (summary,) = (s for s in body.find_elements("tag name", "summary") if s.text == "configuration")
    summary.click()
    assert json.loads(summary.find_element("xpath", "following-sibling::pre").text)["recipe"]["epochs"] == 40
    browser.switch_to.active_element.send_keys("\ue00c")  # Escape closes the dialog
    assert browser.find_element("id", "run").get_attribute("open") is None
    assert browser.title == "bench leaderboard", "no foreign script ran"


def test_a_phone_scrolls_tables_and_not_the_page(browser: Any) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_contrast_in_both_themes(browser: Any, theme: str) -> None:
    """WCAG AA: 4.5 for text, on the background and on panels."""
    script = """
    document.documentElement.dataset.theme = arguments[0];
    const probe = document.createElement('span'); document.body.append(probe);
    const colour = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
    const found = Object.fromEntries(arguments[1].map((name) => [name, colour(name)])); probe.remove();
    delete document.documentElement.dataset.theme; return found;
    """
    inks, grounds = ("--text", "--quiet", "--accent", "--within", "--outside"), ("--back", "--panel")
    colours = browser.execute_script(script, theme, [*inks, *grounds])
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


def test_nothing_was_said_to_the_console_and_nothing_was_fetched(browser: Any, page: Path) -> None:
    said = [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert said == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    inside = ("data:", "blob:", "chrome:", "chrome-untrusted:")  # Chromium's own first tab
    assert {address for address in asked if not address.startswith(inside)} == {page.as_uri()}
