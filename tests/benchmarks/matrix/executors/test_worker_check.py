"""What a worker compares itself with: the code, the folder, and the environment variables of the driver."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.matrix.executors import worker_check
from benchmarks.matrix.executors.worker_check import (
    ROOMS,
    WrongWorkerError,
    list_driver_variables,
    require_driver_mark,
    write_driver_mark,
)
from litevit_bench import _rooms
from tests.conftest import ROOT

_WORKER = """
import sys
from pathlib import Path
from benchmarks.matrix.executors.worker_check import DriverMark, hash_bench_code, require_driver_mark
require_driver_mark(DriverMark("0", sys.argv[2] or hash_bench_code(), Path(sys.argv[1])))
"""


def run_worker(file: Path, code: str, *path: Path) -> str:
    """What another process says that has these folders before bench on its path; nothing if it may run cells."""
    places = os.pathsep.join(str(each) for each in (*path, ROOT))
    words = [sys.executable, "-c", _WORKER, str(file), code]
    done = subprocess.run(
        words, env=os.environ | {"PYTHONPATH": places}, capture_output=True, text=True, cwd=file.parent
    )
    return done.stderr.strip().rpartition("\n")[2]


def test_every_package_counts() -> None:
    assert set(ROOMS) == {*_rooms.ROOMS, "litevit_bench"}


def test_a_worker_with_the_same_code_and_folder_passes(tmp_path: Path) -> None:
    mark = write_driver_mark(tmp_path / "sweep")
    require_driver_mark(mark)
    assert run_worker(mark.file, mark.code) == ""


def test_a_file_that_hides_a_package_is_named(tmp_path: Path) -> None:
    mark = write_driver_mark(tmp_path)
    (tmp_path / "engine.py").touch()
    assert f"{tmp_path / 'engine.py'} hides the part 'engine' of bench" in run_worker(mark.file, mark.code, tmp_path)


def test_other_code_and_a_folder_that_is_not_shared_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_check, "_SHARED_DISK_SECONDS", 0.0)
    mark = write_driver_mark(tmp_path)
    with pytest.raises(WrongWorkerError, match="install the same bench on every machine"):
        require_driver_mark(replace(mark, code="0" * 64))
    mark.file.unlink()
    with pytest.raises(WrongWorkerError, match=r"does not see the folder .* all machines share with --out"):
        require_driver_mark(mark)


def test_paths_in_variables_are_absolute_and_unset_ones_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", "~/data")
    monkeypatch.setenv("BENCH_CACHE", "cache")
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    variables = list_driver_variables()
    assert variables["BENCH_DATA"] == str(Path.home() / "data")
    assert variables["BENCH_CACHE"] == str(Path.cwd() / "cache")
    assert variables["BENCH_OFFLINE"] == variables["HF_HUB_OFFLINE"] == "1"
    assert variables["BENCH_CARDS"] == ""
