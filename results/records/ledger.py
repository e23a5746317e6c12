"""The ledger of a store: one line for each start and each end of a run, chained by hashes and only ever appended to.

A record alone cannot show that it replaced another one, or that four more seeds were deleted. So whoever writes a
record also appends a line to ``STORE/ledger/WRITER.jsonl``. Each line holds the SHA-256 of the line before, so a line
that is edited, removed or moved breaks the chain, and the SHA-256 of the record as it was written.

Each writer has a chain of its own, so that stores can be merged by copying one over the other: all chains stay.
``results.records.ledger_checks`` compares the ledger with the records.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
import secrets
import socket
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Literal, NamedTuple

from filelock import Timeout
from pydantic import ValidationError

from foundation.errors import UserError
from foundation.files import sha256_file, write_atomic
from foundation.storage.file_locks import take_file_lock
from foundation.storage.leftovers import remove_owned_leftovers
from foundation.storage.regular_files import NotRegularFileError, open_regular, read_regular
from foundation.storage.write_faults import make_storage_error
from results.records.record import Record, RunStatus
from results.records.strict_model import Integer, Name, StrictModel, load_json

LEDGER_FOLDER = "ledger"
LOCK_SECONDS = 60.0
"""How long to wait for another process of this machine that appends; it needs a few milliseconds."""

MAX_LEDGER_BYTES = 256_000_000
"""A larger file is no ledger: a line has 500 bytes, and 100,000 runs have two lines each."""

TAIL_BYTES = 1 << 16
"""Bytes at the end of a chain among which its last line is looked for; a line has a few hundred."""

EventKind = Literal["started", "complete", "failed", "invalidated", "migrated"]
EVENT_BY_STATUS: dict[RunStatus, EventKind] = {
    "running": "started",
    "complete": "complete",
    "failed": "failed",
    "invalidated": "invalidated",
}


class ReplacedRecord(StrictModel):
    """The record that a migration rewrote: its folder below the store, and the SHA-256 of its file."""

    folder: Name
    record_sha256: Name


class LedgerEvent(StrictModel):
    """What happened to a run.

    Attributes:
        event: a start (or resumption), one of the three ends, or a rewrite by ``results.records.migrate``.
        folder: the run's folder below the store, with forward slashes.
        run_id, task, protocol, seed: as in the record.
        record_sha256: SHA-256 of the file ``record.json``; ``None`` for a start, whose record is rewritten at the end.
        items_sha256: SHA-256 of the per-item table; ``None`` where there is none.
        migrated_from: only for ``migrated``.
    """

    event: EventKind
    run_id: Name
    folder: Name
    task: Name
    protocol: Name
    seed: Integer
    record_sha256: Name | None
    items_sha256: Name | None
    migrated_from: ReplacedRecord | None = None


class LedgerLine(NamedTuple):
    """One line: its number in the chain from 1, when it was written (UTC, ISO 8601), and the event."""

    number: int
    time: str
    event: LedgerEvent


class LedgerChain(NamedTuple):
    """The lines of one writer.

    Attributes:
        path: the file.
        lines: the lines that can be read, in order.
        faults: where the chain is broken, one sentence each.
        torn_lines: numbers of lines that were cut off by a kill while they were written.
        head: SHA-256 of the last line; who knows it can tell whether lines before it were changed.
    """

    path: Path
    lines: tuple[LedgerLine, ...]
    faults: tuple[str, ...]
    torn_lines: tuple[int, ...]
    head: str


def find_store(folder: Path, task: str) -> Path | None:
    """Return the store that a run folder belongs to: the folder above ``TASK/NAME-RUNID``.

    Args:
        folder: folder of a run.
        task: the run's task.

    Returns:
        ``None`` if the folder does not lie where a run of this task lies in a store, for example a copy elsewhere.
    """
    folder = folder.absolute()
    parts = Path(task).parts
    if not re.search(r"-[0-9a-f]{16}(\.\d+)?$", folder.name) or folder.parent.parts[-len(parts) :] != parts:
        return None
    return folder.parents[len(parts)]


def record_event(folder: Path, record: Record, migrated_from: ReplacedRecord | None = None) -> None:
    """Append to the ledger what has just been written to a run folder; a folder outside of a store has no ledger.

    Args:
        folder: the run's folder; its ``record.json`` is already written.
        record: what was written.
        migrated_from: the record before a migration.

    Raises:
        UserError: the ledger cannot be written.
    """
    store = find_store(folder, record.task)
    if store is None:
        return
    event = LedgerEvent(
        event="migrated" if migrated_from else EVENT_BY_STATUS[record.status],
        run_id=record.run_id,
        folder=folder.absolute().relative_to(store).as_posix(),
        task=record.task,
        protocol=record.protocol,
        seed=record.seed,
        record_sha256=None if record.status == "running" else sha256_file(folder / "record.json"),
        items_sha256=record.result.items.sha256 if record.result else None,
        migrated_from=migrated_from,
    )
    append_event(store, event)


def append_event(store: Path, event: LedgerEvent) -> None:
    """Append a line to this writer's chain and flush it to disk.

    Processes of one writer take turns. A kill leaves at most a part of the last line, which stays where it is: the
    next line holds its hash, and readers report it as torn.

    Raises:
        UserError: the ledger cannot be written, or another process holds it for too long.
    """
    folder = store / LEDGER_FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with take_file_lock(folder / ".lock", LOCK_SECONDS):
            path = _choose_chain(folder)
            if not path.exists():
                remove_owned_leftovers(folder)  # the name of a chain is random, so nobody would write the same again
                write_atomic(path, b"")  # which also makes the new name survive a power cut
            last_line, is_torn = _read_last_line(path)
            text = _format_line(event, _hash_line(last_line) if last_line else None)
            with _open_to_append(path) as file:  # a regular file, as it was just read
                file.write(b"\n" * is_torn + text.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:  # filelock's Timeout is one, with a sentence of its own
        reason = str(error) if isinstance(error, Timeout) else make_storage_error(folder, error).strerror
        raise UserError(
            f"cannot append to the ledger {folder} ({reason}); make it writable, because a run that is not in the "
            "ledger of its store cannot be told from one that was put there by hand"
        ) from error


def read_ledgers(store: Path) -> list[LedgerChain]:
    """Read every chain of a store's ledger, in the order of their names; none if there is no ledger.

    Raises:
        UserError: a file cannot be read.
    """
    return [_read_chain(path) for path in sorted((store / LEDGER_FOLDER).glob("*.jsonl"))]


def _open_to_append(path: Path) -> IO[bytes]:
    """Open a chain for writing; a link that was planted in its place could lead to any file of the user's."""
    if path.is_symlink():
        raise NotRegularFileError(f"{path.name} in it is a link, and nothing is written through links")
    flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags), "ab")


