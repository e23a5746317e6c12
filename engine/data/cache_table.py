"""A table in the cache folder that only saves time: whatever is wrong with it, the caller computes again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from foundation.environment import get_cache_dir


class CacheTable:
    """A table of an SQLite file in ``$BENCH_CACHE``.

    A table that cannot be read counts as empty, and one that cannot be written (read-only cache, full disk) is not
    written. A damaged file is removed and begins anew.

    Args:
        file_name: name of the SQLite file.
        table: name of the table.
        columns: its columns as SQL; the first one is the primary key.
    """

    def __init__(self, file_name: str, table: str, columns: str) -> None:
        self.path = get_cache_dir() / file_name
        self.table, self.columns = table, columns

    def select_rows(self, query: str, values: Sequence[bytes | int | str]) -> list[tuple[Any, ...]]:
        """Return the rows that a query finds.

        Args:
            query: a SELECT statement.
            values: what its question marks stand for.
        """
        if not self.path.is_file():
            return []
        try:
            with closing(self._connect()) as connection:
                return connection.execute(query, values).fetchall()
        except sqlite3.Error:
            return []

    def insert_rows(self, rows: Sequence[tuple[bytes | int | str, ...]]) -> None:
        """Store rows; a row replaces the one with the same key."""
        try:
            self._insert(rows)
        except sqlite3.OperationalError:  # locked, read-only, disk full
            return
        except sqlite3.DatabaseError:
            try:
                self.path.unlink(missing_ok=True)
                self._insert(rows)
            except (OSError, sqlite3.Error):
                return
        except OSError:
            return

    def _insert(self, rows: Sequence[tuple[bytes | int | str, ...]]) -> None:
        if not rows:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._connect()) as connection, connection:
            connection.execute(f"CREATE TABLE IF NOT EXISTS {self.table} ({self.columns}) WITHOUT ROWID")
            marks = ", ".join("?" * len(rows[0]))
            statement = f"INSERT OR REPLACE INTO {self.table} VALUES ({marks})"  # noqa: S608 - a constant name
            connection.executemany(statement, rows)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=20)
