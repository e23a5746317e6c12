"""Many processes write records at once: none is lost, none is torn."""

from __future__ import annotations

from pathlib import Path

from results.records.record import Record
from results.records.store import scan_runs, write_record
from tests.fork_pool import open_fork_pool
from tests.results.make import make_record

WRITERS, PROCESSES, RECORDS = 2, 8, 12
"""Two commands of eight processes each; with 200 records each, by hand, it is 3,200."""


def write_some(job: tuple[Path, int, int]) -> None:
    root, process, count = job
    for number in range(count):
        folder = root / "digits" / f"{process}-{number}"
        folder.mkdir(parents=True)
        same = {"run_id": f"{process:08x}{number:08x}", "seed": number}
        write_record(folder, make_record(status="running", **same))
        write_record(folder, make_record(float(number), **same))


def look(job: tuple[Path, int]) -> list[str]:
    """A reader meanwhile."""
    root, times = job
    return [fault for _ in range(times) for fault in scan_runs([root]).errors]


def test_no_record_is_lost_or_torn(tmp_path: Path) -> None:
    jobs = [(tmp_path, process, RECORDS) for process in range(WRITERS * PROCESSES)]
    with open_fork_pool(WRITERS * PROCESSES + 1) as pool:
        reading = pool.map_async(look, [(tmp_path, 5)])
        pool.map(write_some, jobs, chunksize=1)
        assert reading.get() == [[]]
    found = scan_runs([tmp_path])
    assert not found.errors
    assert len(found.records) == WRITERS * PROCESSES * RECORDS
    assert all(value(each) == each.seed for _, each in found.records)
    assert not list(tmp_path.rglob("*.tmp"))


def value(found: Record) -> float:
    assert found.result is not None
    return found.result.metrics["top1"].value
