"""The store of runs: one folder per run with one record in it. Finished records are never rewritten.

Layout below the root (``runs/`` by default)::

    digits/vit_nano-finetune-full-seed0-3f2a9c01b7d4e586/     first attempt at this run_id
    digits/vit_nano-finetune-full-seed0-3f2a9c01b7d4e586.2/   after --fresh
        record.json   items.csv   checkpoints/   logs/
    ledger/5f0c2a91-7be04d13.jsonl     what happened to the runs (``results.records.ledger``)
    timings/vit_nano-32x32-5f0c2a917be04d13.json     from bench profile --save (``results.records.saved_timings``)
"""

from __future__ import annotations

import hashlib
import marshal
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from filelock import Timeout

from foundation.errors import RecordError, UserError
from foundation.files import ensure_writable_dir, write_atomic
from foundation.storage.fault_isolation import convert_faults
from foundation.storage.file_locks import is_file_locked, take_file_lock
from foundation.storage.leftovers import remove_owned_leftovers
from foundation.storage.regular_files import open_regular
from results.records.ledger import record_event
from results.records.record import Record, dump_record, parse_record
from results.records.saved_timings import SavedTiming, list_stores, scan_timings

RECORD_FILE = "record.json"
LOCK_FILE = ".lock"

_LOCK_SECONDS = 0.5
"""How long to wait for the lock of a folder, since ``is_folder_at_work`` takes it for a moment."""

MAX_RECORD_BYTES = 32_000_000
"""A larger file is no record. Records have 10 kB; values for each of 20,000 classes, the most that any task has, would
have 4 MB. The objects of a parsed file have about ten times its bytes."""


class FolderLockedError(UserError):
    """Another process works on a run folder."""


class ScanResult(NamedTuple):
    """The result of scanning folders of runs.

    Attributes:
        records: every readable record with the folder it is in.
        errors: one sentence for each record or saved timing that cannot be read.
        timings: timings of backbones that were saved beside the runs.
    """

    records: list[tuple[Path, Record]]
    errors: list[str]
    timings: Sequence[SavedTiming] = ()


def read_record(folder: Path) -> Record:
    """Read the record in a run folder.

    Raises:
        RecordError: the record is missing, cannot be read, or does not follow the schema.
    """
    return read_record_stat(folder)[0]


def read_record_stat(folder: Path) -> tuple[Record, os.stat_result]:
    """Read the record in a run folder, and the state of the very file that was read, before it was read.

    Raises:
        RecordError: the record is missing, cannot be read, or does not follow the schema.
    """
    path = folder / RECORD_FILE
    with convert_faults(f"cannot read {path}"):
        try:
            with open_regular(path, MAX_RECORD_BYTES) as file:
                found = os.fstat(file.fileno())
                # one byte more than was there: a file that grows meanwhile is no finished record, and ends here
                text = (file.read(found.st_size + 1) or b"").decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecordError(f"cannot read {path}: {error}") from error
        return parse_record(text, str(path)), found


def write_record(folder: Path, record: Record) -> None:
    """Write a record into its run folder atomically, and append what happened to the ledger of its store.

    Raises:
        RecordError: the folder already has a complete or invalidated record (numbers are append-only), or a record of
            another run.
        UserError: the ledger cannot be written.
    """
    if (folder / RECORD_FILE).exists():
        old = read_record(folder)
        # the only change allowed to a complete record is to invalidate it, which keeps its number and adds a reason
        if old.status == "invalidated" or (old.status == "complete" and record.status != "invalidated"):
            raise RecordError(f"{folder / RECORD_FILE} is {old.status}; a finished record is never rewritten")
        if old.run_id != record.run_id:
            raise RecordError(f"{folder / RECORD_FILE} belongs to run {old.run_id}, not {record.run_id}")
    # readers scan while other processes write, so they must see either the old record or the new one, never a part
    write_atomic(folder / RECORD_FILE, dump_record(record))
    # After the record: a kill in between leaves a record that the ledger knows as started only, which verify says. The
    # other order would leave a line about a record that never existed, as if it had been deleted.
    record_event(folder, record)


