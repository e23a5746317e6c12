"""Take finished runs into ``results/reference_runs``, and write its table again.

``python -m tests.results.collect_reference_runs runs`` copies the complete runs of a store, each record as it is and
its per-item files compressed. What does not belong into a published record is refused: code that was not committed, and
folders of the machine that made it. Nothing that is there already is changed.
"""

from __future__ import annotations

import gzip
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from results.leaderboard.render.markdown import to_markdown
from results.leaderboard.report import build_report
from results.records.record import PRETRAINING_DOMAIN, Record
from results.records.store import RECORD_FILE, scan_runs
from results.statistics.item_files import GZIP_SUFFIX, list_item_files, read_verified_file
from tests.conftest import ROOT

REFERENCE = Path("results") / "reference_runs"
"""The store, from the folder of the checkout: commands in the table name the folder as it was given."""

TABLE_FILE = "table.md"

_ROOTED = re.compile(r'"(?:[^"]*=)?(?:/|~|[A-Za-z]:[\\/])[^"]*"')
"""A text in a record that is a path from the root of a machine, or a setting ``KEY=PATH`` with one."""


def find_machine_paths(text: str) -> list[str]:
    """Texts of a record that name a folder of one machine.

    >>> find_machine_paths('["bench", "--out", "/home/ann/runs", "runs/pretrain/a", "teacher=/x.pth"]')
    ['"/home/ann/runs"', '"teacher=/x.pth"']
    """
    return _ROOTED.findall(text)


def find_fault(folder: Path, record: Record) -> str | None:
    """Why a run cannot be taken; ``None`` if it can."""
    if record.status != "complete" or record.tier == "smoke":
        return f"it is {record.status}, tier {record.tier}"
    if record.environment.git_dirty is not False:
        return "it was made by code that is not committed"
    paths = find_machine_paths((folder / RECORD_FILE).read_text())
    return f"it names {', '.join(paths)}" if paths else None


def collect_runs(runs: Path, target: Path) -> Iterator[str]:
    """Copy runs; yields one line for each that was taken, or was not."""
    for folder, record in scan_runs([runs]).records:
        place = target / record.task / folder.name
        if (place / RECORD_FILE).exists() or record.domain == PRETRAINING_DOMAIN:
            continue
        if fault := find_fault(folder, record):
            yield f"left out {folder}: {fault}"
            continue
        place.mkdir(parents=True, exist_ok=True)
        for path, sha256 in list_item_files(folder, record).items():
            content = read_verified_file(path, sha256)
            # without the time and the name of the file, equal tables are equal files
            packed = gzip.compress(content, mtime=0)
            (place / f"{path.name.removesuffix(GZIP_SUFFIX)}{GZIP_SUFFIX}").write_bytes(packed)
        (place / RECORD_FILE).write_bytes((folder / RECORD_FILE).read_bytes())
        yield f"taken: {place}"


def render_table() -> str:
    """The table of the committed records; the current folder has to be that of the checkout."""
    return to_markdown(build_report(scan_runs([REFERENCE]))).strip() + "\n"


def main() -> None:
    """Collect the runs of the stores that the command line names, and write the table."""
    stores = [Path(word).absolute() for word in sys.argv[1:]]
    os.chdir(ROOT)
    for store in stores:
        for line in collect_runs(store, REFERENCE):
            print(line)  # noqa: T201
    (REFERENCE / TABLE_FILE).write_text(render_table(), encoding="utf-8")


if __name__ == "__main__":
    main()
