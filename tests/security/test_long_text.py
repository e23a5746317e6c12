"""Patterns take a time that grows with the length of a text, and not with its square: a hang here is the fault."""

from __future__ import annotations

import re

import pytest

from classification.data.own_images import table_columns
from tracking.data.sequence_folders import annotation_causes

LENGTH = 1_000_000


@pytest.mark.parametrize("pattern", [table_columns._NUMBER, annotation_causes._NUMBER])
def test_a_cell_of_a_million_digits(pattern: re.Pattern[str]) -> None:
    assert not pattern.fullmatch("1" * LENGTH + "x")
    for text in ("1", "-1.", ".5", "+1.5e-3", "12.25", "1e9"):
        assert pattern.fullmatch(text), text
    for text in ("", ".", "1..2", "e5", "1e", "1.5.5"):
        assert not pattern.fullmatch(text), text
