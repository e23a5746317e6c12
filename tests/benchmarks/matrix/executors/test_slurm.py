"""Executor slurm: real cells in jobs of this machine, and the command lines of Slurm by stand-ins on the PATH."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.matrix.executors import job_queues
from benchmarks.matrix.executors.executor import CellJob, CellResources, WorkerDiedError
from benchmarks.matrix.executors.job_queues import QueueBusyError, SlurmQueue, parse_time_limit
from benchmarks.matrix.executors.slurm import SlurmExecutor, run_group
from benchmarks.matrix.executors.worker_check import write_driver_mark
from foundation.errors import UserError
from tests.benchmarks.matrix.executors.conftest import RunPlainly
from tests.benchmarks.matrix.executors.make_jobs import make_job, read_outcome, wait_until
from tests.conftest import ROOT
from tests.limits import HANG_SECONDS

pytest.importorskip("submitit")

FAKES = {
    # a job is a process of its own; what sbatch got is kept
    "sbatch": """
if grep -q -- '--partition=nope' "$1"; then
  echo 'sbatch: error: invalid partition specified: nope' >&2
  echo 'sbatch: error: Batch job submission failed: Invalid partition name specified' >&2
  exit 1
fi
if [ -e "$FAKE/busy" ]; then
  echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2
  exit 1
fi
n=$(( $(cat "$FAKE/last" 2>/dev/null || echo 100) + 1 ))
echo $n > "$FAKE/last"
cp "$1" "$FAKE/$n.sh"
if [ ! -e "$FAKE/hold" ]; then SLURM_JOB_ID=$n setsid bash "$1" > "$FAKE/$n.out" 2>&1 & fi
echo PENDING > "$FAKE/$n.state"
echo "Submitted batch job $n"
""",
    "squeue": """
