"""Numbers as CSV text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

CsvValue = str | int | float | None


def encode_csv(columns: Sequence[str], rows: Iterable[Sequence[CsvValue]]) -> bytes:
    """A CSV file; floats keep all their digits, ``None`` is an empty cell.

    >>> encode_csv(("block", "value"), [(0, 0.5)])
    b'block,value\\n0,0.5\\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()
