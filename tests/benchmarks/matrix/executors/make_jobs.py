"""Real cells of about a second for the tests of the executors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.matrix.executors.executor import CellJob, CellResources
from benchmarks.resolve_cell import CellRequest
from results.records.store import read_record
from tests.limits import HANG_SECONDS

ONE_THREAD = CellResources()


def make_job(
    out: Path, number: int = 0, protocol: str = "knn", seed: int = 0, resources: CellResources = ONE_THREAD
) -> CellJob:
    """A cell of digits with a small backbone; ``out`` must exist."""
    request = CellRequest(
        "digits", "vit_pico", protocol=protocol, checkpoint="random", tier="smoke", seed=seed, out=out, device="cpu"
    )
    return CellJob(number, request, resources, out / "logs" / f"{number}.log")


def read_outcome(folder: Path | None) -> tuple[str, Any, Any]:
    """What must be the same wherever a cell runs: the id, the metrics, and the digest of the per-item file."""
    assert folder is not None
    record = read_record(folder)
    assert record.status == "complete"
    assert record.result is not None
    return record.run_id, record.result.metrics, record.result.items


def wait_until(condition: Callable[[], Any], seconds: float = HANG_SECONDS) -> Any:
    """The first true value of a condition."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError("the condition did not become true")


def list_processes(word: str) -> list[int]:
    """The ids of the processes below this one whose command line contains a word; never those of another test run."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            # the name of the program, in parentheses, may contain spaces
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        if word in line:
            found.append(int(folder.name))
    return [process for process in found if os.getpid() in iterate_parents(process, parents)]


def iterate_parents(process: int, parents: Mapping[int, int]) -> Iterator[int]:
    """The processes above one, from the nearest."""
    while process := parents.get(process, 0):
        yield process
