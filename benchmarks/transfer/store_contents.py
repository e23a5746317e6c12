"""List what a store holds that travels: runs, ledger, saved timings, analyses. Links are never followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from analysis.record import ANALYSIS_FILE
from analysis.store import ANALYSIS_FOLDER
from foundation.errors import RecordError, UserError
from results.records.ledger import LEDGER_FOLDER, find_store
from results.records.record import Record
from results.records.saved_timings import TIMINGS_FOLDER
from results.records.store import RECORD_FILE, iter_folders, read_record


class StoredFolder(NamedTuple):
    """A folder of a store that travels as a whole: that of a run or of an analysis.

    Attributes:
        folder: where it is.
        record: the record of a run; ``None`` for an analysis.
        files: its regular files by their path in it, with forward slashes, without hidden ones (locks, unfinished).
    """

    folder: Path
    record: Record | None
    files: dict[str, Path]

    @property
    def record_path(self) -> Path:
        """Return the path of the record."""
        return self.folder / (ANALYSIS_FILE if self.record is None else RECORD_FILE)


class StoreContents(NamedTuple):
    """A store.

    Attributes:
        root: the store.
        folders: runs and analyses by their path below the store, with forward slashes.
        single_files: chains of the ledger and saved timings by their path below the store.
    """

    root: Path
    folders: dict[str, StoredFolder]
    single_files: dict[str, Path]


class StoreScan(NamedTuple):
    """The stores at or below some folders, and one sentence for everything in them that cannot travel."""

    stores: list[StoreContents]
    faults: list[str]


def scan_stores(roots: Iterable[Path]) -> StoreScan:
    """List the contents of every store at or below some folders, in the order given; within one, by path.

    Raises:
        UserError: a root is not a folder.
    """
    stores: dict[Path, StoreContents] = {}
    faults: list[str] = []
    for root in roots:
        if not root.is_dir():
            raise UserError(f"there is no folder {root}; name a folder of runs")
        _scan_root(root.resolve(), stores, faults)
    return StoreScan(list(stores.values()), list(dict.fromkeys(faults)))  # a link may be found twice


def list_files(folder: Path, faults: list[str]) -> dict[str, Path]:
    """Return the regular files below a folder by their path in it; what is neither file nor folder is a fault.

    Args:
        folder: the folder.
        faults: takes one sentence for each link, device or pipe.
    """
    found: dict[str, Path] = {}
    for place, folders, names in os.walk(folder):
        here = Path(place)
        for name in sorted(folders):
            if (here / name).is_symlink():
                faults.append(_describe_link(here / name))
        # a link to a folder is not entered by os.walk; hidden files are locks and unfinished writes
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = here / name
            if name.startswith("."):
                continue
            if stat.S_ISREG(path.lstat().st_mode):
                found[path.relative_to(folder).as_posix()] = path
            else:
                faults.append(_describe_link(path))
    return found


def _scan_root(root: Path, stores: dict[Path, StoreContents], faults: list[str]) -> None:
    for found in iter_folders(root, faults):
        here = Path(found.folder)
        # what lies behind a link would be overlooked, and replaced without a word
        faults += [_describe_link(here / name) for name in found.linked_folders]
        if found.is_run:
            _add_run(here, stores, faults)
        elif here.name == LEDGER_FOLDER:
            _add_single_files(here, "*.jsonl", stores, faults)
        elif here.name == TIMINGS_FOLDER:
            _add_single_files(here, "*.json", stores, faults)
        elif here.parent.name == ANALYSIS_FOLDER and here != root and (here / ANALYSIS_FILE).is_file():
            _add_folder(here.parent.parent, StoredFolder(here, None, list_files(here, faults)), stores)


def _add_run(folder: Path, stores: dict[Path, StoreContents], faults: list[str]) -> None:
    if (folder / RECORD_FILE).is_symlink():
        faults.append(_describe_link(folder / RECORD_FILE))
        return
    try:
        record = read_record(folder)
    except RecordError as error:
        faults.append(str(error))
        return
    store = find_store(folder, record.task)
    if store is None:
        faults.append(f"{folder} does not lie in a store as TASK/NAME-RUNID; move it to {record.task}/ in its store")
        return
    _add_folder(store, StoredFolder(folder, record, list_files(folder, faults)), stores)


def _add_folder(store: Path, found: StoredFolder, stores: dict[Path, StoreContents]) -> None:
    name = PurePosixPath(found.folder.relative_to(store)).as_posix()
    stores.setdefault(store, StoreContents(store, {}, {})).folders[name] = found


def _add_single_files(folder: Path, pattern: str, stores: dict[Path, StoreContents], faults: list[str]) -> None:
    store = stores.setdefault(folder.parent, StoreContents(folder.parent, {}, {}))
    for path in sorted(folder.glob(pattern)):
        if path.name.startswith("."):
            continue
        if path.is_symlink() or not path.is_file():
            faults.append(_describe_link(path))
        else:
            store.single_files[f"{folder.name}/{path.name}"] = path


def _describe_link(path: Path) -> str:
    return f"{path} is a link or no regular file, and only files travel; put its content there, or remove it"
