"""``bench list runs`` and ``bench table --task`` on 100,000 made-up records of 100 backbones on 50 tasks.

``python -m tests.perf.store`` takes three minutes, most of them for making the records, and 2 GB of disk.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from unittest import mock

from benchmarks.cli.output import align_columns, write_stdout
from tests.perf.line import SpeedRatio
from tests.perf.table import measure_process
from tests.results.statistics.synthetic import write_synthetic_runs

RECORDS, BACKBONES, TASKS = 100_000, 100, 50

COMMANDS = (
    ("list", "runs"),
    ("list", "runs", "--json"),
    ("table", "--task", "task_03"),
)


def run_suite() -> list[SpeedRatio]:
    """CPU seconds and memory of each command, against its first time, when every record is read."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        # no command here reads the ledger, which would take most of the time to write
        with mock.patch("results.records.store.record_event"):
            write_synthetic_runs(runs, BACKBONES, TASKS, RECORDS)
        for run in runs.glob("*/*"):
            for name in ("checkpoints", "logs"):
                (run / name).mkdir()
        os.environ["BENCH_CACHE"] = f"{folder}/cache"
        first = _measure_command("list", "runs", str(runs))
        lines = []
        for words in COMMANDS:
            again = _measure_command(*words, str(runs))
            name = f"bench {' '.join(words)}, {RECORDS:,} records / list runs for the first time"
            lines += [
                SpeedRatio(name, again[0], first[0], "s of CPU"),
                SpeedRatio("its memory", again[1], first[1], "MiB"),
            ]
    return lines


def _measure_command(*words: str) -> tuple[float, float]:
    *command, runs = words
    return measure_process("-m", "litevit_bench", *command, "--runs", runs)


if __name__ == "__main__":
    write_stdout(align_columns([line.to_cells() for line in run_suite()]))
