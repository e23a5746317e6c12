"""Long work in one process, and what it leaves behind: memory, open files, threads, handlers of loggers.

``python -m tests.faults.long_life`` does all of it at full length and prints a table.
"""

from __future__ import annotations

import gc
import io
import logging
import os
import re
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

import litevit_bench as bench
from benchmarks.cli.output import align_columns, write_stdout
from benchmarks.matrix.executors.executor import CellJob, CellResources
from benchmarks.matrix.run_in_worker import run_job
from benchmarks.resolve_cell import CellRequest
from benchmarks.task_registry import TASKS
from foundation.run_scope import open_run_scope
from tests.tracking.data.readers.make_sets import make_got10k_val

NUM_SCORED = 100
"""Sequences that are scored in one step."""

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

    def to_cells(self) -> tuple[str, ...]:
        """As a row of a table: memory at the end, and growths."""
        counts = (str(last - first) for last, first in zip(self.last[1:], self.first[1:], strict=True))
        files, threads, handlers, objects = counts
        return (
            self.name,
            f"{self.last.memory_mib:.1f}",
            f"{self.memory_mib:+.2f}",
            objects,
            files,
            threads,
            handlers,
        )


def take_footprint() -> Footprint:
    """What this process holds now, after a collection of garbage."""
    re.purge()  # Python keeps up to 512 patterns, some of them with the name of a run
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
    gc.collect()
    gc.freeze()  # what is here already is neither counted nor walked through
    try:
        for number in range(count):
            step(warm_up + number)
            if (number + 1) % every == 0:
                seen.append(tuple(take_footprint()))  # not the named one, which the collector would count
    finally:
        gc.unfreeze()
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


def make_scored_sequences(folder: Path, *, trackers: int = 1) -> Step:
    """``litevit_bench.score`` of sequences in GOT-10k's layout, of 40 frames each, with boxes made up."""
    root = make_got10k_val(folder / "data", (40,) * NUM_SCORED)
    results = folder / "results"
    for number in range(1, NUM_SCORED + 1):
        name = f"GOT-10k_Val_{number:06d}"
        (results / name).mkdir(parents=True)
        (results / name / f"{name}_001.txt").write_text("10,10,30,30\n" * 40)
    return lambda _: bench.score("got10k_val", [results] * trackers, data_root=root, partial=True)


def make_images(folder: Path, count: int) -> Path:
    """A folder of own images, 8 x 8 pixels in BMP files that all differ, half of them to test."""
    image = io.BytesIO()
    Image.new("RGB", (8, 8)).save(image, "BMP")
    start = image.getvalue()[:-16]
    for number in range(count):
        place = folder / ("train", "test")[number // 2 % 2] / ("even", "odd")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:06d}.bmp").write_bytes(start + number.to_bytes(16, "little"))
    return folder


def make_checks(images: Path) -> Step:
    """What ``bench check data`` does: list, hash and look at every image."""
    task = TASKS.get("imagefolder")

    def check_data(_: int) -> None:
        with open_run_scope(trusts_caches=False):
            task.check_data(images)

    return check_data


def measure_all(folder: Path) -> Iterator[Growth]:
    """All of it at full length."""
    make_worker_cells(folder / "first")(0)
    run = next((folder / "first").glob("digits/*"))
    yield measure_growth("200 evaluations", make_evaluations(run, folder / "evaluations"), 200, every=5, warm_up=5)
    yield measure_growth("40 trainings", make_worker_cells(folder / "cells"), 40, every=1, warm_up=5)
    yield measure_growth("60 k-NN cells", make_worker_cells(folder / "knn", "knn"), 60, every=2, warm_up=5)
    count = 2000 // NUM_SCORED
    yield measure_growth("2,000 sequences", make_scored_sequences(folder / "scores"), count, every=1, warm_up=2)
    images = make_images(folder / "images", 20_000)
    yield measure_growth("100,000 images", make_checks(images), 5, every=1, warm_up=1)


def main() -> None:
    """Print the table."""
    rows = [("work", "memory MiB", "growth MiB", "objects", "files", "threads", "handlers")]
    with tempfile.TemporaryDirectory() as name:
        os.environ["BENCH_CACHE"] = str(Path(name, "cache"))
        for growth in measure_all(Path(name)):
            rows.append(growth.to_cells())
            sys.stderr.write("  ".join(growth.to_cells()) + "\n")
    write_stdout(align_columns(rows))


if __name__ == "__main__":
    main()
