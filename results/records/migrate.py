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
from typing import Any

from foundation.errors import BenchError, RecordError
from foundation.files import write_atomic
from results.records.record import SCHEMA_VERSION, Record, StatisticRecord, dump_record
from results.records.store import RECORD_FILE, read_record
from results.statistics.item_files import DEFAULT_AREAS_ENTRY
from results.statistics.legacy_statistics import infer_legacy_statistic


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
        write_atomic(path, dump_record(_complete_record(folder, record)))
        folder.rename(target)
        migrated.append((folder, target))
    return migrated


def _complete_record(folder: Path, record: Record) -> Record:
    """The record as version 4, with the statistic of each metric, which version 3 left to a fixed list of names."""
    changes: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    if record.result is not None:
        with (folder / record.result.items.file).open(newline="") as table:
            columns = next(csv.reader(table))
        has_areas = isinstance(record.result.details.get(DEFAULT_AREAS_ENTRY), dict)
        metrics = {}
        for name, metric in record.result.metrics.items():
            statistic = infer_legacy_statistic(name, columns, has_areas)
            stored = StatisticRecord.from_statistic(statistic) if statistic else None
            metrics[name] = metric.model_copy(update={"statistic": stored})
        changes["result"] = record.result.model_copy(update={"metrics": metrics})
    return record.model_copy(update=changes)


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
