"""Long work in one process, and what it leaves behind: memory, open files, threads, handlers of loggers.

``python -m tests.faults.long_life`` does all of it at full length and prints a table.
"""

from __future__ import annotations

import gc
import logging
import os
import statistics
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

import litevit_bench as bench
from benchmarks.cli.output import write_stdout
from benchmarks.matrix.executors.executor import CellJob, CellResources
from benchmarks.matrix.run_in_worker import run_job
from benchmarks.resolve_cell import CellRequest

Step = Callable[[int], object]
"""One piece of work, by its number; no two pieces are equal, so that no record answers for another."""


class Footprint(NamedTuple):
    """What a process holds: resident memory in MiB, and counts."""

    memory_mib: float
    files: int
    threads: int
    handlers: int
    objects: int


class Growth(NamedTuple):
    """The footprints of a long work, and how far the last third lies above the first: medians.

    The first third begins after the warm-up, in which libraries are imported and buffers reach their size.
    """

    name: str
    steps: int
    first: Footprint
    last: Footprint

    @property
    def memory_mib(self) -> float:
        """The growth of the memory in MiB."""
        return self.last.memory_mib - self.first.memory_mib


def take_footprint() -> Footprint:
    """What this process holds now, after a collection of garbage."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    return Footprint(
        memory_mib=pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        files=len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - a Path would hold a descriptor longer
        threads=threading.active_count(),
        handlers=sum(len(logger.handlers) for logger in loggers if isinstance(logger, logging.Logger)),
        objects=len(gc.get_objects()),
    )


def measure_growth(name: str, step: Step, count: int, *, every: int, warm_up: int) -> Growth:
    """Do a step many times, and look at the process after every so many."""
    for number in range(warm_up):
        step(number)
    seen = []
    for number in range(count):
        step(warm_up + number)
        if (number + 1) % every == 0:
            seen.append(take_footprint())
    third = max(1, len(seen) // 3)
    first, last = (
        Footprint(*(statistics.median(values) for values in zip(*part, strict=True)))
        for part in (seen[:third], seen[-third:])
    )
    return Growth(name, count, first, last)


def make_evaluations(run: Path, out: Path) -> Step:
    """``litevit_bench.evaluate`` of a finished run of ``digits``."""
    return lambda number: bench.evaluate(run, "digits", out=out, device="cpu", force_new=True)


def make_worker_cells(out: Path, protocol: str = "finetune") -> Step:
    """The loop of a sweep's worker: cells of ``digits`` that differ in their seed."""

    def run_cell(number: int) -> None:
        request = CellRequest(
            task="digits", backbone="vit_nano", protocol=protocol, tier="smoke", seed=number, out=out, device="cpu"
        )
        report = run_job(CellJob(number, request, CellResources(threads=1), out / "logs" / f"{number}.log"))
        assert report.failure is None, report.failure

    return run_cell


def make_scored_sequences(folder: Path, *, frames: int = 60) -> Step:
    """``litevit_bench.score`` of the 180 sequences of GOT-10k's validation set, with boxes made up."""
    random = np.random.default_rng(0)
    names = [f"GOT-10k_Val_{number:06d}" for number in range(1, 181)]
    home, results = folder / "data" / "got10k" / "val", folder / "results" / "tracker"
    for name in names:
        boxes = np.cumsum(random.integers(0, 3, (frames, 4)), axis=0) + [10, 10, 30, 30]
        (home / name).mkdir(parents=True)
        (results / name).mkdir(parents=True)
        np.savetxt(home / name / "groundtruth.txt", boxes, fmt="%.4f", delimiter=",")
        np.savetxt(results / name / f"{name}_001.txt", boxes + random.normal(size=boxes.shape), "%.4f", ",")
    (home / "list.txt").write_text("\n".join(names) + "\n")
    return lambda number: bench.score("got10k_val", [results], data_root=folder / "data")


def make_images(folder: Path, count: int) -> Path:
    """A folder of own images, 8 x 8 pixels in BMP files that all differ, half of them to test."""
    for split in ("train", "test"):
        for label in ("even", "odd"):
            (folder / split / label).mkdir(parents=True)
    head = Path(folder, "one.bmp")
    Image.new("RGB", (8, 8)).save(head)
    start = head.read_bytes()[:-16]
    head.unlink()
    for number in range(count):
        split, label = ("train", "test")[number // 2 % 2], ("even", "odd")[number % 2]
        (folder / split / label / f"{number:06d}.bmp").write_bytes(start + number.to_bytes(16, "little"))
    return folder


def measure_all(folder: Path) -> Iterator[Growth]:
    """All of it at full length, the table's rows."""
    seed_run = folder / "seed"
    make_worker_cells(seed_run)(0)
    run = next(seed_run.glob("digits/*"))
    yield measure_growth("evaluations", make_evaluations(run, folder / "evaluations"), 200, every=5, warm_up=5)
    yield measure_growth("trainings", make_worker_cells(folder / "cells"), 60, every=2, warm_up=4)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["BENCH_CACHE"] = str(Path(name, "cache"))
        for growth in measure_all(Path(name)):
            write_stdout(f"{growth}\n")


if __name__ == "__main__":
    main()
