"""Compare two per-item tables, whose numbers may differ by rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from results.statistics.rounding import is_same_up_to_rounding

TextTable = Mapping[str, Sequence[str]]
"""Cells as text, by name of the column."""


def count_differing_rows(stated: TextTable, found: TextTable) -> int:
    """Return how many rows differ beyond rounding; all of them if the tables do not have the same form.

    Args:
        stated, found: the tables; their rows are in the same order.
    """
    rows, others = (list(zip(*table.values(), strict=True)) for table in (stated, found))
    if list(stated) != list(found) or len(rows) != len(others):
        return max(len(rows), len(others))
    return sum(not all(map(_is_same_cell, *pair)) for pair in zip(rows, others, strict=True))


def _is_same_cell(stated: str, found: str) -> bool:
    if stated == found:
        return True
    try:
        return is_same_up_to_rounding(float(stated), float(found))
    except ValueError:
        return False
