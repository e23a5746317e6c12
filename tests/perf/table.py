"""``bench table``, its page and ``bench verify`` on 10,000 made-up records of 60 backbones on 12 tasks.

Each record has a per-item file, and the store a ledger.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import ROOT
from tests.perf.line import SpeedRatio
from tests.results.statistics.synthetic import write_synthetic_runs

RECORDS, BACKBONES, TASKS, ITEMS = 10_000, 60, 12, 359


def run_suite() -> list[SpeedRatio]:
    """CPU seconds and memory against reading the same files as bare JSON; the page's size against its records."""
    with tempfile.TemporaryDirectory() as folder:
        runs, page = Path(folder) / "runs", Path(folder) / "page"
        write_synthetic_runs(runs, BACKBONES, TASKS, RECORDS, ITEMS)
        read = f"[json.loads(p.read_bytes()) for p in pathlib.Path({str(runs)!r}).rglob('record.json')]"
        bare = measure_process("-c", f"import json, pathlib; {read}")
        os.environ["BENCH_CACHE"] = f"{folder}/cache"
        first = measure_process("-m", "litevit_bench", "table", "--runs", str(runs))
        text = measure_process("-m", "litevit_bench", "table", "--runs", str(runs))
        html = measure_process("-m", "litevit_bench", "table", "--runs", str(runs), "--html", str(page))
        verified = measure_process("-m", "litevit_bench", "verify", str(runs), allowed=(0, 1))  # made-up ones fail
        size = (page / "index.html").stat().st_size / 1e6
        records = sum(path.stat().st_size for path in runs.rglob("record.json")) / 1e6
    return [
        SpeedRatio(f"bench table, {RECORDS:,} records, first time / again", first[0], text[0], "s of CPU"),
        SpeedRatio("its memory, first time / again", first[1], text[1], "MiB"),
        SpeedRatio("bench table again / bare json.loads", text[0], bare[0], "s of CPU"),
        SpeedRatio("its memory / bare json.loads", text[1], bare[1], "MiB"),
        SpeedRatio("bench verify / bench table, first time", verified[0], first[0], "s of CPU"),
        SpeedRatio("its memory / bench table, first time", verified[1], first[1], "MiB"),
        SpeedRatio("bench table --html / bench table", html[0], text[0], "s of CPU"),
        SpeedRatio("its memory / bench table", html[1], text[1], "MiB"),
        SpeedRatio("page / its records", size, records, "MB"),
    ]


# Linux counts the memory of a process from before its program is loaded, when it still is a copy of the one that starts
# it: every child of this process would have at least the peak of this one. So a small process starts it.
_STARTER = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
"""


def measure_process(*command: str, allowed: tuple[int, ...] = (0,)) -> tuple[float, float]:
    """CPU seconds (a busy machine moves them less than wall time) and peak MiB of a whole Python process alone."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _STARTER, sys.executable, *command],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        check=True,
    )
    code, seconds, mebibytes = done.stdout.split()
    if int(code) not in allowed:
        raise RuntimeError(f"{' '.join(command[:3])} ended with code {code}")
    return float(seconds), float(mebibytes)
