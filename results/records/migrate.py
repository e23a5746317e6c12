"""Write the records of a folder in today's schema version: ``python -m results.records.migrate FOLDER``.

Reading a record of an earlier version needs no migration. It is for folders of runs that go on: after it, a run is
found under the id that the same command has today, and is answered from its record instead of being run again.
Numbers and per-item files are not touched.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

from foundation.errors import BenchError, RecordError
from foundation.files import write_atomic
from results.records.record import PRETRAINING_DOMAIN, SCHEMA_VERSION, Record, StatisticRecord, dump_record
from results.records.store import RECORD_FILE, read_record
from results.statistics.item_files import DEFAULT_AREAS_ENTRY, list_item_files
from results.statistics.legacy_statistics import CLASSIFICATION_COLUMNS, infer_legacy_statistic


def migrate_store(root: Path) -> list[tuple[Path, Path]]:
    """Migrate every record below a folder that has an earlier schema version.

    Args:
        root: folder with runs below it.

    Returns:
        The run folders that were migrated, before and after; they differ where the id did.

    Raises:
        RecordError: a record cannot be read, or the new folder is there already; nothing of that run was changed.
    """
    migrated = []
    for path in sorted(root.rglob(RECORD_FILE)):
        folder, record = path.parent, read_record(path.parent)
        if record.schema_version == SCHEMA_VERSION:
            continue
        # read_record gives the id of today; the folder's name has the one that stands in the file
        old_id = json.loads(path.read_text())["run_id"]
        target = folder.with_name(folder.name.replace(old_id, record.run_id))
        if target != folder and target.exists():
            raise RecordError(f"{folder} would become {target}, which is there already; move one of the two away")
        migrated_record = add_legacy_statistics(folder, record)
        write_atomic(path, dump_record(migrated_record.model_copy(update={"schema_version": SCHEMA_VERSION})))
        folder.rename(target)
        migrated.append((folder, target))
    return migrated


def add_legacy_statistics(folder: Path, record: Record) -> Record:
    """A record of schema 1 to 3 whose metrics say how they follow from items; from schema 4 on nothing is inferred."""
    if record.result is None or record.domain == PRETRAINING_DOMAIN:
        return record
    metrics = record.result.metrics
    path = next(iter(list_item_files(folder, record)))
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as table:
            columns = {*next(csv.reader(table), ())}
    else:  # it may be fetched later: until then a metric in percent counts as the mean of the column of its name
        columns = {*CLASSIFICATION_COLUMNS, *(name for name, metric in metrics.items() if metric.unit == "%")}
    has_areas = isinstance(record.result.details.get(DEFAULT_AREAS_ENTRY), dict)
    stated = {}
    for name, metric in metrics.items():
        found = infer_legacy_statistic(name, columns, has_areas)
        statistic = StatisticRecord.from_statistic(found) if found else None
        stated[name] = metric.model_copy(update={"statistic": metric.statistic or statistic})
    return record.model_copy(update={"result": record.result.model_copy(update={"metrics": stated})})


def main(words: list[str]) -> int:
    """Migrate each folder that is named; returns the exit code."""
    for word in words:
        try:
            for before, after in migrate_store(Path(word)):
                sys.stdout.write(f"{before} -> {after.name}\n")
        except BenchError as error:
            sys.stderr.write(f"{error}\n")
            return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