[ -e "$FAKE/deaf" ] && { echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1; }
for file in "$FAKE"/*.state; do
  [ -e "$file" ] && echo "$(basename "$file" .state)|$(cat "$file")|None"
done
exit 0
""",
    "sacct": """
for word in "$@"; do case $word in --jobs=*) for n in $(echo "${word#--jobs=}" | tr , ' '); do
  [ -e "$FAKE/$n.account" ] && echo "$n|$(cat "$FAKE/$n.account")|0:15"
done;; esac; done
exit 0
""",
    "scancel": """for n in "$@"; do echo CANCELLED > "$FAKE/$n.state"; done""",
    "srun": "exit 1",
}


@pytest.fixture(autouse=True)
def _worker_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs import this tree."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a Slurm that holds its jobs in the queue, unless the file ``hold`` is deleted."""
    commands, state = tmp_path / "bin", tmp_path / "slurm"
    commands.mkdir()
    state.mkdir()
    for name, text in FAKES.items():
        (commands / name).write_text(f"#!/bin/bash\n{text}\n")
        (commands / name).chmod(0o755)
    monkeypatch.setenv("FAKE", str(state))
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    (state / "hold").touch()
    return state


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A store."""
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


def start_executor(out: Path, **arguments: object) -> SlurmExecutor:
    """A started executor that looks at the queue often."""
    executor = SlurmExecutor(folder=out / "sweep", poll_seconds=0.2, **arguments)  # type: ignore[arg-type]
    executor.start()
    return executor


def crash(executor: SlurmExecutor) -> None:
    """Leave everything as a driver that was killed."""
    executor._is_closed.set()
    executor._thread.join()


@pytest.fixture
def started(out: Path) -> Iterator[SlurmExecutor]:
    """An executor whose jobs are processes of this machine."""
    executor = start_executor(out, cluster="local")
    yield executor
    executor.close()


def make_fast_jobs(out: Path) -> list[CellJob]:
    """Two cells of one group."""
    return [make_job(out, 7, "knn"), make_job(out, 8, "linear")]


# Jobs of this machine


def test_a_job_reports_each_cell_and_a_driver_that_is_started_again_takes_it_up(
    out: Path, run_plainly: RunPlainly
) -> None:
    jobs = make_fast_jobs(out)
    first = start_executor(out, cluster="local")
    done, lost = first.submit(jobs)
    (file,) = (out / "sweep" / "jobs").glob("group-*.json")
    assert done.result(HANG_SECONDS).number == 7  # while the job goes on with the other cell
    crash(first)
    second = start_executor(out, cluster="local")
    # the cell has another number in the matrix of the new driver
    (taken_up,) = second.submit([make_job(out, 3, "linear")])
    assert list((out / "sweep" / "jobs").glob("group-*.json")) == [file]
    assert taken_up.result(HANG_SECONDS).number == 3
    assert not lost.done()
    for job, future in zip(jobs, (done, taken_up), strict=True):
        assert future.result().failure is None
        assert not future.result().is_from_record
        assert read_outcome(future.result().folder) == run_plainly(job)
    wait_until(lambda: not list((out / "sweep" / "jobs").glob("group-*")))
    second.close()


def test_a_job_that_is_killed_is_a_death_and_close_cancels_the_others(started: SlurmExecutor, out: Path) -> None:
    (future,) = started.submit([make_job(out, 5)])
    job_id = started._groups[0].job_id
    assert job_id is not None
    children = Path(f"/proc/{job_id}/task/{job_id}/children")
    os.kill(int(wait_until(lambda: children.read_text().split())[0]), signal.SIGKILL)
    with pytest.raises(WorkerDiedError, match=rf"cell 5 .*job {job_id}: its process has ended \(log: .*{job_id}_0_log"):
        future.result(HANG_SECONDS)
    (future,) = started.submit([make_job(out, 5)])
    job_id = started._groups[0].job_id
    assert job_id is not None
    wait_until(lambda: (out / "logs" / "5.log").exists())
    started.close()
    assert not job_queues._is_controller(job_id)
    with pytest.raises(WorkerDiedError, match="the driver ended and cancelled its job"):
        future.result(0)
    assert not list((out / "sweep" / "jobs").glob("[gd]r*-*"))


def test_after_an_unknown_failure_the_other_cells_run_in_a_fresh_process(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, reports = make_job(out, 1), tmp_path / "reports"
    reports.mkdir()
    bad = replace(good, number=0, request=replace(good.request, overrides=(3,)))  # type: ignore[arg-type]
    started: list[list[str]] = []
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(os, "execv", lambda _, words: started.append(words) or sys.exit())
    mark = write_driver_mark(tmp_path)
    with pytest.raises(SystemExit):
        run_group([bad, good], ["bad", "good"], reports, mark)
    assert started == [sys.orig_argv]
    assert [path.name for path in reports.iterdir()] == ["bad.json"]
    assert json.loads((reports / "bad.json").read_text())["is_retryable"]
    run_group([bad, good], ["bad", "good"], reports, mark)
    assert json.loads((reports / "good.json").read_text())["failure"] is None


# Slurm by stand-ins


def test_sbatch_gets_the_options(slurm: Path, out: Path) -> None:
    executor = start_executor(
        out, partition="gpu", time="1-00:30:00", array_size=2, arguments={"account": "vision", "exclusive": True}
    )
    needed = CellResources(threads=4, gpus=1, memory_gib=2.5)
    assert executor.has_room(needed)
    for number in range(2):
        executor.submit([make_job(out, number, seed=number, resources=needed)])
    assert not executor.has_room(needed)
    script = (slurm / "101.sh").read_text().splitlines()
    for option in (
        *("partition=gpu", "time=1470", "cpus-per-task=4", "gpus-per-node=1", "mem=2560M", "account=vision"),
        *("exclusive", "job-name=bench", "nodes=1"),
    ):
        assert f"#SBATCH --{option}" in script
    (command,) = (line for line in script if "submitit.core._submit" in line)
    assert command.startswith("env BENCH_DATA= ")
    assert "OMP_NUM_THREADS=4" in command
    assert "CUDA_VISIBLE_DEVICES" not in command
    assert executor.describe() == "Slurm, partition gpu, at most 2 jobs, 1470 min each"
    executor.close()
    assert (slurm / "101.state").read_text() == (slurm / "102.state").read_text() == "CANCELLED\n"


def test_a_cell_runs_in_a_job_of_slurm_and_sees_no_gpu(slurm: Path, out: Path) -> None:
    (slurm / "hold").unlink()
    executor = start_executor(out)
    (future,) = executor.submit([make_job(out, 1)])
    report = future.result(HANG_SECONDS)
    assert report.failure is None
    assert "CUDA_VISIBLE_DEVICES=-1" in (slurm / "101.sh").read_text()
    executor.close()


def test_a_refused_job_is_refused_with_the_sentence_of_sbatch(
    slurm: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    executor = start_executor(out, partition="nope")
    with pytest.raises(UserError, match="Slurm refuses the job: sbatch: error: invalid partition specified: nope"):
        executor.submit([make_job(out)])
    assert executor.has_room(CellResources())
    executor.close()
    assert capfd.readouterr() == ("", "")


def test_a_busy_controller_is_asked_again(slurm: Path, out: Path) -> None:
    (slurm / "busy").touch()
    executor = start_executor(out, array_size=1)
    (future,) = executor.submit([make_job(out)])
    assert not executor.has_room(CellResources())
    (slurm / "deaf").touch()
    (slurm / "busy").unlink()
    wait_until((slurm / "101.sh").exists)
    (slurm / "deaf").unlink()
    assert not future.done()
    executor.close()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("TIMEOUT", "it reached its time limit"),
        ("PREEMPTED", "a job of higher priority took its place"),
        ("OUT_OF_MEMORY", "it used more memory than it had asked for"),
        ("CANCELLED by 1000", "it was cancelled"),
        ("NODE_FAIL", "its node failed"),
    ],
)
def test_a_job_that_ends_early_is_a_death_with_slurms_reason(slurm: Path, out: Path, state: str, words: str) -> None:
    executor = start_executor(out)
    (future,) = executor.submit([make_job(out, 4)])
    (slurm / "101.state").write_text("RUNNING\n")
    assert not future.done()
    (slurm / "101.account").write_text(state)
    (slurm / "101.state").unlink()  # squeue forgets jobs, sacct does not
    with pytest.raises(WorkerDiedError, match=f"cell 4 ended without a report: job 101: Slurm says {state}, .*{words}"):
        future.result(HANG_SECONDS)
    executor.close()


def test_a_driver_that_is_started_again_submits_nothing_twice(slurm: Path, out: Path) -> None:
    jobs = make_fast_jobs(out)
    first = start_executor(out)
    first.submit(jobs)
    first.submit([make_job(out, 9, seed=9)])
    crash(first)
    (slurm / "102.state").write_text("FAILED\n")
    second = start_executor(out)
    futures = second.submit([*jobs, make_job(out, 9, seed=9)])  # the last one's job has ended
    assert (slurm / "last").read_text() == "103\n"
    assert not any(future.done() for future in futures)
    second.close()
    assert (slurm / "101.state").read_text() == (slurm / "103.state").read_text() == "CANCELLED\n"


def test_a_report_that_names_another_folder_is_refused(slurm: Path, out: Path) -> None:
    executor = start_executor(out)
    (future,) = executor.submit([make_job(out, 2)])
    (group,) = executor._groups
    report = {"number": 2, "folder": "/etc", "is_from_record": False, "seconds": 1.0}
    (executor._locate_reports(group) / f"{group.keys[0]}.json").write_text(json.dumps(report))
    with pytest.raises(WorkerDiedError, match=r"damaged report .*outside of the store"):
        future.result(HANG_SECONDS)
    executor.close()


def test_damaged_files_and_open_folders_are_refused(slurm: Path, out: Path) -> None:
    folder = out / "sweep" / "jobs"
    folder.mkdir(parents=True)
    (folder / "group-1.json").write_text('{"job_id": "1 2", "cells": []}')
    with pytest.raises(UserError, match=r"group-1.json, which names a job of an earlier driver, is damaged"):
        start_executor(out)
    (folder / "submitit").chmod(0o777)
    with pytest.raises(UserError, match="others can write into"):
        start_executor(out)


def test_a_queue_that_does_not_answer_stops_a_driver_that_has_jobs(slurm: Path, out: Path) -> None:
    first = start_executor(out)
    first.submit([make_job(out)])
    crash(first)
    (slurm / "deaf").touch()
    with pytest.raises(UserError, match="jobs of an earlier driver may still run, and squeue fails"):
        start_executor(out)
    with pytest.raises(QueueBusyError, match="Unable to contact slurm controller"):
        SlurmQueue(out, None, None, {}).list_states(["101"])


# What is not there


def test_a_machine_without_slurm_is_named(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(out))
    with pytest.raises(
        UserError, match="this machine has no sbatch, squeue, scancel, srun; start the matrix on a login"
    ):
        start_executor(out)


def test_a_missing_package_is_named(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"pip install 'litevit-bench\[slurm\]'"):
        start_executor(out)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), ("10:30", 11), ("2:00:00", 120), ("1-12", 2160), ("1-00:10", 1450), ("1-00:00:01", 1441)],
)
def test_time_limits_are_those_of_sbatch(text: str, minutes: int) -> None:
    assert parse_time_limit(text) == minutes


@pytest.mark.parametrize("text", ["", "2h", "-1", "1-", "1:2:3:4"])
def test_another_time_limit_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is not a time limit of Slurm"):
        parse_time_limit(text)
