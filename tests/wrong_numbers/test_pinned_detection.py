"""What the protocols of ``detection`` compute is what is pinned beside their configs."""

from __future__ import annotations

import pytest

from tests.wrong_numbers.pinning.measure import check_pin, list_pins


@pytest.mark.parametrize(("entry", "section"), list_pins("detection"))
def test_a_pinned_number_stays(entry: str, section: str) -> None:
    check_pin("detection", entry, section)
