"""Rewrite the records of a folder in the current schema version: ``python -m results.records.migrate FOLDER``.

Records of earlier versions can be read without migration. Migrate a folder if its runs will be continued: afterwards
a run is found under the id that the same command has today, so its record is used instead of running it again.
Numbers and per-item files are not changed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from foundation.errors import BenchError, RecordError
from foundation.files import write_atomic
from results.records.record import SCHEMA_VERSION, dump_record
from results.records.store import RECORD_FILE, read_record


def migrate_store(root: Path) -> list[tuple[Path, Path]]:
    """Migrate every record below a folder that has an earlier schema version.

    Args:
        root: folder with runs below it.

    Returns:
        The path of each migrated run folder before and after. The two differ if the run's id has changed.

    Raises:
        RecordError: a record cannot be read, or the new folder already exists. Nothing of that run was changed.
    """
    migrated = []
    # rglob is sorted into a list first, so that renaming folders below does not disturb the walk
    for path in sorted(root.rglob(RECORD_FILE)):
        folder, record = path.parent, read_record(path.parent)
        if record.schema_version == SCHEMA_VERSION:
            continue
        # read_record returns the id of today; the folder is named after the id that is written in the file
        old_id = json.loads(path.read_text())["run_id"]
        target = folder.with_name(folder.name.replace(old_id, record.run_id))
        if target != folder and target.exists():
            raise RecordError(f"{folder} would be renamed to {target}, which already exists; move one of the two away")
        # write before renaming: a process killed in between leaves a valid record that is found by its content
        write_atomic(path, dump_record(record.model_copy(update={"schema_version": SCHEMA_VERSION})))
        folder.rename(target)
        migrated.append((folder, target))
    return migrated


def main(words: list[str]) -> int:
    """Migrate each of the named folders and return the exit code."""
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
