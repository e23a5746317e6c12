"""Sweeps: two workers against one, a shared feature pass against a probe alone, and what the driver adds per cell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.perf.line import SpeedRatio

SIXTY_CELLS = """
[[cells]]
tasks = ["digits"]
protocols = ["knn", "linear", "lowshot"]
backbones = {backbones}
seeds = [0, 1]

[[cells]]
tasks = ["digits", "mini_ade"]
backbones = {backbones}
seeds = [0, 1]
tier = "smoke"
"""
BACKBONES = ("vit_small", "vit_nano", "vit_micro", "vit_tiny", "vit_tiny_rpe", "deit_tiny@random")


def run_suite() -> list[SpeedRatio]:
    """The three ratios; 60 cells take minutes."""
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "suite.toml"
        suite.write_text(SIXTY_CELLS.format(backbones=json.dumps(BACKBONES)))
        two, one = (_sweep(Path(folder) / slots, "--file", str(suite), "--slots", slots)[0] for slots in ("2", "1"))
    return [SpeedRatio("sweep of 60 cells, 2 workers / 1 worker", two, one, "s"), _time_shared_pass(), _time_overhead()]


def _time_shared_pass() -> SpeedRatio:
    """Seconds of the cells themselves: k-NN, linear probe and low-shot together against the linear probe alone."""
    words = ("--tasks", "digits", "--backbones", "vit_tiny", "--slots", "1", "--protocols")
    with tempfile.TemporaryDirectory() as folder:
        together, alone = (
            sum(event["seconds"] for event in _sweep(Path(folder) / name, *words, *protocols)[1])
            for name, protocols in (("all", ("knn", "linear", "lowshot")), ("linear", ("linear",)))
        )
    return SpeedRatio("k-NN + linear + low-shot / linear alone", together, alone, "s")


def _time_overhead() -> SpeedRatio:
    """Wall time per cell between the first and the last event against the seconds that the cells took."""
    words = ("--tasks", "digits", "--backbones", "vit_pico", "--protocols", "knn", "--slots", "1", "--seeds")
    with tempfile.TemporaryDirectory() as folder:
        _, events = _sweep(Path(folder), *words, *map(str, range(40)))
    # the first cell also waits for the libraries
    wall = events[-1]["at"] - events[0]["at"]
    return SpeedRatio(
        "sweep, per cell / the cell itself", wall / (len(events) - 1), sum(e["seconds"] for e in events[1:]) / 39, "s"
    )


def _sweep(folder: Path, *words: str) -> tuple[float, list[dict[str, Any]]]:
    """Seconds of a whole sweep with an empty cache, and its finished cells with the time of each event."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "litevit_bench", "sweep", *words, "--out", str(folder / "runs"), "--json"],
        env=os.environ | {"BENCH_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        events = [json.loads(line) | {"at": time.perf_counter()} for line in process.stdout]
    assert process.returncode == 0, events[-1]
    return time.perf_counter() - began, [event for event in events if event["event"] == "finished"]
