"""Write numbers as CSV text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

CsvValue = str | int | float | None


def encode_csv(columns: Sequence[str], rows: Iterable[Sequence[CsvValue]]) -> bytes:
    """Return the bytes of a CSV file; floats keep all their digits, and ``None`` becomes an empty cell.

    Args:
        columns: names of the columns.
        rows: one sequence of values per row, in the order of ``columns``.

    >>> encode_csv(("block", "value"), [(0, 0.5)])
    b'block,value\\n0,0.5\\n'
    """
    text = io.StringIO()
    # the csv module would end lines with "\r\n" by default
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    # a name whose bytes are no UTF-8 is written as its codes
    return text.getvalue().encode("utf-8", "backslashreplace")
