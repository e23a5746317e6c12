"""The executor of this machine: the same records as single runs, also when workers or the driver are killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from benchmarks.matrix.executors.executor import CellJob, CellReport, CellResources, WorkerDiedError
from benchmarks.matrix.executors.local import LocalExecutor
from benchmarks.resolve_cell import CellRequest
from benchmarks.run_cell import run_cell
from foundation.errors import UserError
from foundation.files import sha256_file
from results.records.record import Record
from results.records.store import scan_runs
from tests.conftest import BENCH, ROOT
from tests.fork_server import LIBRARIES
from tests.limits import HANG_SECONDS


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalExecutor]:
    """One slot of one thread; its process is started again when a test has killed it.

    The first process is spawned, as those of a sweep are. Later ones are forked from a server that has loaded the
    libraries, as loading takes longer than their cells.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OMP_NUM_THREADS", "1")  # of the server: threads would be lost in a fork
        local = LocalExecutor(1, CellResources(threads=1), num_cells=9)
        local.start()
        get_pid(local)  # it was spawned before the next line takes effect
        server = multiprocessing.get_context("forkserver")
        server.set_forkserver_preload(list(LIBRARIES))
        patch.setattr(multiprocessing, "get_context", lambda method=None: server)
        yield local
        local.close()


def make_job(out: Path, number: int = 0, **fields: Any) -> CellJob:
    """A cell of about a second."""
    request = CellRequest("digits", "vit_pico", "knn", tier="smoke", device="cpu", out=out)
    for name, value in fields.items():
        object.__setattr__(request, name, value)
    return CellJob(number, request, CellResources(threads=1), out / "logs" / f"{number}.log")


def read_numbers(out: Path) -> dict[str, tuple[Any, str]]:
    """Metrics and the hash of all outcomes by run id, of every complete record; no run id may be there twice."""
    found: dict[str, tuple[Any, str]] = {}
    for folder, record in scan_runs([out]).records:
        assert record.status == "complete", (folder, record.reason)
        assert record.result is not None
        assert record.run_id not in found, f"{folder} is a second record of one run"
        found[record.run_id] = (record.result.metrics, sha256_file(folder / "items.csv"))
    return found


def get_pid(executor: LocalExecutor) -> int:
    """The process of the only slot, once it is ready."""
    return executor._slots[0].pid.result(HANG_SECONDS)


def test_a_cell_has_the_record_of_a_single_run(executor: LocalExecutor, tmp_path: Path) -> None:
    for number, protocol in enumerate(("knn", "linear", "finetune")):
        job = make_job(tmp_path / "many", number, protocol=protocol)
        assert executor.has_room(job.resources)
        (future,) = executor.submit([job])
        assert not executor.has_room(job.resources), "the only slot is taken"
        report = future.result(HANG_SECONDS)
        assert (report.number, report.failure, report.is_from_record) == (number, None, False)
        run_cell(make_job(tmp_path / "single", number, protocol=protocol).request)
    many = read_numbers(tmp_path / "many")
    assert len(many) == 3
    assert many == read_numbers(tmp_path / "single")
    records: list[Record] = [record for _, record in scan_runs([tmp_path / "many"]).records]
    assert {record.environment.threads for record in records} == {1}
    again = executor.submit([make_job(tmp_path / "many")])[0].result(HANG_SECONDS)
    assert again.is_from_record


