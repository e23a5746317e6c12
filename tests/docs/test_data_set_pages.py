"""Each data set has a page, with the facts that the code has, and what a reader looks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.task_registry import TASKS
from tests.docs.data_set_facts import OWN_FOLDERS, PAGES, SHARED_PAGES, fill_page, get_page, list_tasks

EACH_PAGE = pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)


def test_every_data_set_has_a_page() -> None:
    assert {get_page(name) for name in TASKS.list_names() if name not in OWN_FOLDERS} == set(PAGES.glob("*.md"))
    assert set(SHARED_PAGES) < set(TASKS.list_names())


@EACH_PAGE
def test_the_facts_are_those_of_the_code(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert fill_page(text, page) == text, "run python -m tests.docs.data_set_facts"


@EACH_PAGE
def test_a_page_says_layout_terms_counts_and_traps(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for heading in ("\n## Layout\n", "\n## How it is read\n", "\n## Known traps\n"):
        assert text.count(heading) == 1, heading
    for row in ("| terms | ", "| official counts | ", "| below the data root | "):
        assert row in text, row
    # a bare list item is no trap: each names it in bold and explains it
    traps = text.partition("\n## Known traps\n")[2]
    assert traps.count("\n- **") >= 2
    assert traps.count("\n- ") == traps.count("\n- **")


def test_other_facts_would_be_found() -> None:
    page = get_page("flowers")
    text = page.read_text(encoding="utf-8")
    assert list_tasks(page) == ["flowers"]
    assert "6,149 test" in text
    assert fill_page(text.replace("6,149 test", "6,150 test", 1), page) == text
    with pytest.raises(ValueError, match="lacks the lines"):
        fill_page("# A page\n", page)
