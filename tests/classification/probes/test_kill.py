"""A probe that is killed with SIGKILL, in the extraction and in the fits, ends with the number it would have had."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BENCH, ROOT, Bench
from tests.limits import HANG_SECONDS

# slow enough to be hit: few images at once, many strengths
WORDS = (
    *("run", "digits", "--backbone", "vit_pico", "--protocol", "linear", "--device", "cpu"),
    *("--set", "batch_size=4", "grid.count=150", "tolerance=1e-7"),
)


def extracting(cache: Path) -> bool:
    """Features of train or val are being written."""
    return any(path.name.startswith(".") for path in cache.glob("features/*")) and not fitting(cache)


def fitting(cache: Path) -> bool:
    """Features of train and val are whole, those of test not begun."""
    return len(list(cache.glob("features/*.json"))) == 2


def kill_when(there: Callable[[Path], bool], attempt: int, delay: float, out: Path, cache: Path) -> None:
    """Start the run, and kill it so many seconds after its attempt has got there."""
    child = subprocess.Popen(
        [BENCH, *WORDS, "--out", str(out)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "BENCH_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + HANG_SECONDS
    while not (list(out.rglob("record.json")) and only_record(out)["cost"]["attempts"] == attempt and there(cache)):
        assert child.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(delay)
    child.send_signal(signal.SIGKILL)
    assert child.wait(60) == -signal.SIGKILL


def only_record(out: Path) -> dict[str, Any]:
    (path,) = out.rglob("record.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@pytest.mark.soak
def test_kill_9_anywhere_gives_the_undisturbed_number(bench: Bench, tmp_path: Path) -> None:
    draw = random.Random(0)
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    for attempt, (there, reach) in enumerate(((extracting, 0.5), (fitting, 0.5)), 1):
        kill_when(there, attempt, draw.uniform(0, reach), cut, tmp_path / "cache of cut")
        record = only_record(cut)
        assert (record["status"], record["result"]) == ("running", None)
    for out in (cut, whole):
        done = bench(*WORDS, "--out", str(out), BENCH_CACHE=str(tmp_path / f"cache of {out.name}"))
        assert done.returncode == 0, done.stderr
    again, first = only_record(cut), only_record(whole)
    assert again["cost"]["attempts"] == 3
    assert again["run_id"] == first["run_id"]
    assert again["result"] == first["result"], "metrics, strength chosen and the hash of all outcomes"
