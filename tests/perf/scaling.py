"""How cost grows with size: CPU seconds and peak memory of commands on 10^3, 10^4 and 10^5 images, records and more.

``python -m tests.perf.scaling [PART ...] [--sizes N ...]`` prints one line per command and size, each measured in a
process of its own; a cost that grows in step with the size has the same microseconds per item in each line of a
command. 10^5 records take 2 GB of disk and some minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from benchmarks.cli.output import align_columns, write_message, write_stdout
from tests.conftest import ROOT

SIZES = (1_000, 10_000, 100_000)
BACKBONES, TASKS = 60, 12
FRAMES = 50
"""Frames of a made-up sequence."""


class Measured(NamedTuple):
    """CPU seconds of a command, all its threads together, and the most memory that it held."""

    seconds: float
    mebibytes: float


# --- what runs in a process of its own


def run_command(words: list[str]) -> None:
    """Run ``bench`` with its output sent to nowhere; a verification of made-up records fails, as it should."""
    from benchmarks.cli.main import main

    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, mock.patch("sys.stdout", nowhere):
        if main(words) not in (0, 1):
            raise SystemExit(f"bench {' '.join(words)} failed")


def score_sequences(words: list[str]) -> None:
    """Score made-up boxes of as many sequences as asked for by LaSOT's rules."""
    import numpy as np

    from tracking.scoring.ground_truth import SequenceGroundTruth
    from tracking.scoring.rules import LASOT_OFFICIAL
    from tracking.scoring.score import score_tracker

    generator = np.random.default_rng(0)
    truths, boxes = [], {}
    for number in range(int(words[0])):
        name = f"thing-{number}"
        box = generator.uniform(10, 90, (FRAMES, 4))
        truths.append(SequenceGroundTruth(name, box, np.zeros(FRAMES, bool)))
        boxes[name] = [box + generator.uniform(-5, 5, (FRAMES, 4))]
    began = time.process_time()
    score_tracker("made up", boxes, truths, LASOT_OFFICIAL, partial=True)
    write_message(f"score_tracker alone: {time.process_time() - began:.2f} s")


def write_records(words: list[str]) -> None:
    """Write a store of made-up records; ``items`` rows in each per-item file, 0 for none."""
    from tests.results.statistics.synthetic import write_synthetic_runs

    folder, backbones, records, items = words
    # the ledger is written by a process of its own for each record, which would take most of the time
    with mock.patch("results.records.store.record_event"):
        write_synthetic_runs(Path(folder), int(backbones), TASKS, int(records), int(items))


def write_images(words: list[str]) -> None:
    """Write images of 16 x 16 pixels in ten classes and three splits, no two of them equal."""
    import numpy as np
    from PIL import Image

    folder, count = Path(words[0]), int(words[1])
    generator = np.random.default_rng(0)
    for split, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
        for label in range(10):
            home = folder / "imagefolder" / split / f"class_{label}"
            home.mkdir(parents=True)
            for number in range(int(count * share / 10)):
                pixels = generator.integers(0, 256, (16, 16, 3), np.uint8)
                Image.fromarray(pixels).save(home / f"{number:06d}.png", compress_level=1)


CHILDREN: dict[str, Callable[[list[str]], None]] = {
    "bench": run_command,
    "score": score_sequences,
    "records": write_records,
    "images": write_images,
}


def measure_child(kind: str, *words: object) -> Measured:
    """Run one of ``CHILDREN`` in a process of its own, with what it starts itself."""
    command = [sys.executable, "-m", "tests.perf.scaling", "--child", kind, *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr[-1000:]}")
    return Measured(*json.loads(done.stdout.splitlines()[-1]))


def report_cost() -> None:
    """Write CPU seconds and peak memory of this process.

    ``VmHWM`` belongs to the program alone; ``ru_maxrss`` starts from the memory of the process that has started it.
    """
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    times = os.times()
    cost = times.user + times.system + times.children_user + times.children_system
    sys.__stdout__.write(json.dumps([cost, int(peak[1]) / 1024 if peak else 0.0]) + "\n")  # type: ignore[union-attr]


# --- the parts


