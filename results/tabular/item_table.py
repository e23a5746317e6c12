"""The per-item outcomes of runs as one long table: one row per run, row of its per-item file, and column of it.

The files of different tasks have different columns. In the long form all of them share one table with fixed types.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from foundation.errors import RecordError
from foundation.files import atomic_writer
from foundation.storage.fault_isolation import convert_faults
from foundation.storage.write_faults import make_storage_error
from results.leaderboard.render.csv import guard_cell
from results.leaderboard.row_labels import format_record_start, format_runtime
from results.records.record import Record
from results.statistics.item_files import ItemTable, read_item_table
from results.statistics.per_item_outcomes import ITEM_ID_COLUMNS
from results.statistics.ranking import StoredRun
from results.tabular.parquet_file import ColumnType, write_parquet

ITEM_COLUMN_TYPES: Mapping[str, ColumnType] = {
    "run_id": "string",
    "task": "string",
    "protocol": "string",
    "tier": "string",
    "key": "string",
    "backbone": "string",
    "start": "string",
    "seed": "int64",
    "row": "int64",
    "item": "string",
    "column": "string",
    "value": "double",
    "text": "string",
}
"""Type of each column; docs/reference/tables.md says what they hold."""

TableFormat = Literal["csv", "parquet"]

_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?", re.ASCII)
"""A number as Python and JSON write it. With a zero in front it is a name: 007 is not 7."""

_NO_NUMBERS = ("", "nan", "inf", "-inf")
"""Cells that may stand in a column of numbers: not measured, or the outcome of a calculation without a result."""

_MAX_EXACT = 2**53 - 1
"""Integers up to here are exact as floating-point numbers; larger ones stay text. (2^53 + 1 would become 2^53.)"""


class ItemExport(NamedTuple):
    """What was written.

    Attributes:
        runs: number of runs.
        rows: number of rows.
        left_out: one sentence for each run whose per-item file cannot be used.
    """

    runs: int
    rows: int
    left_out: list[str]


def write_item_table(
    runs: Sequence[StoredRun], pretrain_methods: Mapping[str, str], path: Path, table_format: TableFormat
) -> ItemExport:
    """Write the per-item outcomes of complete runs; one run is in memory at a time.

    Args:
        runs: the runs.
        pretrain_methods: pre-training method by the SHA-256 of the weights it produced, for the column ``start``.
        path: the file, which is complete or not there.
        table_format: ``csv`` or ``parquet``.

    Raises:
        UserError: the file cannot be written, or pyarrow is not installed.
        RecordError: a value does not fit the type of its column.
    """
    left_out: list[str] = []
    counts: list[int] = []
    batches = _count_rows(_iter_batches(runs, pretrain_methods, left_out), counts)
    if table_format == "parquet":
        write_parquet(path, ITEM_COLUMN_TYPES, batches)
    else:
        _write_csv(path, batches)
    return ItemExport(len(counts), sum(counts), left_out)


def convert_column(cells: Sequence[str]) -> tuple[list[float | None], list[str | None]]:
    """Return the cells of a column as numbers and as texts; where one of them has a cell, it is missing in the other.

    A column is of numbers if every cell is one, apart from ``nan``, ``inf`` (kept as text) and empty cells (missing).
    All cells of any other column are texts, so that of names such as ``7``, ``1e5`` and ``cat`` none changes.

    >>> convert_column(["0.25", "nan", ""])
    ([0.25, None, None], [None, 'nan', None])
    >>> convert_column(["7", "cat", ""])
    ([None, None, None], ['7', 'cat', ''])
    """
    numbers = [None if cell in _NO_NUMBERS else _parse_number(cell) for cell in cells]
    if any(number is None and cell not in _NO_NUMBERS for number, cell in zip(numbers, cells, strict=True)):
        return [None] * len(cells), list(cells)
    return numbers, [cell if cell and number is None else None for number, cell in zip(numbers, cells, strict=True)]


def _parse_number(cell: str) -> float | None:
    """Return an exact number; ``None`` for anything else, and for integers that a double does not hold exactly."""
    if not _NUMBER.fullmatch(cell):
        return None
    value = float(cell)
    return value if abs(value) <= _MAX_EXACT else None


def _iter_batches(
    runs: Iterable[StoredRun], pretrain_methods: Mapping[str, str], left_out: list[str]
) -> Iterator[dict[str, Sequence[Any]]]:
    """Yield the rows of each run as columns."""
    for folder, record in runs:
        if record.status == "invalidated":  # it keeps its numbers, which are on no board
            left_out.append(f"{folder} is invalidated: {record.reason}")
            continue
        try:
            with convert_faults(f"cannot read the items of {folder}"):
                batch = _melt_table(read_item_table(folder, record), _describe_run(record, pretrain_methods))
        except RecordError as error:
            left_out.append(str(error))
            continue
        yield batch


def _describe_run(record: Record, pretrain_methods: Mapping[str, str]) -> dict[str, Any]:
    """Return the cells that all rows of a run share."""
    return {
        "run_id": record.run_id,
        "task": record.task,
        "protocol": record.protocol,
        "tier": record.tier,
        "key": record.comparability,
        "backbone": record.backbone.name,
        # two runtimes of one model have the same weights, and a mean over both would be of neither
        "start": ", ".join(filter(None, (format_record_start(record, pretrain_methods), format_runtime(record)))),
        "seed": record.seed,
    }


def _melt_table(table: ItemTable, shared: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """Return the cells of a per-item table below one another, without those of the column that names the items."""
    count = table.num_rows
    # without a column of a known name, the first one identifies the item, as on the boards
    name = next((each for each in ITEM_ID_COLUMNS if each in table.columns), next(iter(table.columns)))
    columns = [each for each in table.columns if each != name]
    converted = [convert_column(table.columns[column]) for column in columns]
    return {
        **{each: [value] * (count * len(columns)) for each, value in shared.items()},
        "row": [*range(count)] * len(columns),
        "item": [*table.columns[name]] * len(columns),
        "column": [column for column in columns for _ in range(count)],
        "value": [value for values, _ in converted for value in values],
        "text": [text for _, texts in converted for text in texts],
    }


def _count_rows(batches: Iterator[dict[str, Sequence[Any]]], counts: list[int]) -> Iterator[dict[str, Sequence[Any]]]:
    for batch in batches:
        counts.append(len(batch["row"]))
        yield batch


def _write_csv(path: Path, batches: Iterable[Mapping[str, Sequence[Any]]]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_writer(path) as file:
            # lone surrogates, which stand for bytes of a name that are not UTF-8, as in a Parquet file
            text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(ITEM_COLUMN_TYPES)
            for batch in batches:
                rows = zip(*(batch[name] for name in ITEM_COLUMN_TYPES), strict=True)
                # a text that a spreadsheet would take for a formula gets an apostrophe, as on the boards
                writer.writerows([guard_cell(cell) for cell in row] for row in rows)
            text.flush()
            text.detach()
    except OSError as error:
        raise make_storage_error(path, error) from error