class PartPool:
    """Keeps one copy of what many records have in common: settings, cards, package versions, data sets.

    Records of one store differ in weights, seed and numbers; their settings, cards and packages are the same few over
    and over, and are more than a third of what a record takes in memory (half, where settings are long).
    """

    def __init__(self) -> None:
        # by name and digest: the content itself as a key would double what a store without equal parts takes
        self._parts: dict[tuple[str, bytes], Any] = {}

    def share_parts(self, record: Record) -> Record:
        """Replace parts of a record by equal ones of earlier records, and return it.

        Nobody may change a part afterwards, which the types do not say of the dictionaries in a record.

        Args:
            record: just read; nobody else has it yet.
        """
        self._share_field(record, "config", record.config)
        for part, name in ((record.backbone, "card"), (record.backbone, "arguments"), (record.environment, "packages")):
            self._share_field(part, name, getattr(part, name))
        self._share_field(record, "data", record.data.model_dump())
        for metric in record.result.metrics.values() if record.result else ():
            if metric.statistic is not None:
                self._share_field(metric, "statistic", metric.statistic.model_dump())
        return record

    def _share_field(self, owner: Any, name: str, content: Any) -> None:
        """Replace the value of a field by the first one of equal content, types and order of names included."""
        # Version 2 of the format has no references, so that the bytes depend on the content alone; it writes all that
        # JSON can hold.
        key = (name, hashlib.sha256(marshal.dumps(content, 2)).digest())
        # the models are frozen for everybody else; this value is equal to the one that it replaces
        owner.__dict__[name] = self._parts.setdefault(key, owner.__dict__[name])


def scan_runs(roots: Iterable[Path]) -> ScanResult:
    """Read every record below the roots, in the order of their paths, and the timings that were saved beside them.

    A record that cannot be read is reported in ``errors``; it is never skipped silently.

    Raises:
        UserError: a root does not exist.
    """
    records: list[tuple[Path, Record]] = []
    faults: list[str] = []
    roots, pool = list(roots), PartPool()
    for root in roots:
        require_store(root)
        for folder in list_run_folders(root, faults):
            try:
                records.append((folder, pool.share_parts(read_record(folder))))
            except RecordError as error:
                faults.append(str(error))
    saved = scan_timings(list_stores(roots, (folder for folder, _ in records)))
    return ScanResult(records, faults + saved.errors, saved.timings)


def require_store(root: Path) -> None:
    """Check that a folder of runs exists.

    Raises:
        UserError: it does not.
    """
    if not root.is_dir():
        raise UserError(f"no folder of runs at {root}; run something first, or name the folder with --runs")


class FoundFolder(NamedTuple):
    """A folder of a store.

    Attributes:
        folder: its path, as ``str(Path)`` writes it; a ``Path`` takes longer to make than its folder to find.
        is_run: whether it has an entry with the name of a record, of whatever kind.
        record_stat: the state of the record's file; ``None`` if there is none, or it cannot be looked at.
        linked_folders: names of links to folders in it, which are not entered; none of a run.
    """

    folder: str
    is_run: bool
    record_stat: os.stat_result | None
    linked_folders: Sequence[str] = ()


def iter_folders(root: Path, faults: list[str]) -> Iterator[FoundFolder]:
    """Yield a folder and the folders below it, in the order of their paths. All commands find runs by this function.

    A folder with a record is one run: what is in it belongs to the run and is not entered. Nor are links to folders,
    and hidden folders, which are unfinished writes.

    Args:
        root: where to look.
        faults: takes one sentence for each folder that cannot be listed.
    """
    pending = [str(root)]
    while pending:
        folder = pending.pop()
        # one call for a run, whose entries need not be listed
        record_stat = _find_stat(f"{folder}{os.sep}{RECORD_FILE}")
        if record_stat is None:
            try:
                with os.scandir(folder) as entries:
                    listed = list(entries)
            except (FileNotFoundError, NotADirectoryError):  # it was removed in the meantime
                continue
            except OSError as error:
                faults.append(f"cannot list the runs in {folder}: {error.strerror or error}")
                continue
            if all(entry.name != RECORD_FILE for entry in listed):  # a link to nothing is there, but has no state
                below = [each for each in listed if not each.name.startswith(".") and _is_folder(each)]
                prefix = "" if folder == "." else os.path.join(folder, "")
                # by their names one after the other, so that all paths come in the order of their parts
                pending += sorted((prefix + each.name for each in below if not each.is_symlink()), reverse=True)
                linked = sorted(each.name for each in below if each.is_symlink())
                yield FoundFolder(folder, is_run=False, record_stat=None, linked_folders=linked)
                continue
        yield FoundFolder(folder, is_run=True, record_stat=record_stat)