def test_what_a_cell_prints_is_in_its_log_and_its_failure_is_a_report(
    executor: LocalExecutor, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job = make_job(tmp_path, overrides=("k=0",))
    report = executor.submit([job])[0].result(HANG_SECONDS)
    assert report.folder is None
    assert report.failure is not None
    assert "k" in report.failure
    assert not report.is_retryable, "it says what to change"
    assert "Traceback" in job.log_file.read_text()
    assert capfd.readouterr() == ("", "")


def test_after_an_unexpected_error_the_process_is_not_used_again(executor: LocalExecutor, tmp_path: Path) -> None:
    """CUDA, for one, fails for ever in a process in which it failed once."""
    report = executor.submit([make_job(tmp_path, seed="no number")])[0].result(HANG_SECONDS)
    assert report.failure is not None
    assert report.failure.startswith("unexpected TypeError")
    assert report.is_retryable
    before = get_pid(executor)
    assert executor.submit([make_job(tmp_path)])[0].result(HANG_SECONDS).failure is None
    assert get_pid(executor) != before


def test_a_killed_worker_is_reported_and_the_cell_goes_on_in_another(executor: LocalExecutor, tmp_path: Path) -> None:
    slow = ("epochs=8", "val_interval=1")
    job = make_job(tmp_path / "cut", protocol="finetune", overrides=slow)
    (future,) = executor.submit([job])
    wait_for(lambda: any((tmp_path / "cut").rglob("*.pth")), future)
    os.kill(get_pid(executor), signal.SIGKILL)
    with pytest.raises(WorkerDiedError, match="killed, or out of memory"):
        future.result(HANG_SECONDS)
    report = executor.submit([job])[0].result(HANG_SECONDS)
    assert report.failure is None
    run_cell(make_job(tmp_path / "whole", protocol="finetune", overrides=slow).request)
    assert read_numbers(tmp_path / "cut") == read_numbers(tmp_path / "whole")
    ((_, record),) = scan_runs([tmp_path / "cut"]).records
    assert record.cost is not None
    assert record.cost.attempts == 2


def test_a_cell_that_another_process_runs_says_so(executor: LocalExecutor, tmp_path: Path) -> None:
    from results.records.store import lock_folder

    job = make_job(tmp_path)
    folder = executor.submit([job])[0].result(HANG_SECONDS).folder
    assert folder is not None
    (folder / "record.json").unlink()
    with lock_folder(folder):
        report = executor.submit([job])[0].result(HANG_SECONDS)
    assert report.is_busy_elsewhere


def test_what_no_machine_has_is_refused(executor: LocalExecutor) -> None:
    with pytest.raises(UserError, match="a cell needs 3 threads, and all processes of this sweep together have 1"):
        executor.has_room(CellResources(threads=3))
    with pytest.raises(UserError, match="GPUs, and this machine shows"):
        executor.has_room(CellResources(gpus=64))
    with pytest.raises(UserError, match="GiB of memory, and this machine has"):
        executor.has_room(CellResources(memory_gib=1e6))


@pytest.mark.soak
def test_a_killed_driver_takes_its_workers_along_and_is_started_again(tmp_path: Path) -> None:
    suite = tmp_path / "suite.toml"
    suite.write_text(
        '[[cells]]\ntasks = ["digits"]\nbackbones = ["vit_pico"]\nprotocols = ["knn"]\nseeds = [0, 1]\n'
        '[[cells]]\ntasks = ["digits"]\nbackbones = ["vit_pico"]\nset = ["epochs=8", "val_interval=1"]\n'
    )
    words = [BENCH, "sweep", "--file", str(suite), "--slots", "1", "--device", "cpu", "--out", str(tmp_path / "cut")]
    words += ["--json"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "BENCH_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as driver:
        assert driver.stdout is not None
        # the first two cells are k-NN; the driver dies while the third, a fine-tuning, writes checkpoints
        wait_for(lambda: any((tmp_path / "cut").rglob("*.pth")))
        workers = list_children(driver.pid)
        assert workers
        driver.kill()
    wait_for(lambda: not any(is_alive(pid) for pid in workers))
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1] | {"seconds": 0} == {"event": "end", "done": 3, "failed": 0, "total": 3, "seconds": 0}
    assert sum(event.get("from_record", False) for event in events) >= 2
    cut = read_numbers(tmp_path / "cut")
    assert len(cut) == 3
    for protocol, seed, overrides in (("knn", 0, ()), ("knn", 1, ()), ("finetune", 0, ("epochs=8", "val_interval=1"))):
        request = CellRequest("digits", "vit_pico", protocol, seed=seed, overrides=overrides, out=tmp_path / "whole")
        run_cell(request)
    assert cut == read_numbers(tmp_path / "whole")


def wait_for(condition: Any, future: Future[CellReport] | None = None) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + HANG_SECONDS
    while not condition():
        assert future is None or not future.done(), "the cell ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def list_children(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(each for child in children for each in list_children(child))]


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie that waits for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_small_cells_do_not_exceed_the_slots(executor: LocalExecutor, tmp_path: Path) -> None:
    """A suite may have blocks of 1 and of 2 threads: --slots 1 is one cell at a time, whatever its size."""
    local = LocalExecutor(1, CellResources(threads=2), num_cells=2)
    assert local.has_room(CellResources(threads=1))
    (future,) = local.submit([make_job(tmp_path)])
    try:
        assert not local.has_room(CellResources(threads=1))
    finally:
        local.close()
    assert future.done()
    with pytest.raises(UserError, match="a cell needs 3 threads"):
        local.has_room(CellResources(threads=3))


def test_a_sweep_that_ends_while_its_processes_begin_runs_no_cell(tmp_path: Path) -> None:
    """Ctrl-C in the first seconds was only obeyed when the cell was done."""
    local = LocalExecutor(1, CellResources(threads=1), num_cells=1)
    local.start()
    (future,) = local.submit([make_job(tmp_path)])
    local.close()
    assert isinstance(future.exception(HANG_SECONDS), WorkerDiedError)
    assert not list(tmp_path.rglob("record.json"))


def test_a_second_interrupt_leaves_no_process(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = LocalExecutor(1, CellResources(threads=1), num_cells=1)
    local.start()
    slot = local._slots[0]
    slot.loading.result(HANG_SECONDS)
    (future,) = local.submit([make_job(tmp_path, protocol="finetune", tier="full")])

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.matrix.executors.local.time.sleep", interrupt)
    # the cell does not end at the first one
    monkeypatch.setattr("benchmarks.matrix.executors.local.signal.SIGINT", signal.SIGWINCH)
    with pytest.raises(KeyboardInterrupt):
        local.close()
    assert isinstance(future.exception(HANG_SECONDS), WorkerDiedError)


def _interrupt_cell(number: int, executor: LocalExecutor, out: Path) -> BaseException | None:
    """Send a signal to the process of a cell that trains; returns what the cell ended with."""
    # long enough that it is still at work when this busy process comes to interrupt it
    job = make_job(out, protocol="finetune", tier="full", overrides=("epochs=200", "val_interval=1"))
    (future,) = executor.submit([job])
    deadline = time.monotonic() + HANG_SECONDS
    while not list((out / "digits").rglob("*.pth")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    # asked only now: until the cell runs, the slot may still have the process that an earlier test has killed
    os.kill(get_pid(executor), number)
    error = future.exception(HANG_SECONDS)
    assert isinstance(error, WorkerDiedError)
    return error


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGINT, "interrupted by the user; the same"), (signal.SIGTERM, "stopped by SIGTERM; ")],
)
def test_an_interrupted_process_is_one_that_died(
    number: int, reason: str, executor: LocalExecutor, tmp_path: Path
) -> None:
    for attempt in range(3):
        error = _interrupt_cell(number, executor, tmp_path / str(attempt))
        # where the signal comes while torch writes a checkpoint, its C++ writer ends the process without a word
        if "ended without a word" not in str(error):
            break
    assert "was interrupted" in str(error)
    ((_, stopped),) = scan_runs([tmp_path / str(attempt)]).records
    assert (stopped.reason or "").startswith(reason)


