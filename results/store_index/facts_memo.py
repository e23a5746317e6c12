"""A memo of what records say: an SQLite file in the cache, by the path and the state of each record's file.

The memo never decides which records there are, only which of them need not be read again. So it may be lost, damaged,
locked or out of date at any time: what it does not know is read from the records.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from foundation.environment import get_cache_dir
from foundation.errors import UserError
from foundation.files import SETTLED_SECONDS
from results.store_index.run_facts import INDEX_VERSION, RunFacts

LOCK_SECONDS = 5.0
"""How long to wait for another process that writes, which takes a fraction of a second."""

MAX_PENDING = 5_000
"""So many records are written in one transaction: what was read before a kill need not be read again."""

MAX_LINES_BYTES = 65_536
"""What a record says in more bytes is not kept: a made-up record may have a name of any length."""

KEPT_DAYS = 30
"""Rows that no command asked for in so many days are dropped. Their files are not looked at: they may lie on a disk
that does not answer."""

_TABLE = "CREATE TABLE records (path BLOB PRIMARY KEY, state BLOB, lines BLOB, crc INT, day INT)"
_UPSERT = """INSERT INTO records VALUES (?, ?, ?, ?, ?) ON CONFLICT (path)
    DO UPDATE SET state = excluded.state, lines = excluded.lines, crc = excluded.crc, day = excluded.day"""
_STATE = struct.Struct("<5Q")
_MAX_UNSIGNED = (1 << 64) - 1
_SALT = zlib.crc32(f"{INDEX_VERSION} {RunFacts._fields}".encode())


def get_memo_dir() -> Path:
    """Return the folder of the memo, which may not exist yet."""
    return get_cache_dir() / "store_index"


def get_memo_file() -> Path:
    """Return the file of the memo; each version has its own."""
    return get_memo_dir() / f"records-v{INDEX_VERSION}.sqlite"


def pack_state(found: os.stat_result) -> bytes:
    """Return what the system changes when a file is written or replaced; nobody can set the ctime."""
    numbers = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    # 64 bits of each: anybody can set an mtime so far away that its nanoseconds have more
    return _STATE.pack(*[number & _MAX_UNSIGNED for number in numbers])


def has_settled(found: os.stat_result, now: float) -> bool:
    """Return whether a later change of a file would show in its state: file systems count time in steps.

    Args:
        found: the state of the file.
        now: seconds since the epoch, before the state was looked at.
    """
    return now - max(found.st_mtime, found.st_ctime) > SETTLED_SECONDS


class FactsMemo:
    """The open memo; within a ``with`` statement, at whose end it is written.

    Any error of SQLite or of the disk closes it: it then knows nothing and keeps nothing.
    """

    def __init__(self) -> None:
        self._connection: sqlite3.Connection | None = None
        self._pending: dict[bytes, tuple[bytes, bytes]] = {}
        self._today = int(time.time() // 86_400)
        for is_last in (False, True):
            try:
                self._connection = self._open_file()
                return
            except (sqlite3.Error, OSError, ValueError, UserError) as error:  # UserError: no folder for caches
                if is_last or not _is_damaged(error):
                    return
                _remove_file()

    def __enter__(self) -> FactsMemo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write_pending()
        self._close()

    def find_lines(self, records: Sequence[tuple[str, os.stat_result]]) -> dict[str, bytes]:
        """Return what was kept of records whose files have not changed since.

        Args:
            records: real path and state of each record's file; at most 500.
        """
        if self._connection is None:
            return {}
        keys = [os.fsencode(path) for path, _ in records]
        marks = ",".join("?" * len(keys))
        query = f"SELECT * FROM records WHERE path IN ({marks})"  # noqa: S608 - question marks only
        try:
            rows = self._connection.execute(query, keys).fetchall()
        except sqlite3.Error as error:
            self._give_up(error)
            return {}
        found = {}
        states = {key: (path, record_stat) for key, (path, record_stat) in zip(keys, records, strict=True)}
        for key, state, lines, crc, day in rows:
            try:
                path, record_stat = states[key]
                if state != pack_state(record_stat) or crc != _compute_crc(key, state, lines):
                    continue
                is_old = abs(self._today - day) > KEPT_DAYS / 2
            except (KeyError, TypeError):  # a damaged row, whose values may be of any type
                continue
            found[path] = lines
            if is_old:  # it is still in use
                self._keep_row(key, state, lines)
        return found

    def keep_lines(self, path: str, state: bytes, lines: bytes) -> None:
        """Keep what a record says.

        Args:
            path: real path of the record's file.
            state: state of the file that was read, before it was read.
            lines: what it says.
        """
        if len(lines) <= MAX_LINES_BYTES:
            self._keep_row(os.fsencode(path), state, lines)

    def _keep_row(self, key: bytes, state: bytes, lines: bytes) -> None:
        self._pending[key] = state, lines
        if len(self._pending) >= MAX_PENDING:
            self._write_pending()

    def _open_file(self) -> sqlite3.Connection:
        path = get_memo_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        # autocommit, so that every transaction is begun by its own statement
        connection = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
        try:
            # a power cut may damage the file, which is noticed; waiting for the disk would take longer than reading
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(_TABLE.replace("TABLE", "TABLE IF NOT EXISTS", 1))
            tables = connection.execute("SELECT sql FROM sqlite_master WHERE type != 'index'").fetchall()
            if tables != [(_TABLE,)]:
                raise ValueError(f"{path} has other tables")
        except BaseException:
            connection.close()
            raise
        return connection

    def _write_pending(self) -> None:
        rows, self._pending = self._pending, {}
        if self._connection is None or not rows:
            return
        values = [(path, *row, _compute_crc(path, *row), self._today) for path, row in rows.items()]
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_UPSERT, values)
            # once a day, as it reads the whole file
            if self._connection.execute("PRAGMA user_version").fetchone()[0] != self._today:
                self._connection.execute("DELETE FROM records WHERE abs(day - ?) > ?", (self._today, KEPT_DAYS))
                self._connection.execute(f"PRAGMA user_version = {self._today}")
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        self._close()
        if _is_damaged(error):
            _remove_file()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        self._pending = {}
        if connection is not None:
            connection.close()  # which undoes a transaction that has not ended


def _is_damaged(error: Exception) -> bool:
    # an OperationalError is about the moment: locked, read-only, full, no permission
    return isinstance(error, sqlite3.DatabaseError | ValueError) and not isinstance(error, sqlite3.OperationalError)


def _remove_file() -> None:
    path = get_memo_file()
    for each in (path, path.with_name(f"{path.name}-journal")):
        try:
            each.unlink(missing_ok=True)
        except OSError:  # a folder of that name, or a read-only cache: there is no memo then
            return


def _compute_crc(path: bytes, state: bytes, lines: bytes) -> int:
    # SQLite notices damage to its own structure only, and a flipped bit in a value would be another number
    return zlib.crc32(path + state + lines, _SALT)
