"""What commands write to stdout: text tables and JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any


def write_stdout(text: str) -> None:
    """A text to stdout, ending in one newline."""
    sys.stdout.write(text.rstrip("\n") + "\n")


def write_json(value: Any) -> None:
    """A value to stdout as indented JSON."""
    write_stdout(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def align_columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text with aligned columns; the last column is free."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)] if rows else []
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    return "\n".join(lines)