def _choose_chain(folder: Path) -> Path:
    """Return the file of this writer: this user on this machine in this very folder.

    The folder's inode is part of it: a store that was copied goes on in a chain of its own, so that merging it with
    the original later does not replace one continuation by the other. A digest, because names of people and machines
    are nobody's business where records are published.
    """
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # no name for this number, in some containers
        user = ""
    writer = _hash_line(f"{socket.gethostname()}\n{user}\n{folder.stat().st_ino}".encode())[:8]
    known = sorted(folder.glob(f"{writer}-*.jsonl"))
    return known[0] if known else folder / f"{writer}-{secrets.token_hex(4)}.jsonl"


def _format_line(event: LedgerEvent, previous: str | None) -> str:
    content = event.model_dump(mode="json")
    if event.migrated_from is None:
        del content["migrated_from"]
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return json.dumps({"previous": previous, "time": now, **content}, ensure_ascii=False)


def _hash_line(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _read_last_line(path: Path) -> tuple[bytes, bool]:
    """Return the last line without its end, and whether that end is missing; an empty line if there is none."""
    with open_regular(path) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        tail = file.read()
    return tail.removesuffix(b"\n").rpartition(b"\n")[2], bool(tail) and not tail.endswith(b"\n")


def _read_chain(path: Path) -> LedgerChain:
    try:
        content = read_regular(path, MAX_LEDGER_BYTES)
    except OSError as error:
        raise UserError(f"cannot read the ledger {path} ({error.strerror or error}); make it readable") from error
    lines, faults, torn = [], [], []
    head: str | None = None
    raw_lines = content.removesuffix(b"\n").split(b"\n") if content else []
    for number, raw in enumerate(raw_lines, start=1):
        parsed = _parse_line(raw)
        # a torn line states no hash itself, but the line after it states that of the torn one
        if parsed is None:
            torn.append(number)
        else:
            previous, time, event = parsed
            if previous != head:
                faults.append(f"line {number} does not follow from the line before")
            lines.append(LedgerLine(number, time, event))
        head = _hash_line(raw)
    return LedgerChain(path, tuple(lines), tuple(faults), tuple(torn), head or "")


def _parse_line(raw: bytes) -> tuple[str | None, str, LedgerEvent] | None:
    """Return what a line holds, or ``None`` if it is not a whole line of a ledger."""
    try:
        content = load_json(raw)
        previous, time = content.pop("previous"), content.pop("time")
        if not isinstance(time, str):
            return None
        return previous, time, LedgerEvent.model_validate(content)
    except (ValueError, AttributeError, KeyError, TypeError, ValidationError):
        return None
