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

from foundation.errors import RecordError, UserError
from foundation.files import atomic_writer
from results.leaderboard.render.csv import guard_cell
from results.leaderboard.row_labels import format_record_start
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

_NUMBER = re.compile(r"-?\d+(\.\d*)?([eE][-+]?\d+)?")
_MAX_EXACT = 2**53
"""Integers up to here are exact as floating-point numbers; larger ones stay text."""


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


def convert_cell(cell: str) -> tuple[float | None, str | None]:
    """Return a cell as number or as text, the other one missing; what is not exactly a number stays text.

    >>> convert_cell("0.25"), convert_cell("cat"), convert_cell("nan")
    ((0.25, None), (None, 'cat'), (None, 'nan'))
    """
    # isascii: \d and float() accept the digits of all scripts
    if not (cell.isascii() and _NUMBER.fullmatch(cell)):
        return None, cell
    value = float(cell)
    return (value, None) if abs(value) <= _MAX_EXACT else (None, cell)


def _iter_batches(
    runs: Iterable[StoredRun], pretrain_methods: Mapping[str, str], left_out: list[str]
) -> Iterator[dict[str, Sequence[Any]]]:
    """Yield the rows of each run as columns."""
    for folder, record in runs:
        try:
            table = read_item_table(folder, record)
        except RecordError as error:
            left_out.append(str(error))
            continue
        shared = {
            "run_id": record.run_id,
            "task": record.task,
            "protocol": record.protocol,
            "tier": record.tier,
            "key": record.comparability,
            "backbone": record.backbone.name,
            "start": format_record_start(record, pretrain_methods),
            "seed": record.seed,
        }
        yield _melt_table(table, shared)


def _melt_table(table: ItemTable, shared: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """Return the cells of a per-item table below one another, without those of the column that names the items."""
    count = table.num_rows
    name = next((each for each in ITEM_ID_COLUMNS if each in table.columns), None)
    items = table.columns[name] if name else (None,) * count
    columns = [each for each in table.columns if each != name]
    cells = [convert_cell(cell) for column in columns for cell in table.columns[column]]
    return {
        **{each: [value] * len(cells) for each, value in shared.items()},
        "row": [*range(count)] * len(columns),
        "item": [*items] * len(columns),
        "column": [column for column in columns for _ in range(count)],
        "value": [value for value, _ in cells],
        "text": [text for _, text in cells],
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
        raise UserError(f"cannot write {path}: {error}; name another file with --out") from error
