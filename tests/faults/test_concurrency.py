"""Several processes at one store: each has its own run, waits, or is refused in a sentence, and numbers are right."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

import benchmarks.cell_record
import benchmarks.run_cell
from benchmarks.cli.main import main
from classification.probes.feature_cache import lock_entry
from foundation.errors import UserError
from foundation.storage.file_locks import is_file_locked, take_file_lock
from results.records.store import (
    LOCK_FILE,
    FolderLockedError,
    claim_attempt_folder,
    is_folder_at_work,
    lock_folder,
    scan_runs,
)
from tests.conftest import HANG_SECONDS
from tests.faults.stopped_commands import read_outcomes
from tests.fork_pool import open_fork_pool

KNN = ["run", "digits", "--protocol", "knn", "--backbone", "vit_pico", "--tier", "smoke", "--device", "cpu"]


def claim_one(root: Path) -> str:
    """The name of a new attempt's folder."""
    return claim_attempt_folder(root, "digits/run").name


def test_every_new_attempt_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """Two ``--fresh`` at once chose one folder, and the second was refused."""
    with open_fork_pool(4) as pool:
        names = pool.map(claim_one, [tmp_path] * 24, chunksize=1)
    assert sorted(names) == sorted(["run", *(f"run.{number}" for number in range(2, 25))])


def run_beside(
    words: list[str], other: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, int, str]:
    """Exit codes of a command, and of another one that is started in the middle of it, and what that one says."""
    codes: list[int] = []
    said: list[str] = []
    write = benchmarks.cell_record.make_complete_record

    def run_other(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(benchmarks.run_cell, "make_complete_record", write)
        capsys.readouterr()
        # in a thread, as a scope that is open is of this one
        with ThreadPoolExecutor(1) as pool:
            codes.append(pool.submit(main, other).result())
        said.append(capsys.readouterr().err)
        return write(*arguments, **named)

    monkeypatch.setattr(benchmarks.run_cell, "make_complete_record", run_other)
    code = main(words)
    return code, codes[0], said[0]


def test_two_commands_for_one_run_are_one_run_and_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*KNN, "--out", str(tmp_path / "runs")]
    code, other, said = run_beside(words, words, monkeypatch, capsys)
    assert (code, other) == (0, 2)
    assert "another process is working on" in said.splitlines()[-1]
    assert len(read_outcomes(tmp_path / "runs")) == 1


def test_a_fresh_run_beside_one_has_its_own_folder_and_the_same_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*KNN, "--out", str(tmp_path / "runs"), "--fresh"]
    assert run_beside(words, words, monkeypatch, capsys)[:2] == (0, 0)
    records = [record for _, record in scan_runs([tmp_path / "runs"]).records]
    assert [record.status for record in records] == ["complete"] * 2
    first, second = (record.result for record in records)
    assert first is not None and second is not None
    assert first.items.sha256 == second.items.sha256


@pytest.mark.parametrize(
    "verb",
    [
        ["table", "--runs", "{runs}"],
        ["list", "runs", "--runs", "{runs}"],
        ["verify", "{runs}"],
        ["merge", "{runs}", "--out", "{folder}/union"],
        ["pack", "{runs}", "--out", "{folder}/runs.tar.gz"],
        [
            "plan",
            "--tasks",
            "digits",
            "--backbones",
            "vit_pico",
            "--protocols",
            "knn",
            "--tier",
            "smoke",
            "--out",
            "{runs}",
        ],
    ],
    ids=lambda words: str(words[0]),
)
def test_a_reader_beside_a_run_is_not_disturbed_and_does_not_disturb(
    verb: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    assert main([*KNN, "--out", str(runs)]) == 0
    other = [word.format(runs=runs, folder=tmp_path) for word in verb]
    code, reader, said = run_beside([*KNN, "--seed", "1", "--out", str(runs)], other, monkeypatch, capsys)
    assert (code, reader) == (0, 0), said
    assert "Traceback" not in said
    assert len(read_outcomes(runs)) == 2


def test_two_drivers_of_one_sweep_are_one_sweep_and_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sweep", "--tasks", "digits", "--backbones", "vit_pico", "--protocols", "knn", "--tier", "smoke"]
    words += ["--device", "cpu", "--out", str(tmp_path / "runs")]
    codes: list[int] = []
    monkeypatch.setattr("benchmarks.cli.experiments.sweep._run", lambda *_: codes.append(main(words)))
    monkeypatch.setattr("benchmarks.cli.experiments.sweep._write_end", lambda *_: None)
    assert main(words) == 0
    assert codes == [2]
    assert "another process is working on" in capsys.readouterr().err


def test_a_second_process_waits_for_features_and_uses_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    waits, order = threading.Event(), []

    def fill_second() -> None:
        with lock_entry({"features": 1}, waits.set) as was_taken:
            order.append(was_taken)

    with lock_entry({"features": 1}, lambda: None) as was_taken:
        other = threading.Thread(target=fill_second)
        other.start()
        assert waits.wait(HANG_SECONDS)
        order.append(was_taken)
    other.join(HANG_SECONDS)
    assert order == [False, True]


# Locks


def refuse_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=errno.errorcode.get)
@pytest.mark.filterwarnings("error")
def test_a_disk_without_locks_is_refused_with_the_cure(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The library then writes a marker file that stays for ever, and warned in two lines of its own."""
    refuse_locks(monkeypatch, number)
    assert main([*KNN, "--out", str(tmp_path / "runs")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("bench: the file system of")
    assert "has no file locks" in last
    assert "name a folder on another disk" in last
    assert is_folder_at_work(tmp_path) is None or not (tmp_path / LOCK_FILE).exists()


def test_another_error_of_a_lock_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_locks(monkeypatch, errno.EIO)
    with pytest.raises(UserError, match=r"cannot lock .*run .*make it writable"), lock_folder(tmp_path / "run"):
        pass


@pytest.mark.parametrize("content", [b"", b"4242\nanother-host\n", b"\x00" * 100])
def test_a_lock_file_that_a_dead_process_left_locks_nothing(content: bytes, tmp_path: Path) -> None:
    """Of this machine or another one: a store on a network disk keeps the file."""
    (tmp_path / LOCK_FILE).write_bytes(content)
    assert is_folder_at_work(tmp_path) is False
    with lock_folder(tmp_path):
        assert is_folder_at_work(tmp_path) is True
        with pytest.raises(FolderLockedError, match="another process is working on"), lock_folder(tmp_path):
            pass
    assert is_folder_at_work(tmp_path) is False
    assert (tmp_path / LOCK_FILE).read_bytes() == content


def test_a_look_at_a_lock_does_not_refuse_who_takes_it(tmp_path: Path) -> None:
    """``bench list runs`` looks at the locks of runs, perhaps in the very moment in which one begins."""
    file = tmp_path / LOCK_FILE
    file.touch()
    with file.open("rb") as looker:
        fcntl.flock(looker, fcntl.LOCK_SH)
        threading.Timer(0.05, fcntl.flock, (looker.fileno(), fcntl.LOCK_UN)).start()
        with lock_folder(tmp_path):
            pass


def test_a_lock_is_that_of_the_library(tmp_path: Path) -> None:
    """An older bench at the same store sees it."""
    lock = take_file_lock(tmp_path / LOCK_FILE)
    with pytest.raises(Timeout):
        FileLock(tmp_path / LOCK_FILE).acquire(timeout=0)
    assert is_file_locked(tmp_path / LOCK_FILE)
    lock.release()
    assert is_file_locked(tmp_path / "other") is False
