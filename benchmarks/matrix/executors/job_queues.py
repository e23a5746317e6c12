"""Where jobs wait and run: Slurm, or processes of this machine in its place. Both are used through submitit."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from benchmarks.matrix.executors.executor import CellResources
from benchmarks.matrix.executors.worker_check import list_driver_variables
from benchmarks.matrix.run_in_worker import make_worker_environment
from foundation.errors import BenchError, UserError

_COMMAND_SECONDS = 60.0
"""How long a command of Slurm may take; a busy controller needs several seconds."""

_ENDED_STATES = {
    "BOOT_FAIL": "its node did not start",
    "CANCELLED": "it was cancelled",
    "COMPLETED": "it ended",
    "DEADLINE": "it reached its deadline",
    "FAILED": "its process failed",
    "LAUNCH_FAILED": "it could not be launched",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "it used more memory than it had asked for",
    "PREEMPTED": "a job of higher priority took its place",
    "REVOKED": "another cluster runs it",
    "TIMEOUT": "it reached its time limit",
}
"""States of Slurm in which a job does not run and will not run again by itself (squeue(1), JOB STATE CODES)."""

_PASSING_FAULTS = re.compile(
    "timed out|unable to contact|temporarily|try again|connection refused|communication|submit ?job|submit limit", re.I
)
"""What sbatch says when the same job may be accepted later: a busy controller, or a limit on submitted jobs."""

_UNLIMITED_MINUTES = 60 * 24 * 365

_PROCESSES = Path("/proc")
"""Folder in which Linux shows every process."""


class QueueBusyError(BenchError):
    """The queue does not answer or takes no job now; the same request may succeed later."""


class JobState(NamedTuple):
    """Where a job stands.

    Attributes:
        is_over: whether it does not run and will not run again.
        words: the same in words, with the queue's own reason.
    """

    is_over: bool
    words: str


class JobQueue(Protocol):
    """Runs functions in jobs, which go on when this process ends.

    Attributes:
        title: what it is, for a sentence.
    """

    title: str

    def submit_job(self, resources: CellResources, function: Callable[..., None], *arguments: object) -> str:
        """Queue a job that calls a function, and return its id.

        Raises:
            UserError: the queue refuses such a job.
            QueueBusyError: the queue takes no job now.
        """

    def list_states(self, job_ids: Collection[str]) -> Mapping[str, JobState]:
        """Return where each of these jobs stands.

        Raises:
            QueueBusyError: the queue does not answer.
        """

    def cancel_jobs(self, job_ids: Collection[str]) -> None:
        """End jobs, whether they wait or run."""

    def find_log(self, job_id: str) -> Path:
        """Return the file that holds what a job wrote outside of its cells."""


class SlurmQueue:
    """Jobs of Slurm.

    Args:
        folder: folder for the scripts, the pickled calls and the logs of the jobs.
        partition: where the jobs run; ``None``: Slurm's default.
        minutes: time limit of one job; ``None``: that of the partition.
        arguments: further options of sbatch, without the dashes in front, for example ``{"account": "vision"}``.

    Raises:
        UserError: Slurm or submitit is not installed here.
    """

    title = "Slurm"

    def __init__(
        self, folder: Path, partition: str | None, minutes: int | None, arguments: Mapping[str, str | bool]
    ) -> None:
        self._submitit = _import_submitit()
        self._folder = folder
        # submitit asks for srun as well, to find out whether this is a machine of a cluster
        missing = [name for name in ("sbatch", "squeue", "scancel", "srun") if shutil.which(name) is None]
        if missing:
            raise UserError(
                f"this machine has no {', '.join(missing)}; start the matrix on a login node of the Slurm cluster"
            )
        self._parameters: dict[str, Any] = {
            "job_name": "bench",
            "partition": partition,
            "time": minutes,
            # without srun the process has all CPUs of the job; srun has its own rules for them since Slurm 22.05
            "use_srun": False,
            "additional_parameters": dict(arguments),
        }

    def submit_job(self, resources: CellResources, function: Callable[..., None], *arguments: object) -> str:
        """Queue a job with sbatch."""
        executor = self._submitit.SlurmExecutor(folder=self._folder, python=_make_python_command(resources))
        executor.update_parameters(
            **self._parameters,
            cpus_per_task=resources.threads,
            gpus_per_node=resources.gpus or None,
            mem=None if resources.memory_gib is None else f"{math.ceil(resources.memory_gib * 1024)}M",
        )
        try:
            # submitit also prints what sbatch says
            with contextlib.redirect_stderr(io.StringIO()):
                return str(executor.submit(function, *arguments).job_id)
        except self._submitit.core.utils.FailedJobError as error:
            sentence = " ".join(str(error).split())
        if _PASSING_FAULTS.search(sentence):
            raise QueueBusyError(f"Slurm takes no job now: {sentence}")
        raise UserError(f"Slurm refuses the job: {sentence}")

    def list_states(self, job_ids: Collection[str]) -> Mapping[str, JobState]:
        """Ask squeue, and sacct for the jobs that squeue has forgotten."""
        lines = _run_command("squeue", "--noheader", f"--user={os.getuid()}", "--states=all", "--format=%i|%T|%r")
        states = dict(_read_state(line) for line in lines if line.count("|") == 2)
        forgotten = [job_id for job_id in job_ids if job_id not in states]
        if forgotten and shutil.which("sacct"):
            options = ("--noheader", "--parsable2", "--allocations", "--format=JobID,State,ExitCode")
            # a cluster without accounting has the command, and it fails
            with contextlib.suppress(QueueBusyError):
                lines = _run_command("sacct", *options, f"--jobs={','.join(forgotten)}")
                states |= dict(_read_state(line) for line in lines if line.count("|") == 2)
        gone = JobState(True, "Slurm has no such job any more")
        return {job_id: states.get(job_id, gone) for job_id in job_ids}

    def cancel_jobs(self, job_ids: Collection[str]) -> None:
        """Call scancel."""
        if job_ids:
            _run_command("scancel", *sorted(job_ids))

    def find_log(self, job_id: str) -> Path:
        """Return the job's stderr."""
        return self._folder / f"{job_id}_0_log.err"


