"""A command that is told to stop by SIGTERM, SIGHUP or Slurm says so in its record, and goes on where it was."""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch

import benchmarks.cell_record
import benchmarks.run_cell
import litevit_bench.cli
import results.records.store
from benchmarks.cli.main import main
from engine.processes import stop_signals
from engine.processes.stop_signals import (
    StopSignal,
    find_stop,
    hold_stop_signals,
    listen_for_stop,
    raise_stop_signals,
    use_default_signals,
)
from results.records.store import scan_runs
from tests.benchmarks.matrix.executors.test_local import is_alive, list_children
from tests.conftest import BENCH, HANG_SECONDS, ROOT
from tests.faults.stopped_commands import Moment, read_outcomes, run_stopped

TERM, HUP, USR1 = signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1
RUN = ["--backbone", "vit_pico", "--tier", "smoke", "--device", "cpu"]


class StopCase(NamedTuple):
    """A command, and the moments at which it is stopped, one after the other."""

    words: list[str]
    moments: tuple[Moment, ...]


CASES = {
    "finetune": StopCase(
        ["run", "digits", *RUN, "--set", "epochs=2", "schedule.warmup=0", "loggers=[]"],
        (Moment("*/record.json"), Moment("*/step_00000001.pth"), Moment("*/items.csv")),
    ),
    "knn": StopCase(["run", "digits", "--protocol", "knn", *RUN], (Moment("*.features.npy"),)),
    "pretrain": StopCase(
        [
            *("pretrain", "mae", "--data", "digits", *RUN, "--set", "epochs=2", "schedule.warmup=0"),
            *("val_interval=1", "knn_monitor.interval=2", "loggers=[]"),
        ],
        (Moment("*/step_00000001.pth"), Moment("*/encoder.pth")),
    ),
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which each case was run without a stop."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        out = tmp_path_factory.mktemp("undisturbed") / "runs"
        for case in CASES.values():
            assert main([*case.words, "--out", str(out)]) == 0
    return out


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    before = [signal.getsignal(number) for number in (TERM, HUP, USR1)]
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    assert [signal.getsignal(number) for number in (TERM, HUP, USR1)] == before


@pytest.mark.parametrize("name", CASES)
def test_a_stopped_command_says_so_and_ends_where_an_undisturbed_one_does(
    name: str, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case, out = CASES[name], tmp_path / "runs"
    words = [*case.words, "--out", str(out)]
    for moment, number in zip(case.moments, (TERM, HUP, TERM), strict=False):
        capsys.readouterr()
        assert run_stopped(words, moment, number) == 128 + number
        sentence = f"stopped by {signal.Signals(number).name}; the same command"
        assert capsys.readouterr().err.splitlines()[-1] == f"bench: {sentence} resumes from the last checkpoint"
        ((_, record),) = scan_runs([out]).records
        assert (record.status, record.reason) == ("failed", f"{sentence} goes on from the last checkpoint")
    assert main(words) == 0
    expected = read_outcomes(undisturbed)
    ((run_id, outcome),) = read_outcomes(out).items()
    assert outcome == expected[run_id]


def test_a_stop_while_the_number_is_written_leaves_the_number(undisturbed: Path, tmp_path: Path) -> None:
    words = [*CASES["knn"].words, "--out", str(tmp_path / "runs")]
    assert run_stopped(words, Moment("*/record.json", 2), TERM) == 143
    ((run_id, outcome),) = read_outcomes(tmp_path / "runs").items()
    assert outcome == read_outcomes(undisturbed)[run_id]
    assert main(words) == 0


@pytest.mark.parametrize(("number", "end"), [(TERM, "made up"), (signal.SIGINT, "interrupted by the user")])
def test_a_stop_while_a_failure_is_written_leaves_the_record_failed(
    number: int, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal came while the record of another failure was written, which stayed ``running``.

    Of Ctrl-C, it is the second one: the first is the failure.
    """

    def fail(*_: Any) -> Any:
        raise KeyboardInterrupt if number == signal.SIGINT else ValueError("made up")

    monkeypatch.setattr(benchmarks.run_cell, "make_complete_record", fail)
    write = results.records.store.write_record

    def stop_and_write(folder: Path, record: Any) -> None:
        if record.status == "failed":
            signal.raise_signal(number)
        write(folder, record)

    monkeypatch.setattr(benchmarks.cell_record, "write_record", stop_and_write)
    assert main([*CASES["knn"].words, "--out", str(tmp_path / "runs")]) == 128 + number
    ((_, record),) = scan_runs([tmp_path / "runs"]).records
    assert record.status == "failed" and end in (record.reason or "")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        (["evaluate", "digits", "--run", "{run}", "--device", "cpu", "--out", "{out}"], Moment("*/items.csv")),
        (["verify", "{run}", "--rerun", "--device", "cpu"], Moment("*/step_00000001.pth")),
        (
            [
                *("analyze", "cka", "vit_pico", "vit_pico", "--data", "digits", "--images", "32", "--device", "cpu"),
                *("--out", "{out}"),
            ],
            Moment("*.csv"),
        ),
    ],
    ids=["evaluate", "verify", "analyze"],
)
def test_other_verbs_stop_and_can_be_repeated(
    words: list[str], moment: Moment, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run,) = undisturbed.glob("digits/*finetune*")
    words = [word.format(run=run, out=tmp_path / "runs") for word in words]
    assert run_stopped(words, moment, TERM) == 143
    assert capsys.readouterr().err.splitlines()[-1].startswith("bench: stopped by SIGTERM")
    for _, record in scan_runs([tmp_path / "runs"]).records if (tmp_path / "runs").is_dir() else ():
        assert record.status == "failed"
        assert (record.reason or "").startswith("stopped by SIGTERM")
    assert main(words) == 0, capsys.readouterr().err


def test_a_signal_that_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """``nohup`` starts a command so."""
    before = signal.signal(HUP, signal.SIG_IGN)
    try:
        with raise_stop_signals():
            signal.raise_signal(HUP)
            assert signal.getsignal(HUP) is signal.SIG_IGN
            assert signal.getsignal(TERM) is not signal.SIG_DFL
    finally:
        signal.signal(HUP, before)


def test_the_signal_of_slurm_stops_only_its_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with raise_stop_signals():
        assert signal.getsignal(USR1) is signal.SIG_DFL
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(StopSignal, match="stopped by SIGUSR1"), raise_stop_signals():
        signal.raise_signal(USR1)


def test_the_same_stop_twice_is_one_stop_and_a_later_one_ends_the_stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    """``timeout`` signals its command and then the whole group."""
    now = [100.0]
    monkeypatch.setattr(stop_signals, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with pytest.raises(StopSignal, match="SIGTERM"), raise_stop_signals():
        try:
            signal.raise_signal(HUP)
        except StopSignal:
            signal.raise_signal(HUP)
            signal.raise_signal(TERM)
            now[0] += stop_signals.REPEAT_SECONDS
            signal.raise_signal(TERM)
    assert find_stop() is None


def test_a_stop_in_a_destructor_is_not_lost() -> None:
    """Python drops every error of a ``__del__``."""

    class Resource:
        def __del__(self) -> None:
            signal.raise_signal(TERM)

    before = sys.unraisablehook
    with pytest.raises(StopSignal), raise_stop_signals():
        Resource()
        time.sleep(HANG_SECONDS)
    assert sys.unraisablehook is before


def test_a_library_that_makes_an_error_of_a_stop_does_not_hide_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def import_badly(*_: Any) -> Any:
        try:
            signal.raise_signal(TERM)
        except BaseException as error:
            raise ImportError("numpy cannot be imported") from error

    monkeypatch.setattr("benchmarks.cli.main.load_verb", lambda _: SimpleNamespace(main=import_badly))
    monkeypatch.setattr("benchmarks.cli.main.build_parser", lambda _: _Parser())
    assert main(["list", "tasks"]) == 143
    assert capsys.readouterr().err == "bench: stopped by SIGTERM\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        # every broken pipe was taken for a reader of the output, as ``head`` is one, that has gone
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "unexpected BrokenPipeError: [Errno 32] Broken pipe"),
        # what a process of a loader gives that the system has ended because memory ran out
        (
            RuntimeError("DataLoader worker (pid 8063) is killed by signal: Killed. "),
            "a worker process of the data loader ended (signal: Killed), as the system ends one when memory runs out; ",
        ),
    ],
)
def test_a_lost_process_is_said(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lose_process(*_: Any) -> Any:
        raise error

    monkeypatch.setattr("benchmarks.cli.main.load_verb", lambda _: SimpleNamespace(main=lose_process))
    monkeypatch.setattr("benchmarks.cli.main.build_parser", lambda _: _Parser())
    assert main(["list", "tasks"]) == 1
    assert capsys.readouterr().err.startswith(f"bench: {said}")


def test_an_interrupt_before_the_verb_begins_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C in the first third of a second, while modules are imported, gave a trace."""

    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.cli.main.build_parser", interrupt)
    assert litevit_bench.cli.main(["list", "tasks"]) == 130
    assert capsys.readouterr().err == "bench: interrupted\n"


class _Parser:
    requested_verb = ""

    @staticmethod
    def parse_args(words: list[str]) -> Any:
        return SimpleNamespace(verb=words[0], offline=False, debug=False)


def test_a_hold_delays_a_stop_and_a_listener_takes_one() -> None:
    steps: list[str] = []
    with raise_stop_signals(), pytest.raises(StopSignal), hold_stop_signals():
        signal.raise_signal(TERM)
        steps.append("held")
    with raise_stop_signals(), listen_for_stop(lambda stop: steps.append(str(stop))):
        signal.raise_signal(HUP)
    assert steps == ["held", "stopped by SIGHUP"]


def test_the_death_of_a_loader_does_not_break_what_is_held() -> None:
    """``timeout`` and Slurm end the processes of a loader with the command: its record stayed ``running``."""

    def complain(*_: Any) -> None:
        raise RuntimeError("DataLoader worker is killed by signal: Terminated")

    before = signal.signal(signal.SIGCHLD, complain)
    try:
        with pytest.raises(StopSignal), raise_stop_signals(), hold_stop_signals():
            signal.raise_signal(TERM)
            signal.raise_signal(signal.SIGCHLD)
        assert signal.getsignal(signal.SIGCHLD) is complain
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_thread_that_writes_a_record_leaves_the_handlers_to_the_main_one() -> None:
    """A program may call ``litevit_bench.run`` in several threads at once."""
    faults: list[BaseException] = []

    def hold() -> None:
        try:
            with hold_stop_signals():
                pass
        except ValueError as error:
            faults.append(error)

    def handle_child(*_: Any) -> None:
        """Stand for the handler of a program."""

    before = signal.signal(signal.SIGCHLD, handle_child)
    try:
        with hold_stop_signals():
            thread = threading.Thread(target=hold)
            thread.start()
            thread.join()
        assert signal.getsignal(signal.SIGCHLD) is handle_child
        assert not faults
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_forked_process_ends_by_a_signal_as_any_does() -> None:
    """A process of a loader took the signal that ends it for a repetition of the stop, and lived on."""
    with raise_stop_signals():
        with contextlib.suppress(StopSignal):
            signal.raise_signal(TERM)
        pid = os.fork()
        if pid == 0:
            signal.raise_signal(TERM)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -TERM


def test_a_process_that_waits_in_c_code_ends_at_once() -> None:
    """The second process of a run waits for the first one, where Python's handlers are not called."""
    with raise_stop_signals(), use_default_signals():
        assert signal.getsignal(TERM) is signal.SIG_DFL
    with raise_stop_signals():
        with use_default_signals():
            pass
        assert signal.getsignal(TERM) is stop_signals._handle_stop


# Real commands


def start_bench(words: list[str], cache: Path, **env: str) -> subprocess.Popen[str]:
    """The installed command, in a process group of its own."""
    return subprocess.Popen(
        [BENCH, *words],
        env=os.environ | {"PYTHONPATH": str(ROOT), "BENCH_CACHE": str(cache)} | env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_checkpoint(out: Path, children: list[subprocess.Popen[str]]) -> None:
    while not any(out.rglob("step_00000001.pth")):
        assert all(child.poll() is None for child in children), [child.communicate()[1] for child in children]
        time.sleep(0.02)


@pytest.mark.soak
def test_a_driver_passes_the_stop_on_to_its_cells_and_leaves_no_process(undisturbed: Path, tmp_path: Path) -> None:
    words = ["sweep", "--tasks", "digits", "--backbones", "vit_pico", "--tier", "smoke", "--device", "cpu"]
    words += ["--slots", "1", "--threads", "1", "--out", str(tmp_path / "runs"), *CASES["finetune"].words[-4:]]
    driver = start_bench(words, tmp_path / "cache")
    wait_for_checkpoint(tmp_path / "runs", [driver])
    workers = list_children(driver.pid)
    driver.send_signal(TERM)
    said = driver.communicate(timeout=HANG_SECONDS)[1]
    assert (driver.returncode, said.splitlines()[-1].partition(";")[0]) == (143, "bench: stopped by SIGTERM"), said
    assert workers
    assert not any(is_alive(pid) for pid in workers)
    ((_, record),) = scan_runs([tmp_path / "runs"]).records
    assert record.reason == "stopped by SIGTERM; the same command goes on from the last checkpoint"
    again = start_bench(words, tmp_path / "cache")
    assert again.communicate(timeout=HANG_SECONDS)[1] is not None
    assert again.returncode == 0
    ((run_id, outcome),) = read_outcomes(tmp_path / "runs").items()
    assert outcome == read_outcomes(undisturbed)[run_id]


@pytest.mark.soak
@pytest.mark.parametrize("group", [False, True], ids=["one after the other", "to the groups"])
def test_the_processes_of_one_run_stop_together(group: bool, tmp_path: Path) -> None:
    """As ``torchrun`` and Slurm start and end them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = [*CASES["finetune"].words, "epochs=60", "val_interval=1", "--out", str(tmp_path / "runs")]
    both = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    children = [
        start_bench(words, tmp_path / "cache", **both, RANK=rank, LOCAL_RANK=rank, OMP_NUM_THREADS="1")
        for rank in ("0", "1")
    ]
    wait_for_checkpoint(tmp_path / "runs", children)
    for child in reversed(children):
        (os.killpg if group else os.kill)(child.pid, TERM)
    said = [child.communicate(timeout=HANG_SECONDS)[1] for child in children]
    assert [child.returncode for child in children] == [143, -TERM], said
    assert said[0].splitlines()[-1].startswith("bench: stopped by SIGTERM"), said
    ((_, record),) = scan_runs([tmp_path / "runs"]).records
    assert record.reason == "stopped by SIGTERM; the same command goes on from the last checkpoint"


@pytest.mark.soak
@pytest.mark.parametrize("is_ignored", [False, True], ids=["a terminal that is closed", "nohup"])
def test_a_command_whose_terminal_is_closed(is_ignored: bool, tmp_path: Path) -> None:
    words = [BENCH, *CASES["finetune"].words, "--out", str(tmp_path / "runs")]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)  # where nohup writes what is said
        os.environ.update(PYTHONPATH=str(ROOT), BENCH_CACHE=str(tmp_path / "cache"))
        os.execvp("nohup" if is_ignored else BENCH, ["nohup", *words] if is_ignored else words)
    reader = threading.Thread(target=read_terminal, args=(terminal,), daemon=True)
    reader.start()
    while not any((tmp_path / "runs").rglob("step_00000001.pth")):
        time.sleep(0.02)
    os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    ((_, record),) = scan_runs([tmp_path / "runs"]).records
    if is_ignored:
        assert (code, record.status) == (0, "complete")
    else:
        assert (code, record.reason) == (129, "stopped by SIGHUP; the same command goes on from the last checkpoint")


def read_terminal(terminal: int) -> None:
    """Take what a command writes, so that it never waits."""
    with contextlib.suppress(OSError):
        while os.read(terminal, 4096):
            pass
