"""The boards of a report as one typed table: the columns of ``bench table --format csv``, one row per metric."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from results.leaderboard.render.csv import CSV_COLUMNS, iter_board_lines
from results.leaderboard.report import LeaderboardReport
from results.tabular.parquet_file import ColumnType, write_parquet

_INTEGERS = frozenset({"rank", "n", "parameters", "macs", "batch"})
_FLAGS = frozenset({"floor", "primary", "within", "busy", "throughput_busy"})
_NUMBERS = frozenset(
    {"value", "ci_low", "ci_high", "reported", "difference", "tolerance", "seed_min", "seed_max", "latency_ms"}
    | {"images_per_second"}
)


def _choose_type(column: str) -> ColumnType:
    if column in _INTEGERS:
        return "int64"
    if column in _FLAGS:
        return "bool"
    return "double" if column in _NUMBERS else "string"


BOARD_COLUMN_TYPES: Mapping[str, ColumnType] = {column: _choose_type(column) for column in CSV_COLUMNS}
"""Type of each column. The others are text, lists as in the CSV: seeds and run ids with a blank between them."""


def write_board_table(report: LeaderboardReport, path: Path) -> None:
    """Write the boards of a report as a Parquet file.

    Raises:
        UserError: pyarrow is not installed, or the file cannot be written.
        RecordError: a value does not fit the type of its column.
    """
    lines = list(iter_board_lines(report))
    columns = {
        # a cell that CSV leaves empty is missing here; texts stay as they are, because no spreadsheet reads them
        name: [_convert_cell(line.get(name), kind) for line in lines]
        for name, kind in BOARD_COLUMN_TYPES.items()
    }
    write_parquet(path, BOARD_COLUMN_TYPES, [columns])


def _convert_cell(value: object, kind: ColumnType) -> object:
    if value is None:
        return None
    if kind == "bool":
        return bool(value)
    return float(str(value)) if kind == "double" else value
