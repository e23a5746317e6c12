"""Executor ``slurm``: jobs of Slurm, each of which runs a group of cells one after the other. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from benchmarks.matrix.executors.executor import CellJob, CellReport, CellResources, WorkerDiedError
from benchmarks.matrix.executors.job_queues import (
    JobQueue,
    JobState,
    LocalQueue,
    QueueBusyError,
    SlurmQueue,
    parse_time_limit,
)
from benchmarks.matrix.executors.worker_check import (
    DriverMark,
    WrongWorkerError,
    hash_bench_code,
    require_driver_mark,
    write_driver_mark,
)
from benchmarks.matrix.run_in_worker import run_job
from engine.processes.stop_signals import install_stop_signals
from foundation.errors import UserError
from foundation.files import ensure_writable_dir, write_atomic
from foundation.plural import format_count

_REPORT_SECONDS = 1.0
"""Time between two looks at the reports."""

_CANCEL_SECONDS = 15.0
"""How long cancelled jobs may take to write their state."""

_REPORT_READER = TypeAdapter(CellReport)


class _GroupFile(BaseModel):
    """What is kept of a job for a driver that is started again: its id, and the keys of its cells."""

    job_id: str = Field(pattern=r"^\d+$")
    cells: list[str]


@dataclass
class _CellGroup:
    """Cells that one job runs.

    Attributes:
        name: of its files.
        job_id: the queue's id; ``None`` while the queue takes no jobs.
        keys: of all of its cells.
        jobs: cells that were submitted in this process and have no job yet.
        waiting: cells whose reports the driver waits for.
        reported: keys of cells with a report.
        is_over: the queue said at the last look that the job has ended.
    """

    name: str
    job_id: str | None
    keys: tuple[str, ...]
    jobs: tuple[CellJob, ...] = ()
    waiting: dict[str, tuple[CellJob, Future[CellReport]]] = field(default_factory=dict)
    reported: set[str] = field(default_factory=set)
    is_over: bool = False


def run_group(jobs: Sequence[CellJob], keys: Sequence[str], reports: Path, mark: DriverMark) -> None:
    """Run cells one after the other in a job, and write the report of each as soon as it is there.

    Cells that have a report are left out: the job may have been put back into the queue.

    Args:
        jobs: the cells.
        keys: a file name for each.
        reports: folder of the reports.
        mark: what this process compares itself with.
    """
    # submitit would put a preempted job back into the queue itself; this is left to Slurm and to the driver
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    # a cell that is cancelled, preempted or out of time writes its state; submitit only logs SIGTERM
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    install_stop_signals()
    for job, key in zip(jobs, keys, strict=True):
        if (reports / f"{key}.json").exists():
            continue
        try:
            require_driver_mark(mark)
        except WrongWorkerError as error:
            report = CellReport(job.number, None, is_from_record=False, seconds=0.0, failure=str(error))
        else:
            report = run_job(job)
        folder = None if report.folder is None else str(report.folder)
        write_atomic(reports / f"{key}.json", json.dumps({**report._asdict(), "folder": folder}))
        if report.ends_process:
            os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - the command that started this process


class SlurmExecutor:
    """Runs groups of cells as jobs of Slurm.

    Jobs go on when the driver dies. A driver that is started again with the same folder takes those up that still wait
    or run, and submits none of their cells a second time.

    Args:
        folder: absolute path of the sweep's folder, on a disk that all machines share.
        partition: where the jobs run; ``None``: Slurm's default.
        time: limit of one job as sbatch takes it, minutes or ``D-HH:MM:SS``; ``None``: that of the partition.
        array_size: maximum number of jobs that wait or run at the same time.
        arguments: further options of sbatch, for example ``{"account": "vision", "exclusive": True}``.
        cluster: ``slurm``, or ``local`` for processes of this machine.
        poll_seconds: time between two looks at the queue.
    """

    name = "slurm"
    takes_groups = True

    def __init__(
        self,
        *,
        folder: Path,
        partition: str | None = None,
        time: str | None = None,
        array_size: int = 32,
        arguments: Mapping[str, str | bool] | None = None,
        cluster: str = "slurm",
        poll_seconds: float = 15.0,
    ) -> None:
        self._folder = folder / "jobs"
        self._partition = partition
        self._minutes = None if time is None else parse_time_limit(time)
        self._array_size = array_size
        self._arguments = arguments or {}
        self._cluster = cluster
        self._poll_seconds = poll_seconds
        self._queue: JobQueue | None = None
        self._mark: DriverMark | None = None
        self._groups: list[_CellGroup] = []
        self._lock = threading.RLock()
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="slurm jobs", daemon=True)

    def start(self) -> None:
        """Look for the queue, and take up the jobs of an earlier driver.

        Raises:
            UserError: Slurm or submitit is not there, or a file of an earlier driver is damaged.
        """
        calls = self._folder / "submitit"
        ensure_writable_dir(self._folder)
        _make_private_folder(calls)
        if self._cluster == "local":
            self._queue = LocalQueue(calls, self._minutes)
        else:
            self._queue = SlurmQueue(calls, self._partition, self._minutes, self._arguments)
        self._take_up_jobs()
        # kept when the driver dies, because its jobs go on
        self._mark = write_driver_mark(self._folder)
        self._thread.start()

    def has_room(self, resources: CellResources) -> bool:
        """Return whether one more job may be submitted; jobs that were taken up count once the driver asks for them."""
        with self._lock:
            return sum(bool(group.waiting) for group in self._groups) < self._array_size

    def submit(self, jobs: Sequence[CellJob]) -> Sequence[Future[CellReport]]:
        """Submit a job for those of the cells that no job of an earlier driver waits for or runs.

        Raises:
            UserError: Slurm refuses the job: an unknown partition, a limit that is exceeded.
        """
        futures: list[Future[CellReport]] = []
        new: dict[str, tuple[CellJob, Future[CellReport]]] = {}
        with self._lock:
            for job in jobs:
                promise: Future[CellReport] = Future()
                promise.set_running_or_notify_cancel()
                futures.append(promise)
                key = _make_cell_key(job)
                group = self._find_taken_up(key)
                (new if group is None else group.waiting)[key] = (job, promise)
            if new:
                group = _CellGroup(uuid.uuid4().hex, None, tuple(new), tuple(job for job, _ in new.values()), new)
                self._groups.append(group)
                try:
                    self._submit_group(group)
                except UserError:
                    self._forget(group)
                    raise
        return futures

    def describe(self) -> str:
        """Return the queue, the partition and the limits."""
        title = self._queue.title if self._queue else self._cluster
        parts = [title]
        if self._partition:
            parts.append(f"partition {self._partition}")
        parts.append(f"at most {format_count(self._array_size, 'job')}")
        if self._minutes:
            parts.append(f"{self._minutes} min each")
        return ", ".join(parts)

    def close(self) -> None:
        """Cancel the jobs, those that were taken up as well, and wait until they have written their state."""
        self._is_closed.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            ids = {group.job_id for group in self._groups if group.job_id is not None}
            if self._queue is not None and ids:
                try:
                    self._queue.cancel_jobs(ids)
                except QueueBusyError as error:  # or a job has just ended
                    _warn(str(error))
                end = time.monotonic() + _CANCEL_SECONDS
                while time.monotonic() < end and not all(each.is_over for each in self._list_states(ids).values()):
                    time.sleep(0.5)
            for group in list(self._groups):
                self._fail(group, "the driver ended and cancelled its job")
        if self._mark is not None:
            self._mark.file.unlink(missing_ok=True)

    def _take_up_jobs(self) -> None:
        """Find the jobs of an earlier driver that still wait or run, and delete the files of the others."""
        found = [self._read_group(file) for file in sorted(self._folder.glob("group-*.json"))]
        assert self._queue is not None
        try:
            states = self._queue.list_states([group.job_id for group in found if group.job_id])
        except QueueBusyError as error:
            raise UserError(f"jobs of an earlier driver may still run, and {error}; try again later") from error
        for group in found:
            self._groups.append(group)
            if states[str(group.job_id)].is_over:
                self._forget(group)
        if not self._groups:  # a driver that was killed left its mark behind
            for file in self._folder.glob("driver-*"):
                file.unlink(missing_ok=True)

    def _read_group(self, file: Path) -> _CellGroup:
        try:
            kept = _GroupFile.model_validate_json(file.read_bytes())
        except ValidationError as error:
            raise UserError(
                f"{file}, which names a job of an earlier driver, is damaged; cancel that job and delete the file"
            ) from error
        name = file.stem.removeprefix("group-")
        group = _CellGroup(name, kept.job_id, tuple(kept.cells))
        group.reported = {path.stem for path in self._locate_reports(group).glob("*.json")}
        return group

    def _find_taken_up(self, key: str) -> _CellGroup | None:
        """Return the group of an earlier driver that has not yet run a cell."""
        for group in self._groups:
            if key in group.keys and key not in group.reported and key not in group.waiting:
                return group
        return None

    def _submit_group(self, group: _CellGroup) -> None:
        """Submit a group's job; if the queue takes none now, it is tried again later."""
        assert self._queue is not None
        reports = self._locate_reports(group)
        reports.mkdir(exist_ok=True)
        each = [job.resources for job in group.jobs]
        memory = [resources.memory_gib for resources in each if resources.memory_gib is not None]
        needed = CellResources(
            max(resources.threads for resources in each),
            max(resources.gpus for resources in each),
            max(memory, default=None),
        )
        try:
            group.job_id = self._queue.submit_job(needed, run_group, group.jobs, group.keys, reports, self._mark)
        except QueueBusyError as error:
            _warn(str(error))
            return
        group.jobs = ()
        kept = _GroupFile(job_id=group.job_id, cells=list(group.keys))
        write_atomic(self._locate_file(group), kept.model_dump_json())

    def _watch(self) -> None:
        """Look for reports and at the queue until the executor is closed; runs in a thread."""
        next_look = time.monotonic() + self._poll_seconds
        while not self._is_closed.wait(min(_REPORT_SECONDS, self._poll_seconds)):
            try:
                with self._lock:
                    self._collect_reports()
                    if time.monotonic() >= next_look:
                        next_look = time.monotonic() + self._poll_seconds
                        self._look_at_queue()
            except Exception as error:  # noqa: BLE001 - a network disk may fail for a while, and the jobs go on
                _warn(f"looking after the jobs failed and is tried again ({type(error).__name__}: {error})")

    def _collect_reports(self) -> None:
        for group in list(self._groups):
            for path in sorted(self._locate_reports(group).glob("*.json")):
                if path.stem not in group.reported:
                    group.reported.add(path.stem)
                    _hand_over(path, group)
            if group.reported >= set(group.keys):
                self._forget(group)

    def _look_at_queue(self) -> None:
        """Find the jobs that ended without a report of each cell, and submit what the queue did not take."""
        for group in list(self._groups):
            if group.job_id is None:
                try:
                    self._submit_group(group)
                except UserError as error:
                    self._fail(group, str(error))
        states = self._list_states({group.job_id for group in self._groups if group.job_id is not None})
        for group in list(self._groups):
            state = states.get(group.job_id or "")
            # seen twice, because a network disk may show the last report later than the queue shows the end
            if state is not None and state.is_over and group.is_over:
                assert self._queue is not None and group.job_id is not None
                self._fail(group, f"job {group.job_id}: {state.words} (log: {self._queue.find_log(group.job_id)})")
            group.is_over = state is not None and state.is_over

    def _list_states(self, job_ids: set[str]) -> Mapping[str, JobState]:
        """Return where jobs stand; nothing while the queue does not answer."""
        if self._queue is None or not job_ids:
            return {}
        try:
            return self._queue.list_states(job_ids)
        except QueueBusyError as error:
            _warn(str(error))
            return {}

    def _fail(self, group: _CellGroup, reason: str) -> None:
        for job, promise in group.waiting.values():
            promise.set_exception(WorkerDiedError(f"cell {job.number} ended without a report: {reason}"))
        group.waiting.clear()
        self._forget(group)

    def _forget(self, group: _CellGroup) -> None:
        self._groups.remove(group)
        self._locate_file(group).unlink(missing_ok=True)
        shutil.rmtree(self._locate_reports(group), ignore_errors=True)

    def _locate_file(self, group: _CellGroup) -> Path:
        return self._folder / f"group-{group.name}.json"

    def _locate_reports(self, group: _CellGroup) -> Path:
        return self._folder / f"reports-{group.name}"


