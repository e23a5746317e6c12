"""One page in one headless Chromium for all tests of this folder."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from results.leaderboard.page.write import write_page
from results.leaderboard.report import build_report
from results.records.store import scan_runs
from tests.limits import HANG_SECONDS
from tests.results.leaderboard.page.make_page import write_store

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=1300,1000"),
)


class Window(NamedTuple):
    """A browser window with the page, and shortcuts for what tests do with it."""

    driver: Any
    page: Path
    downloads: Path

    def open(self, **state: str | list[str]) -> None:
        """Show the page as a link with this state shows it; what the earlier test left is gone."""
        parts = [
            f"{name}={','.join(quote(each, safe='') for each in ([value] if isinstance(value, str) else value))}"
            for name, value in state.items()
        ]
        self.run(
            "history.pushState(null, '', arguments[0]); dispatchEvent(new PopStateEvent('popstate'))",
            f"#{'&'.join(parts) or '='}",
        )

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page."""
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[Any]:
        """Elements that are shown."""
        return [each for each in self.driver.find_elements("css selector", selector) if each.is_displayed()]

    def one(self, selector: str) -> Any:
        """The one element that is shown."""
        (found,) = self.all(selector)
        return found

    def choose(self, field: str, value: str) -> None:
        """Set a field as a user does."""
        self.run(
            "const f = document.getElementById(arguments[0]); f.value = arguments[1];"
            "f.dispatchEvent(new Event('input', { bubbles: true }))",
            *(field, value),
        )

    def state(self) -> str:
        """The part of the address that holds the state."""
        return str(self.run("return location.hash"))

    def labels(self, table: str) -> list[str]:
        """Labels of a table's visible rows in their order."""
        shown = (
            "return [...document.querySelectorAll(arguments[0] + ' tbody tr[data-label]')]"
            ".filter(row => !row.hidden && row.offsetParent).map(row => row.dataset.label)"
        )
        found: list[str] = self.run(shown, table)
        return found


def wait_until(holds: Callable[[], Any]) -> bool:
    """Whether something holds before it counts as hanging."""
    return any(holds() or time.sleep(0.05) for _ in range(int(HANG_SECONDS / 0.05)))


@pytest.fixture(scope="package")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of ``write_store``."""
    root = tmp_path_factory.mktemp("page")
    write_store(root / "runs")
    with pytest.MonkeyPatch.context() as patch:  # made before the fixture that gives each test a cache of its own
        patch.setenv("BENCH_CACHE", str(root / "cache"))
        return write_page(build_report(scan_runs([root / "runs"])), root / "page")


@pytest.fixture(scope="package")
def _opened(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no Chromium with chromedriver on the PATH")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    downloads = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        opened.execute_cdp_cmd("Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
        opened.get(page.as_uri())
        yield opened, downloads
    finally:
        opened.quit()


@pytest.fixture
def window(_opened: Any, page: Path) -> Iterator[Window]:
    """The page in its first state; afterwards, nothing was said to the console and nothing was fetched."""
    driver, downloads = _opened
    found = Window(driver, page, downloads)
    found.open()
    yield found
    said = [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert said == []
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    inside = ("data:", "blob:", "chrome:", "chrome-untrusted:", page.parent.as_uri())  # Chromium's own first tab
    assert {address for address in asked if not address.startswith(inside)} == set()
