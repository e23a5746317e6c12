"""The numbers that the student's quickstart says to expect are those of the published rows, to the digit."""

from __future__ import annotations

import re

from results.published.rows import read_published
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "quickstart" / "student.md"
COLUMNS = (("imagenet",), ("coco",), ("ade20k",), ("lasot",))


def list_expected() -> list[tuple[str, float]]:
    """Task and number of each filled cell of the table."""
    table = PAGE.read_text(encoding="utf-8").partition("| start | ImageNet")[2].partition("\n\n")[0]
    cells = []
    for row in table.splitlines()[2:]:
        for (task,), cell in zip(COLUMNS, row.split("|")[2:6], strict=True):
            cells += [(task, float(number)) for number in re.findall(r"[\d.]+", cell)]
    return cells


def test_expected_numbers_are_published() -> None:
    rows = read_published()
    authors = [row for row in rows if "MAE-Lite" in row.source_info.location]
    printed = {(row.task, row.value) for row in authors}
    expected = list_expected()
    assert len(expected) == 20
    assert [cell for cell in expected if cell not in printed] == []