def _make_private_folder(folder: Path) -> None:
    """Create a folder that nobody else can write into, because the jobs unpickle their calls from there.

    Raises:
        UserError: there is one of another kind.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.stat()
    if state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise UserError(f"others can write into {folder}, and jobs run what is in it; remove it")


def _make_cell_key(job: CellJob) -> str:
    """Return a name for a cell that a driver that is started again finds as well, whatever the cell's number is."""
    request = replace(job.request, command_line=())
    # other code gives another number, so a job that was submitted with it is not taken up
    text = f"{request!r} {job.resources!r} {hash_bench_code()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _hand_over(path: Path, group: _CellGroup) -> None:
    """Give a report to who waits for it."""
    waiting = group.waiting.pop(path.stem, None)
    if waiting is None:
        return
    job, promise = waiting
    try:
        report = _REPORT_READER.validate_json(path.read_bytes())
        if report.folder is not None and not report.folder.resolve().is_relative_to(job.request.out.resolve()):
            raise ValueError("its folder is outside of the store")
    except ValueError as error:
        promise.set_exception(WorkerDiedError(f"cell {job.number} left a damaged report ({error})"))
        return
    # the driver that submitted the job may have given the cell another number
    promise.set_result(report._replace(number=job.number))


def _warn(message: str) -> None:
    logging.getLogger(__name__).warning(message)