def list_run_folders(root: Path, faults: list[str]) -> list[Path]:
    """Return every folder at or below the root that holds a record; see ``iter_folders``."""
    return [Path(found.folder) for found in iter_folders(root, faults) if found.is_run]


def list_unread_records(root: Path) -> list[Path]:
    """Return the records that no command finds: in the folder of another run, or in a hidden folder.

    This lists every folder, which takes a while in a large store.
    """
    runs = {os.path.join(folder, RECORD_FILE) for folder in list_run_folders(root, [])}
    below = (Path(place, RECORD_FILE) for place, folders, files in os.walk(root) if RECORD_FILE in (*folders, *files))
    return sorted(path for path in below if str(path) not in runs)


def require_outside_run(folder: Path) -> None:
    """Check that a folder for new runs does not lie in the folder of a run, where no command would find them.

    Raises:
        UserError: it does.
    """
    real = Path(os.path.realpath(folder))  # resolve() stops at a link that leads to itself
    for place in (real, *real.parents):
        if os.path.lexists(place / RECORD_FILE):
            raise UserError(
                f"{folder} lies in {place}, which is the folder of a run, where no command looks for other runs; "
                "name another folder with --out"
            )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, or to where nobody may look
        return False


def _find_stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def list_attempts(root: Path, run_stem: str) -> list[Path]:
    """List the folders of all attempts at one run, oldest first: ``stem``, ``stem.2``, ``stem.3`` ...

    Args:
        root: root of the store.
        run_stem: path of the first attempt below the root, for example ``digits/vit_nano-finetune-full-seed0-3f2a...``.
    """
    # the suffix starts at 2 and has no leading zero: "stem.1" and "stem.02" are not folders of this store
    pattern = re.compile(re.escape(Path(run_stem).name) + r"(?:\.([2-9]|[1-9]\d+))?")
    folder = (root / run_stem).parent
    found = [(m, p) for p in folder.glob("*") if p.is_dir() and (m := pattern.fullmatch(p.name))]
    # sort by number, not by name: as text, "stem.10" would come before "stem.9"
    return [path for _, path in sorted((int(match[1] or 1), path) for match, path in found)]


def claim_attempt_folder(root: Path, run_stem: str) -> Path:
    """Create the folder for a new attempt at a run and return it: no other process gets the same one.

    Args:
        root: root of the store.
        run_stem: path of the first attempt below the root.

    Raises:
        UserError: the store cannot be written.
    """
    ensure_writable_dir((root / run_stem).parent)
    while True:
        folder = next_attempt_folder(root, run_stem)
        try:
            folder.mkdir()
        except FileExistsError:
            # of another process that began in this moment; a file of that name would be in the way for ever
            if not folder.is_dir():
                raise
        else:
            return folder


def next_attempt_folder(root: Path, run_stem: str) -> Path:
    """Return the folder that a new attempt at a run would get; another process may take it first.

    Args:
        root: root of the store.
        run_stem: path of the first attempt below the root.
    """
    existing = list_attempts(root, run_stem)
    if not existing:
        return root / run_stem
    last = existing[-1].name.removeprefix(Path(run_stem).name)  # "" for the first attempt, ".2" for the second
    return (root / run_stem).with_name(f"{Path(run_stem).name}.{int(last[1:] or 1) + 1}")


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a run folder for this process while the context is active, creating the folder if it does not exist.

    What a killed process left unfinished in it is removed.

    Raises:
        FolderLockedError: another process has locked the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = take_file_lock(folder / LOCK_FILE, _LOCK_SECONDS)
    except Timeout as error:
        raise FolderLockedError(
            f"another process is working on {folder}; wait for it, or choose another --out"
        ) from error
    except OSError as error:
        raise UserError(f"cannot lock {folder} ({error.strerror or error}); make it writable") from error
    try:
        remove_owned_leftovers(folder)  # whoever left something unfinished there is gone
        yield
    finally:
        lock.release()


def is_folder_at_work(folder: Path) -> bool | None:
    """Return whether a process works on a run folder; ``None`` where that cannot be known.

    A record that says ``running`` in a folder that nobody works on is of a process that was killed, or of a machine
    that lost its power.

    Args:
        folder: the run's folder.
    """
    return is_file_locked(folder / LOCK_FILE)
