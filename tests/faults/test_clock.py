"""A clock that is years off, or jumps: ids and numbers stay, a hash is never trusted wrongly, and nothing breaks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import engine.run_environment
import foundation.files
import results.records.ledger
from benchmarks.cli.main import main
from benchmarks.matrix.remaining_time import CellTimes, RunningCell, format_duration
from benchmarks.resolve_cell import CellRequest
from engine.data import file_hashes
from engine.data.file_hashes import hash_files
from engine.progress_bar import ProgressBar
from foundation.files import sha256_file, sha256_unchanged_file
from foundation.run_scope import open_run_scope
from results.records.store import list_attempts, scan_runs
from results.store_index.facts_memo import has_settled
from tests.faults.stopped_commands import read_outcomes

RUN = ["run", "digits", "--backbone", "vit_pico", "--tier", "smoke", "--device", "cpu"]
RUN += ["--set", "epochs=2", "val_interval=1", "schedule.warmup=0"]
KNN = ["run", "digits", "--protocol", "knn", "--backbone", "vit_pico", "--tier", "smoke", "--device", "cpu"]
YEAR = 365 * 86_400.0


class JumpingClock:
    """Each look at the time is an hour earlier than the one before, and the first is years off."""

    def __init__(self, years: float) -> None:
        self.seconds = time.time() + years * YEAR

    def time(self) -> float:
        self.seconds -= 3600.0
        return self.seconds

    def now(self, zone: Any = None) -> datetime:
        return datetime.fromtimestamp(self.time(), timezone.utc)


@pytest.fixture(params=[-40.0, 40.0], ids=["40 years ago", "in 40 years"])
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> JumpingClock:
    """The clock of everything that asks Python for the time of day."""
    made = JumpingClock(request.param)
    monkeypatch.setattr(time, "time", made.time)
    monkeypatch.setattr(engine.run_environment, "datetime", made)
    monkeypatch.setattr(results.records.ledger, "datetime", made)
    return made


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same runs under the machine's own clock."""
    out = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        assert main([*RUN, "--out", str(out)]) == main([*KNN, "--out", str(out)]) == 0
    return out


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    yield


@pytest.mark.usefixtures("clock")
def test_runs_have_the_same_ids_and_numbers_under_any_clock(
    undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    for words in (RUN, KNN, [*KNN, "--fresh"]):
        assert main([*words, "--out", str(runs)]) == 0, capsys.readouterr().err
    for verb in (["verify", str(runs)], ["table", "--runs", str(runs)], ["list", "runs", "--runs", str(runs)]):
        capsys.readouterr()
        assert main(verb) == 0, capsys.readouterr()
    (stem,) = {path.name.partition(".")[0] for path in runs.glob("digits/*knn*")}
    first, second = list_attempts(runs, f"digits/{stem}")
    assert second.name == f"{first.name}.2", "attempts are in the order of their numbers"
    assert all(record.cost is not None for _, record in scan_runs([runs]).records)
    for _, record in scan_runs([runs]).records:
        assert record.cost is not None
        assert all(seconds >= 0 for seconds in record.cost.phases.values()), record.cost.phases
    second.rename(tmp_path / "second")
    assert read_outcomes(runs) == read_outcomes(undisturbed)


@pytest.mark.parametrize("age", [-40 * YEAR, -60.0, -1.0, 0.0, 1.0], ids=lambda age: f"{age:g} s old")
def test_a_file_of_now_or_of_the_future_is_read_each_time(
    age: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may change again without its times showing it."""
    reads: list[str] = []
    read = file_hashes._HASH_FUNCTIONS["sha256"]
    monkeypatch.setitem(file_hashes._HASH_FUNCTIONS, "sha256", lambda file: reads.append("read") or read(file))  # type: ignore[func-returns-value]
    monkeypatch.setattr(foundation.files, "sha256_file", lambda path: reads.append("whole") or sha256_file(path))  # type: ignore[func-returns-value]
    file = tmp_path / "a.bin"
    file.write_bytes(b"first")
    written = file.stat().st_ctime
    monkeypatch.setattr(time, "time", lambda: written + age)
    for _ in range(2):
        with open_run_scope():
            hash_files(tmp_path, ["a.bin"])
        sha256_unchanged_file(file)
    assert reads == ["read", "whole"] * 2
    assert not has_settled(file.stat(), time.time())


def test_a_change_that_keeps_size_and_mtime_is_seen_under_any_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as of ``rsync --times``; the time of change of the inode is the system's own."""
    file = tmp_path / "a.bin"
    digests = set()
    for content in (b"first", b"other"):
        file.write_bytes(content)
        os.utime(file, (1e9, 1e9))
        written = file.stat().st_ctime
        monkeypatch.setattr(time, "time", lambda at=written: at + 3600.0)
        with open_run_scope():
            digests.add((hash_files(tmp_path, ["a.bin"]).digests[0], sha256_unchanged_file(file)))
    assert len(digests) == 2


def test_progress_and_remaining_time_are_never_negative(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They come from a clock that is never set; should it stand still after a suspend, no line fails."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr("engine.progress_bar.LOG_INTERVAL_SECONDS", -1.0)
    with ProgressBar("frames of a", "frames", 4) as bar:
        for step in (0.5, 10 * YEAR, 0.5, 0.5):
            now[0] += step
            bar.advance()
    lines = capsys.readouterr().err
    assert "-" not in lines
    assert lines.count(" s left") == 3
    request = CellRequest("digits", "vit_pico")
    rest = CellTimes({request: 10.0}).predict_rest([], [RunningCell(request, 10 * YEAR)], 1)
    assert rest is not None
    assert rest >= 0
    assert not format_duration(rest).startswith("-")
