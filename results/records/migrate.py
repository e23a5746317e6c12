"""Rewrite the records of a folder in the current schema version: ``python -m results.records.migrate FOLDER``.

Records of earlier versions can be read without migration. Afterwards each has the names of today and lies in the folder
of its id. Numbers and per-item files are not changed. A record of a schema version before 5 holds no digest of the
network, which is part of the id of a run today: the same command makes that run again, migrated or not, and on the
boards the new run then counts instead of the old one.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from foundation.display_text import escape_controls
from foundation.errors import BenchError, RecordError, UserError
from foundation.files import sha256_file, write_atomic
from results.records.ledger import ReplacedRecord, record_event
from results.records.record import PRETRAINING_DOMAIN, SCHEMA_VERSION, Record, StatisticRecord, dump_record
from results.records.store import RECORD_FILE, list_run_folders, read_record
from results.statistics.item_files import DEFAULT_AREAS_ENTRY, GZIP_SUFFIX, list_item_files
from results.statistics.legacy_statistics import CLASSIFICATION_COLUMNS, infer_legacy_statistic


def migrate_store(root: Path) -> Iterator[tuple[Path, Path]]:
    """Migrate every record below a folder that has an earlier schema version.

    Args:
        root: folder with runs below it.

    Yields:
        The path of each migrated run folder before and after. The two differ if the run's id has changed.

    Raises:
        UserError: there is no such folder.
        RecordError: a record cannot be read, or the new folder already exists. Nothing of that run was changed.
    """
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; name one with runs below it")
    faults: list[str] = []
    folders = list_run_folders(root, faults)  # all of them first, so that renaming does not disturb the walk
    if faults:
        raise RecordError(faults[0])
    for folder in folders:
        path, record = folder / RECORD_FILE, read_record(folder)
        if record.schema_version == SCHEMA_VERSION:
            continue
        # read_record returns the id of today; the folder is named after the id that is written in the file
        old_id = json.loads(path.read_text())["run_id"]
        target = folder.with_name(folder.name.replace(old_id, record.run_id))
        if target != folder and target.exists():
            raise RecordError(f"{folder} would be renamed to {target}, which already exists; move one of the two away")
        migrated_record = add_legacy_statistics(folder, record)
        # rename before writing: a process killed in between leaves a record of the old version, which the next
        # migration finds and completes (the new name does not contain the old id, so it stays)
        before = ReplacedRecord(folder=f"{record.task}/{folder.name}", record_sha256=sha256_file(path))
        folder.rename(target)
        migrated_record = migrated_record.model_copy(update={"schema_version": SCHEMA_VERSION})
        write_atomic(target / RECORD_FILE, dump_record(migrated_record))
        record_event(target, migrated_record, before)
        yield folder, target


def add_legacy_statistics(folder: Path, record: Record) -> Record:
    """Return a record of schema 1 to 3 with the statistic of each metric, as ``infer_legacy_statistic`` gives it.

    From schema 4 on, nothing is inferred any more, so a migrated record has to state its statistics.
    """
    # the metrics of a pre-training are the last values of its curve, not statistics of items
    if record.result is None or record.domain == PRETRAINING_DOMAIN:
        return record
    metrics = record.result.metrics
    path = next(iter(list_item_files(folder, record)))
    if path.is_file():
        # the header is enough: only the names of the columns decide
        opener = gzip.open if path.suffix == GZIP_SUFFIX else open
        with opener(path, "rt", newline="", encoding="utf-8") as table:
            columns = {*next(csv.reader(table), ())}
    else:  # the table may be copied here later; until then, a metric in percent is taken for the mean of its own column
        columns = {*CLASSIFICATION_COLUMNS, *(name for name, metric in metrics.items() if metric.unit == "%")}
    has_areas = isinstance(record.result.details.get(DEFAULT_AREAS_ENTRY), dict)
    stated = {}
    for name, metric in metrics.items():
        found = infer_legacy_statistic(name, columns, has_areas)
        statistic = StatisticRecord.from_statistic(found) if found else None
        stated[name] = metric.model_copy(update={"statistic": metric.statistic or statistic})
    return record.model_copy(update={"result": record.result.model_copy(update={"metrics": stated})})


def main(words: list[str]) -> int:
    """Migrate each of the named folders and return the exit code."""
    if not words:
        sys.stderr.write("name one folder or more with runs below: python -m results.records.migrate FOLDER ...\n")
        return 2
    for word in words:
        try:
            for before, after in migrate_store(Path(word)):
                sys.stdout.write(escape_controls(f"{before} -> {after.name}\n"))
        except BenchError as error:
            sys.stderr.write(escape_controls(f"{error}\n"))
            return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
