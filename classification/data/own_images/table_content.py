"""Read the cells of a table of labels: CSV, TSV, JSON, JSON lines or parquet. What they mean is found elsewhere."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from foundation.errors import DataError
from foundation.storage.regular_files import open_regular
from foundation.text.user_text import read_user_text

MAX_PARQUET_BYTES = 1 << 30
"""What a parquet file may unpack to: names and labels of ten million images."""

_PARQUET_ROWS = 4096
"""Rows that are unpacked at a time."""

TABLE_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
MAX_SHOWN_TEXT = 80
_DELIMITERS = ",;\t|"


class TableRow(NamedTuple):
    """One row.

    Attributes:
        place: where it is, for messages: ``line 3``.
        cells: text of each column; "" for an empty cell.
    """

    place: str
    cells: Mapping[str, str]


class TableContent(NamedTuple):
    """A table as it stands in its file.

    Attributes:
        file: the file.
        columns: their names, as written.
        rows: the rows.
    """

    file: Path
    columns: tuple[str, ...]
    rows: list[TableRow]


def read_label_file(file: Path) -> TableContent:
    """Read a table; the suffix of its name says the format.

    Raises:
        DataError: it is not such a table, has no rows, or a package is missing that reads it.
    """
    suffix = file.suffix.lower()
    if suffix in (".csv", ".tsv"):
        content = _read_csv(file)
    elif suffix in (".json", ".jsonl", ".ndjson"):
        content = _read_json(file, is_lines=suffix != ".json")
    elif suffix == ".parquet":
        content = _make_content(file, "row", enumerate(_load_parquet(file), 1))
    else:
        raise DataError(f"{file} is not a table that bench reads ({', '.join(TABLE_SUFFIXES)}); save it as .csv")
    if not content.rows:
        raise DataError(f"{file} has no rows; write one for each image, below a first line that names the columns")
    return content


def _read_csv(file: Path) -> TableContent:
    text = read_user_text(file)
    first = text.partition("\n")[0]
    # a file of spreadsheets has ; where the comma is part of numbers; the first line alone cannot have both by chance
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    rows = []
    try:
        columns = [name.strip() for name in next(reader, [])]
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            # a comma within a name moves all later cells, so that a caption would be the label
            if len(cells) != len(columns):
                raise DataError(
                    f"line {reader.line_num} of {file} has {len(cells)} cells and the first line {len(columns)}; "
                    "write it again, with cells that hold a comma in quotation marks"
                )
            values = (cell.strip() for cell in cells)
            rows.append(TableRow(f"line {reader.line_num}", dict(zip(columns, values, strict=True))))
    except csv.Error as error:
        raise DataError(f"line {reader.line_num} of {file} is not CSV ({error}); write it again") from error
    _require_distinct_columns(file, columns)
    return TableContent(file, tuple(columns), rows)


def _require_distinct_columns(file: Path, columns: Iterable[str]) -> None:
    # of two columns of one name, the last one would be taken in silence
    names = list(columns)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{file} has the column {twice or 'without a name'} twice; keep one, under a name of its own")


def _read_json(file: Path, is_lines: bool) -> TableContent:
    text = read_user_text(file)
    if is_lines:
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        return _make_content(file, "line", ((number, _parse_json(line, file, number)) for number, line in lines))
    found = _parse_json(text, file, None)
    # {"cat/0.jpg": "cat", ...}
    if isinstance(found, dict) and found and not any(isinstance(value, (dict, list)) for value in found.values()):
        found = [{"file": name, "label": label} for name, label in found.items()]
    if not isinstance(found, list):
        raise DataError(
            f"{file} is neither a list of objects with file and label nor an object of labels by file name; write one "
            "of them, or a .csv with the columns file and label"
        )
    return _make_content(file, "entry", enumerate(found, 1))


def _parse_json(text: str, file: Path, line: int | None) -> Any:
    def require_distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # json alone takes the last of two labels of one image
        twice = next((name for name, count in Counter(name for name, _ in pairs).items() if count > 1), None)
        if twice is not None:
            raise DataError(f"{file} has {twice[:MAX_SHOWN_TEXT]!r} twice in one object; keep one")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=require_distinct_keys)
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        where = f"line {line} of {file}" if line else str(file)
        raise DataError(f"{where} is not JSON ({error}); write it again") from error


def _load_parquet(file: Path) -> list[Any]:
    if find_spec("pyarrow") is None:
        raise DataError(f"{file} needs pyarrow: pip install pyarrow, or save the table as .csv")
    import pyarrow
    import pyarrow.parquet

    rows: list[Any] = []
    num_bytes = 0
    try:
        with open_regular(file) as stream, pyarrow.parquet.ParquetFile(stream) as table:
            held = next((field.name for field in table.schema_arrow if _holds_bytes(field.type)), None)
            if held is not None:
                raise DataError(
                    f"{file} holds the images themselves, in its column {held}; save each as a file in the folder of "
                    "its class (the lines that do so are in docs/guides/your-own-data.md)"
                )
            for batch in table.iter_batches(_PARQUET_ROWS):
                # a value that is repeated a billion times is stored once
                num_bytes += sum(map(_count_bytes, batch.columns))
                if num_bytes > MAX_PARQUET_BYTES:
                    raise DataError(
                        f"{file} unpacks to more than {MAX_PARQUET_BYTES / 2**30:.0f} GiB, more than names and labels "
                        "take; keep the columns that are needed"
                    )
                rows += batch.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as parquet ({error}); write it again") from error
    return rows


def _count_bytes(column: Any) -> int:
    """Return the size of a column when each row has its own value."""
    import pyarrow.types

    return int((column.dictionary_decode() if pyarrow.types.is_dictionary(column.type) else column).nbytes)


def _holds_bytes(kind: Any) -> bool:
    """Return whether a column of parquet holds bytes, or objects with bytes as those of Hugging Face's ``Image``."""
    import pyarrow.types

    if pyarrow.types.is_struct(kind):
        return any(_holds_bytes(kind.field(index).type) for index in range(kind.num_fields))
    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _make_content(file: Path, unit: str, entries: Iterable[tuple[int, Any]]) -> TableContent:
    """Return a table of which every row is an object.

    Args:
        file: the table.
        unit: what a row is called in messages.
        entries: number and content of each row.
    """
    columns: dict[str, None] = {}
    rows = []
    for number, entry in entries:
        if not isinstance(entry, dict):
            raise DataError(f"{unit} {number} of {file} is no object with file and label; write it again")
        columns.update(dict.fromkeys(map(str, entry)))
        rows.append((number, entry))
    texts = [
        TableRow(f"{unit} {number}", {name: _format_cell(entry.get(name)) for name in columns})
        for number, entry in rows
    ]
    return TableContent(file, tuple(columns), texts)


def _format_cell(value: Any) -> str:
    """Return a cell as the text that it would be in a CSV."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # pandas writes whole numbers so where a cell of the column is empty
    if isinstance(value, (dict, list)):
        # other columns may hold anything, such as boxes; JSON text shows them if they are asked for
        return json.dumps(value, default=str)
    return str(value).strip()