def measure_records(folder: Path, size: int) -> Iterator[tuple[str, Measured]]:
    """Stores of as many records: 60 backbones on 12 tasks, more seeds with more records."""
    runs = folder / "runs"
    measure_child("records", runs, BACKBONES, size, 20)
    yield "list runs, first time", measure_child("bench", "list", "runs", "--runs", runs)
    yield "list runs", measure_child("bench", "list", "runs", "--runs", runs)
    yield "table, first time", measure_child("bench", "table", "--runs", runs)
    yield "table", measure_child("bench", "table", "--runs", runs)
    yield "table --html", measure_child("bench", "table", "--runs", runs, "--html", folder / "page")
    yield "verify", measure_child("bench", "verify", runs)


def measure_rows(folder: Path, size: int) -> Iterator[tuple[str, Measured]]:
    """Stores of as many records with three seeds each: more rows with more records."""
    runs = folder / "runs"
    measure_child("records", runs, max(1, size // TASKS // 3), size, 20)
    yield "table of many rows, first time", measure_child("bench", "table", "--runs", runs)
    yield "table of many rows", measure_child("bench", "table", "--runs", runs)
    yield "table --html of many rows", measure_child("bench", "table", "--runs", runs, "--html", folder / "page")


def measure_cells(folder: Path, size: int) -> Iterator[tuple[str, Measured]]:
    """A plan of as many cells: more seeds."""
    seeds = [str(seed) for seed in range(size // 2)]
    words = ("--tasks", "digits", "--backbones", "vit_nano", "vit_pico", "--protocols", "knn", "--out", folder / "runs")
    measure_child("bench", "plan", *words)  # describes the two models once
    yield "plan", measure_child("bench", "plan", *words, "--seeds", *seeds)


def measure_items(folder: Path, size: int) -> Iterator[tuple[str, Measured]]:
    """Two backbones with three seeds on one task of as many test items."""
    runs = folder / "runs"
    measure_child("records", runs, 2, 2 * TASKS * 3, size)
    one = ("--runs", runs / "task_00")
    yield "table, items, first time", measure_child("bench", "table", *one)
    yield "compare, items", measure_child("bench", "compare", "backbone_00", "backbone_01", *one)
    yield "verify, items", measure_child("bench", "verify", runs / "task_00")


def measure_images(folder: Path, size: int) -> Iterator[tuple[str, Measured]]:
    """A folder of as many images of 16 x 16 pixels."""
    measure_child("images", folder / "data", size)
    data = ("--data-root", folder / "data")
    yield "check data, first time", measure_child("bench", "check", "data", "imagefolder", *data)
    yield "check data", measure_child("bench", "check", "data", "imagefolder", *data)
    words = ("--backbone", "vit_pico", "--protocol", "knn", "--set", "img_size=32", "--device", "cpu")
    yield "run, knn", measure_child("bench", "run", "imagefolder", *words, *data, "--out", folder / "runs")
    yield "run, knn, answered", measure_child("bench", "run", "imagefolder", *words, *data, "--out", folder / "runs")


def measure_sequences(folder: Path, size: int) -> Iterator[tuple[str, Measured]]:
    """Scores of a tracker on as many sequences of 50 frames."""
    yield "score_tracker", measure_child("score", size)


PARTS = {
    "records": measure_records,
    "rows": measure_rows,
    "cells": measure_cells,
    "items": measure_items,
    "images": measure_images,
    "sequences": measure_sequences,
}


def main() -> None:
    """Measure the parts that were named, or all of them."""
    if sys.argv[1:2] == ["--child"]:
        CHILDREN[sys.argv[2]](sys.argv[3:])
        report_cost()
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args()
    rows: list[tuple[str, ...]] = [("what", "size", "CPU s", "us per item", "MiB")]
    for part in options.parts or PARTS:
        for size in options.sizes:
            with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, BENCH_CACHE=f"{folder}/cache"):
                for name, cost in PARTS[part](Path(folder), size):
                    each = f"{1e6 * cost.seconds / size:,.0f}"
                    rows.append((name, f"{size:,}", f"{cost.seconds:.2f}", each, f"{cost.mebibytes:,.0f}"))
                    write_message("  ".join(rows[-1]))
    write_stdout(align_columns(rows))


if __name__ == "__main__":
    main()