class LocalQueue:
    """Processes of this machine in place of jobs, to try a matrix without Slurm.

    Args:
        folder: folder for the pickled calls and the logs of the jobs.
        minutes: time limit of one job; ``None``: none.
    """

    title = "submitit on this machine"

    def __init__(self, folder: Path, minutes: int | None) -> None:
        self._submitit = _import_submitit()
        self._folder = folder
        self._minutes = minutes or _UNLIMITED_MINUTES
        if not _PROCESSES.is_dir():
            raise UserError("jobs on this machine in place of Slurm need Linux; use --executor local")
        self._jobs: list[Any] = []

    def submit_job(self, resources: CellResources, function: Callable[..., None], *arguments: object) -> str:
        """Start a process."""
        executor = self._submitit.LocalExecutor(folder=self._folder, python=_make_python_command(resources))
        executor.update_parameters(timeout_min=self._minutes, gpus_per_node=resources.gpus)
        job = executor.submit(function, *arguments)
        self._jobs.append(job)
        return str(job.job_id)

    def list_states(self, job_ids: Collection[str]) -> Mapping[str, JobState]:
        """Look at the processes."""
        running, over = JobState(False, "it runs"), JobState(True, "its process has ended")
        return {job_id: running if _is_controller(job_id) else over for job_id in job_ids}

    def cancel_jobs(self, job_ids: Collection[str]) -> None:
        """Terminate the processes."""
        for job_id in job_ids:
            if _is_controller(job_id):
                # the job's process is the only child of the process that watches over it, which then ends
                children = (_PROCESSES / job_id / "task" / job_id / "children").read_text().split()
                for process in children or [job_id]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(process), signal.SIGTERM)

    def find_log(self, job_id: str) -> Path:
        """Return the job's stderr."""
        return self._folder / f"{job_id}_0_log.err"


def parse_time_limit(text: str) -> int:
    """Return a time limit in minutes, rounded up.

    Args:
        text: as sbatch takes it: minutes, ``MM:SS``, ``HH:MM:SS``, ``D-HH``, ``D-HH:MM`` or ``D-HH:MM:SS``.

    Raises:
        UserError: it has another form.

    >>> parse_time_limit("90"), parse_time_limit("2:00:00"), parse_time_limit("1-12")
    (90, 120, 2160)
    """
    if not re.fullmatch(r"\d+(:\d+){0,2}|\d+-\d+(:\d+){0,2}", text):
        raise UserError(f"--time {text} is not a time limit of Slurm; give minutes, HH:MM:SS or D-HH:MM:SS")
    days, dash, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if dash:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, minutes, seconds = 0, parts[0], parts[1] if len(parts) == 2 else 0
    return (int(days or 0) * 24 + hours) * 60 + minutes + math.ceil(seconds / 60)


def _import_submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise UserError("executor slurm needs the package submitit: pip install 'litevit-bench[slurm]'") from error
    # it prints to stdout, where the events of the matrix may go
    logging.getLogger("submitit").setLevel(logging.CRITICAL)
    return submitit


def _make_python_command(resources: CellResources) -> str:
    """Return the shell words that start Python in a job: the variables are set before torch is imported."""
    variables = list_driver_variables() | make_worker_environment(resources)
    # submitit starts a module, which would put the current folder first on Python's path
    variables["PYTHONSAFEPATH"] = "1"
    return shlex.join(["env", *(f"{name}={value}" for name, value in variables.items()), sys.executable])


def _run_command(*command: str) -> list[str]:
    """Run a command of Slurm and return the lines that it printed.

    Raises:
        QueueBusyError: it fails.
    """
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands; job ids are numbers
            command, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=True
        )
    except subprocess.CalledProcessError as error:
        raise QueueBusyError(f"{command[0]} fails: {' '.join(error.stderr.split())}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QueueBusyError(f"{command[0]} does not answer ({error})") from error
    return done.stdout.splitlines()


def _read_state(line: str) -> tuple[str, JobState]:
    """Read a line of squeue (id, state, reason) or sacct (id, state, exit code)."""
    job_id, state, reason = (part.strip() for part in line.split("|"))
    # sacct adds who did it: "CANCELLED by 1000"
    ended = _ENDED_STATES.get(state.split()[0].rstrip("+")) if state else None
    detail = f", {reason}" if reason not in ("", "None") else ""
    words = f"Slurm says {state}{detail}"
    return job_id, JobState(ended is not None, f"{words}: {ended}" if ended else words)


def _is_controller(job_id: str) -> bool:
    """Return whether a process lives and is the one that watches over a job of submitit."""
    try:
        return b"submitit.local._local" in (_PROCESSES / job_id / "cmdline").read_bytes()
    except OSError:
        return False