def test_a_process_whose_settings_were_changed_runs_no_other_cell(executor: LocalExecutor, tmp_path: Path) -> None:
    executor.submit([make_job(tmp_path)])[0].result(HANG_SECONDS)
    before = get_pid(executor)
    executor.submit([make_job(tmp_path)])[0].result(HANG_SECONDS)
    assert get_pid(executor) == before
    report: Future[CellReport] = Future()
    report.set_result(CellReport(0, tmp_path, False, 1.0, is_process_changed=True))
    executor._slots[0].running = report
    executor.submit([make_job(tmp_path)])[0].result(HANG_SECONDS)
    assert get_pid(executor) != before


def test_a_worker_starts_processes_as_a_single_run_does(executor: LocalExecutor) -> None:
    """A worker is spawned, and what it starts would be as well: slowly, and only if its data can be pickled."""
    assert (
        executor._slots[0].pool.submit(multiprocessing.get_start_method).result(HANG_SECONDS)
        == (multiprocessing.get_all_start_methods()[0])
    )


def start_sleeper() -> int:
    """Start a process that outlives the one that started it."""
    return subprocess.Popen(["sleep", "600"]).pid


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs the list of processes of Linux")
def test_what_a_dead_process_had_started_is_ended(executor: LocalExecutor, tmp_path: Path) -> None:
    sleeper = executor._slots[0].pool.submit(start_sleeper).result(HANG_SECONDS)
    os.kill(get_pid(executor), signal.SIGKILL)
    assert is_alive(sleeper)
    executor.submit([make_job(tmp_path)])[0].exception(HANG_SECONDS)  # the death may be noticed only now
    assert executor.submit([make_job(tmp_path)])[0].result(HANG_SECONDS).failure is None
    deadline = time.monotonic() + HANG_SECONDS
    while is_alive(sleeper):
        assert time.monotonic() < deadline
        time.sleep(0.05)
