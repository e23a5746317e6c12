"""The store: one folder a run, one record in it, finished records never rewritten.

Layout under the root (default ``runs/``)::

    digits/vit_nano-finetune-full-seed0-3f2a9c01b7d4e586/     first attempt at this run_id
    digits/vit_nano-finetune-full-seed0-3f2a9c01b7d4e586.2/   after --fresh
        record.json   items.csv   checkpoints/   logs/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from foundation.errors import RecordError, UserError
from foundation.files import write_atomic
from results.records.record import Record, dump_record, parse_record

RECORD_FILE = "record.json"


class ScanResult(NamedTuple):
    """What a scan of stores gave: the readable records with their folders, and the faults of the rest."""

    records: list[tuple[Path, Record]]
    errors: list[str]


def read_record(folder: Path) -> Record:
    """The record in a run folder.

    Raises:
        RecordError: missing, unreadable or not a record of this schema.
    """
    path = folder / RECORD_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"cannot read {path}: {error}") from error
    return parse_record(text, str(path))


def write_record(folder: Path, record: Record) -> None:
    """Write a record into its run folder, in one piece.

    Raises:
        RecordError: if a complete or invalidated record is there (numbers are append-only), or the record
            there belongs to another run.
    """
    if (folder / RECORD_FILE).exists():
        old = read_record(folder)
        if old.status == "invalidated" or (old.status == "complete" and record.status != "invalidated"):
            raise RecordError(f"{folder / RECORD_FILE} is {old.status}; a finished record is never rewritten")
        if old.run_id != record.run_id:
            raise RecordError(f"{folder / RECORD_FILE} belongs to run {old.run_id}, not {record.run_id}")
    write_atomic(folder / RECORD_FILE, dump_record(record))


def scan_runs(roots: Iterable[Path]) -> ScanResult:
    """Read every record under the roots, in path order; a corrupt one is named, never skipped in silence.

    Raises:
        UserError: if a root does not exist.
    """
    records, faults = [], []
    for root in roots:
        if not root.is_dir():
            raise UserError(f"no folder of runs at {root}; run something first, or name it with --runs")
        for path in sorted(root.rglob(RECORD_FILE)):
            try:
                records.append((path.parent, read_record(path.parent)))
            except RecordError as error:
                faults.append(str(error))
    return ScanResult(records, faults)


def list_attempts(root: Path, run_stem: str) -> list[Path]:
    """The folders of one run, oldest first: ``stem``, ``stem.2``, ``stem.3`` ..."""
    pattern = re.compile(re.escape(Path(run_stem).name) + r"(?:\.([2-9]|[1-9]\d+))?")
    folder = (root / run_stem).parent
    found = [(m, p) for p in folder.glob("*") if p.is_dir() and (m := pattern.fullmatch(p.name))]
    return [path for _, path in sorted((int(match[1] or 1), path) for match, path in found)]


def next_attempt_folder(root: Path, run_stem: str) -> Path:
    """The folder for a fresh attempt at a run; it does not exist yet."""
    existing = list_attempts(root, run_stem)
    if not existing:
        return root / run_stem
    last = existing[-1].name.removeprefix(Path(run_stem).name)
    return (root / run_stem).with_name(f"{Path(run_stem).name}.{int(last[1:] or 1) + 1}")


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process; a killed process lets go by itself.

    Raises:
        UserError: if another process is at work in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"another process is working on {folder}; wait for it, or choose another --out") from error
    try:
        yield
    finally:
        lock.release()
