"""A cell in a worker: whatever it does is a report, and nothing of it stays in the process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.matrix.executors.executor import CellJob, CellReport, CellResources
from benchmarks.matrix.run_in_worker import run_job
from benchmarks.resolve_cell import CellRequest
from foundation.errors import UserError

OPEN_FILES = Path("/proc/self/fd")
"""Where Linux shows the open files of a process."""
from tests.conftest import ROOT
from tests.limits import HANG_SECONDS


def count_open_files() -> int:
    """The number of open files; 0 where there is no such list."""
    return len(list(OPEN_FILES.iterdir())) if OPEN_FILES.is_dir() else 0


def run_code(patch: pytest.MonkeyPatch, folder: Path, code: Callable[[], object]) -> CellReport:
    """The report of a cell that does nothing but this."""
    request = CellRequest("digits", "vit_pico", "knn", tier="smoke", device="cpu", out=folder)

    def run_cell(_: CellRequest) -> Any:
        code()
        raise UserError("it went on")

    patch.setattr("benchmarks.run_cell.run_cell", run_cell)
    return run_job(CellJob(3, request, CellResources(threads=1), folder / "logs" / "3.log"))


def test_a_cell_that_calls_exit_is_a_failed_cell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    report = run_code(monkeypatch, tmp_path, lambda: sys.exit(0))
    assert report.failure == "unexpected SystemExit: 0"
    assert not report.is_retryable


def test_an_interrupt_is_no_failure_of_the_cell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_code(monkeypatch, tmp_path, interrupt)


def test_output_that_cannot_be_written_is_a_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    before = count_open_files()
    report = run_code(monkeypatch, tmp_path, lambda: None)
    assert report.failure is not None
    assert report.failure.startswith("the output of the cell cannot be written to ")
    assert report.is_retryable
    assert count_open_files() == before


@pytest.mark.parametrize(
    ("change", "restore"),
    [
        (lambda: torch.set_default_dtype(torch.float64), lambda: torch.set_default_dtype(torch.float32)),
        (lambda: torch.set_grad_enabled(False), lambda: torch.set_grad_enabled(True)),
        (lambda: torch.set_float32_matmul_precision("medium"), lambda: torch.set_float32_matmul_precision("highest")),
        (lambda: np.seterr(all="raise"), lambda: np.seterr(all="warn", under="ignore")),
        (lambda: os.environ.__setitem__("BENCH_DATA", "/elsewhere"), lambda: os.environ.pop("BENCH_DATA")),
    ],
    ids=["dtype", "gradients", "precision", "numpy", "variables"],
)
def test_a_cell_that_leaves_settings_behind_says_so(
    change: Callable[[], object], restore: Callable[[], object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Measured: k-NN after a plug-in that had set float64 failed, and other cells would have had other numbers."""
    monkeypatch.delenv("BENCH_DATA", raising=False)
    assert not run_code(monkeypatch, tmp_path, lambda: None).ends_process
    try:
        report = run_code(monkeypatch, tmp_path, change)
    finally:
        restore()
    assert report.is_process_changed
    assert report.ends_process


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="needs the list of open files of Linux")
def test_a_training_leaves_no_file_open_and_its_process_usable(tmp_path: Path) -> None:
    """Two files per cell would end a long sweep at the limit of 1,024."""
    request = CellRequest("digits", "vit_pico", "finetune", tier="smoke", device="cpu", out=tmp_path)
    report = run_job(CellJob(0, request, CellResources(threads=1), tmp_path / "logs" / "0.log"))
    assert report.failure is None
    assert not report.ends_process
    opened = [link.resolve() for link in OPEN_FILES.iterdir()]
    assert not [path for path in opened if path.is_relative_to(tmp_path.resolve())]


def test_a_worker_ends_with_a_driver_that_is_killed() -> None:
    code = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from benchmarks.matrix.run_in_worker import end_with_driver
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), end_with_driver)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(code)
        script.flush()
        with subprocess.Popen([sys.executable, script.name], env=env, stdout=subprocess.PIPE, text=True) as driver:
            assert driver.stdout is not None
            worker = Path(f"/proc/{int(driver.stdout.readline())}")
            driver.kill()
    deadline = time.monotonic() + HANG_SECONDS
    # a zombie that nobody has collected yet has ended, too
    while worker.exists() and " Z " not in (worker / "stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
