"""Write typed tables as Parquet files with pyarrow, which is imported only here and only when it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from foundation.errors import RecordError, UserError
from foundation.files import atomic_writer
from foundation.storage.write_faults import make_storage_error

ColumnType = Literal["string", "int64", "double", "bool"]
"""Type of a column as Arrow names it. Every column may have missing values."""


def write_parquet(
    path: Path, column_types: Mapping[str, ColumnType], batches: Iterable[Mapping[str, Sequence[Any]]]
) -> None:
    """Write a table, which is complete or not there; one batch is in memory at a time.

    Args:
        path: the file.
        column_types: type of each column, by name.
        batches: rows as columns, by name; ``None`` for a missing value.

    Raises:
        UserError: pyarrow is not installed, or the file cannot be written.
        RecordError: a value does not fit the type of its column.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            "Parquet files need pyarrow, which is not installed; pip install 'litevit-bench[parquet]', "
            "or choose --format csv"
        ) from error
    schema = pyarrow.schema([(name, getattr(pyarrow, _ARROW_FACTORIES[kind])()) for name, kind in column_types.items()])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_writer(path) as file, parquet.ParquetWriter(file, schema) as writer:
            for batch in batches:
                columns = {name: [_clean_text(value) for value in batch[name]] for name in column_types}
                writer.write_table(pyarrow.table(columns, schema))
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, OverflowError) as error:
        raise RecordError(f"a value does not fit its column, so {path} was not written: {error}") from error
    except OSError as error:
        raise make_storage_error(path, error) from error


_ARROW_FACTORIES: Mapping[ColumnType, str] = {
    "string": "string",
    "int64": "int64",
    "double": "float64",
    "bool": "bool_",
}


def _clean_text(value: Any) -> Any:
    # a lone surrogate, which stands for a byte of a name that is not UTF-8, cannot be written
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
