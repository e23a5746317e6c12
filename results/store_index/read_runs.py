"""Read what the records of stores say; those that were read before and have not changed are not opened."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from foundation.errors import RecordError
from foundation.storage.fault_isolation import convert_faults
from results.records.record import Record
from results.records.store import RECORD_FILE, FoundFolder, iter_folders, read_record_stat, require_store
from results.store_index.facts_memo import FactsMemo, has_settled, pack_state
from results.store_index.run_facts import encode_run

_BATCH = 500
"""So many records are looked up at once."""


class ReadRun(NamedTuple):
    """A readable record.

    Attributes:
        folder: folder of the run, as a scan of the store gives it.
        lines: what the record says (``encode_run``).
        record: the record, if it had to be read.
    """

    folder: str
    lines: bytes
    record: Record | None


def iter_runs(roots: Iterable[Path], errors: list[str]) -> Iterator[ReadRun]:
    """Yield what the records of some stores say, in the order of a scan.

    Every store is walked through anew, and every record's file is looked at.

    Args:
        roots: the stores.
        errors: takes one sentence for each folder that cannot be listed and each record that cannot be read; complete
            at the end.

    Raises:
        UserError: a store does not exist.
    """
    with FactsMemo() as memo:
        for root in roots:
            require_store(root)
            unlisted: list[str] = []
            unread: list[str] = []
            reader = _StoreReader(root, memo, unread)
            found = (folder for folder in iter_folders(root, unlisted) if folder.is_run)
            while batch := list(islice(found, _BATCH)):
                yield from reader.iter_batch(batch)
            errors += unlisted + unread


class _StoreReader:
    """Reads the records of one store.

    Args:
        root: the store.
        memo: what was read before.
        errors: takes one sentence for each record that cannot be read.
    """

    def __init__(self, root: Path, memo: FactsMemo, errors: list[str]) -> None:
        self._root, self._real_root = str(root), os.path.realpath(root)
        self._memo, self._errors = memo, errors

    def iter_batch(self, batch: Sequence[FoundFolder]) -> Iterator[ReadRun]:
        """Yield what the records in some folders say."""
        paths = [self._resolve_path(found.folder) for found in batch]
        # the walk has looked at these files before, so a change since then shows in the next command
        states = [(path, found.record_stat) for path, found in zip(paths, batch, strict=True)]
        known = self._memo.find_lines([(path, state) for path, state in states if state is not None])
        for path, found in zip(paths, batch, strict=True):
            lines = known.get(path)
            if lines is not None:
                yield ReadRun(found.folder, lines, None)
            elif (run := self._read_run(path, found.folder)) is not None:
                yield run

    def _read_run(self, path: str, folder: str) -> ReadRun | None:
        now = time.time()
        try:
            record, record_stat = read_record_stat(Path(folder))
            with convert_faults(f"cannot list the run in {folder}"):
                lines = encode_run(record)
        except RecordError as error:
            self._errors.append(str(error))
            return None
        if has_settled(record_stat, now):
            self._memo.keep_lines(path, pack_state(record_stat), lines)
        return ReadRun(folder, lines, record)

    def _resolve_path(self, folder: str) -> str:
        """Return the path of a record by which the memo knows it, whatever path leads to the store."""
        below = folder[len(self._root) :] if self._root != "." else f"{os.sep}{folder}" if folder != "." else ""
        return f"{self._real_root}{below}{os.sep}{RECORD_FILE}"
