"""Executor ``local``: processes of this machine, each of which runs one cell after the other. Imports no torch."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

from benchmarks.matrix.executors.executor import CellJob, CellReport, CellResources, WorkerDiedError
from benchmarks.matrix.run_in_worker import end_with_driver, make_worker_environment, run_job
from engine.processes.stop_signals import find_stop, install_stop_signals
from foundation.errors import UserError
from foundation.plural import format_count

_INTERRUPT_SECONDS = 15.0
"""How long a cell may take to write its state after an interrupt, before its process is killed."""


@dataclass
class _Slot:
    """One worker process.

    Attributes:
        threads: number of threads that it was started with.
        gpus: indices of the GPUs that it sees.
        pool: a pool of this one process, so that its death breaks no other slot.
        pid: holds the process id once the process has begun.
        loading: ends when the process has imported what cells need.
        running: the cell that runs in it.
    """

    threads: int
    gpus: tuple[str, ...]
    pool: ProcessPoolExecutor
    pid: Future[int]
    loading: Future[None]
    running: Future[CellReport] | None = None
    resources: CellResources = field(default_factory=CellResources)

    @property
    def is_idle(self) -> bool:
        return self.running is None or self.running.done()

    @property
    def is_usable(self) -> bool:
        """Whether the process may run another cell: not if it died or the last one left it in an unknown state."""
        if self.running is None or not self.running.done():
            return True
        return self.running.exception() is None and not self.running.result().ends_process


class LocalExecutor:
    """Runs cells in processes of this machine.

    The processes are kept for the next cell, because importing the libraries takes longer than many cells. They end
    with the driver, also when it is killed.

    Args:
        slots: number of cells that run at the same time; ``None``: as many as there are processors (or GPUs) for.
        default: what the largest cell needs; there is room for ``slots`` cells of this size.
        num_cells: number of cells of the matrix; there are never more slots than that.
    """

    name = "local"
    takes_groups = False

    def __init__(self, slots: int | None, default: CellResources, num_cells: int) -> None:
        self.default = default
        self._gpus = list_gpus()
        self._max_cells = slots
        self._num_slots = min(slots or self._count_slots(), num_cells)
        self._threads = self._num_slots * default.threads
        self._memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        self._slots: list[_Slot] = []

    def start(self) -> None:
        """Start the processes, so that they import the libraries at the same time."""
        self._require_possible(self.default)
        for number in range(self._num_slots):
            gpus = self._gpus[number * self.default.gpus : (number + 1) * self.default.gpus]
            if len(gpus) == self.default.gpus:
                self._slots.append(_start_slot(self.default.threads, tuple(gpus)))

    def has_room(self, resources: CellResources) -> bool:
        """Return whether threads, GPUs and memory for one more cell are free.

        Raises:
            UserError: this machine never has as much.
        """
        self._require_possible(resources)
        busy = [slot for slot in self._slots if not slot.is_idle]
        threads = sum(slot.resources.threads for slot in busy)
        gpus = sum(slot.resources.gpus for slot in busy)
        memory = sum(slot.resources.memory_gib or 0.0 for slot in busy)
        return (
            len(busy) < (self._max_cells or len(busy) + 1)
            and threads + resources.threads <= self._threads
            and gpus + resources.gpus <= len(self._gpus)
            and memory + (resources.memory_gib or 0.0) <= self._memory_gib
        )

    def submit(self, jobs: Sequence[CellJob]) -> Sequence[Future[CellReport]]:
        """Start one cell in an idle process that fits it, or in a new one."""
        (job,) = jobs  # takes_groups is False
        slot = self._take_slot(job.resources)
        slot.resources = job.resources
        promise: Future[CellReport] = Future()
        promise.set_running_or_notify_cancel()
        slot.running = promise
        try:
            inner = slot.pool.submit(run_job, job)
        except BrokenProcessPool:  # it died while it was idle
            self._drop_slot(slot)
            return self.submit(jobs)
        inner.add_done_callback(lambda done: _hand_over(done, promise, job))
        return [promise]

    def describe(self) -> str:
        """Return the number of processes and what each has."""
        processes = f"{self._num_slots} process{'es' if self._num_slots > 1 else ''}"
        gpus = f" and {format_count(self.default.gpus, 'GPU')}" if self.default.gpus else ""
        return f"this machine, {processes} of {format_count(self.default.threads, 'thread')}{gpus}"

    def close(self) -> None:
        """Interrupt the running cells, wait until they have written their state, and end all processes."""
        busy = [slot for slot in self._slots if not slot.is_idle]
        stop = find_stop()
        try:
            for slot in busy:
                # a cell that has not begun has nothing to write, and an interrupted import would go on to the cell
                if not slot.loading.done():
                    self._signal_slot(slot, signal.SIGKILL)
                elif stop is None:
                    self._signal_slot(slot, signal.SIGINT)
                else:
                    # only to the process: it ends those that it has started, and records would name their death
                    self._signal_slot(slot, stop.number, to_group=False)
            deadline = time.monotonic() + _INTERRUPT_SECONDS
            while any(not slot.is_idle for slot in busy) and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:  # also after a second Ctrl-C
            for slot in self._slots:
                self._signal_slot(slot, signal.SIGKILL)
                slot.pool.shutdown(wait=False, cancel_futures=True)
            self._slots.clear()

    @staticmethod
    def _signal_slot(slot: _Slot, number: int, *, to_group: bool = True) -> None:
        """Send a signal to a process and, with ``to_group``, to those that it started."""
        # a process that has just been started says its id within a second, or breaks the pool
        wait([slot.pid], timeout=_INTERRUPT_SECONDS)
        if slot.pid.done() and slot.pid.exception() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended by itself
                (os.killpg if to_group else os.kill)(slot.pid.result(), number)

    def _count_slots(self) -> int:
        by_threads = len(os.sched_getaffinity(0)) // self.default.threads
        return max(1, min(by_threads, len(self._gpus) // self.default.gpus) if self.default.gpus else by_threads)

    def _require_possible(self, resources: CellResources) -> None:
        if resources.threads > self._threads:
            raise UserError(
                f"a cell needs {format_count(resources.threads, 'thread')}, and all processes of this sweep together "
                f"have {self._threads}; lower its threads, or raise --slots or --threads"
            )
        if resources.gpus > len(self._gpus):
            raise UserError(
                f"a cell needs {format_count(resources.gpus, 'GPU')}, and this machine shows {len(self._gpus)}"
            )
        if (resources.memory_gib or 0.0) > self._memory_gib:
            raise UserError(
                f"a cell needs {resources.memory_gib:g} GiB of memory, and this machine has {self._memory_gib:.0f}"
            )

    def _take_slot(self, resources: CellResources) -> _Slot:
        """Return an idle slot with exactly these threads and GPUs; slots of another shape make room for it."""
        for slot in [slot for slot in self._slots if not slot.is_usable]:
            self._drop_slot(slot)
        for slot in self._slots:
            if slot.is_idle and slot.threads == resources.threads and len(slot.gpus) == resources.gpus:
                return slot
        idle = [slot for slot in self._slots if slot.is_idle]
        if len(self._slots) >= self._num_slots and idle:
            self._drop_slot(idle[0])
        taken = {gpu for slot in self._slots for gpu in slot.gpus}
        free = [gpu for gpu in self._gpus if gpu not in taken]
        slot = _start_slot(resources.threads, tuple(free[: resources.gpus]))
        self._slots.append(slot)
        return slot

    def _drop_slot(self, slot: _Slot) -> None:
        self._slots.remove(slot)
        self._signal_slot(slot, signal.SIGKILL)  # a process that died has left those behind that it had started
        slot.pool.shutdown(wait=False)


def list_gpus() -> list[str]:
    """Return the ids of the GPUs that this process may use, without importing torch where that is possible."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    if not os.path.exists("/dev/nvidiactl"):  # noqa: PTH110 - a device file
        return []
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def _start_slot(threads: int, gpus: tuple[str, ...]) -> _Slot:
    variables = make_worker_environment(CellResources(threads=threads, gpus=len(gpus)))
    if gpus:
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    # "spawn": a fork would share the locks and threads of the driver
    pool = ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn"), initializer=_enter_worker, initargs=(variables,)
    )
    return _Slot(threads, gpus, pool, pool.submit(os.getpid), pool.submit(_load_libraries))


def _enter_worker(variables: Mapping[str, str]) -> None:
    """Prepare a worker process: a group of its own, its variables, and an end with the driver."""
    os.environ.update(variables)
    os.setsid()  # Ctrl-C on the terminal reaches the driver only, which tells the workers
    # what this process starts begins as in a single run; "spawn" would also refuse data that cannot be pickled
    multiprocessing.set_start_method(None, force=True)
    install_stop_signals()  # the driver passes on the signal that stops it, which the records then name
    end_with_driver()


def _load_libraries() -> None:
    """Import what every cell needs."""
    import benchmarks.run_cell  # noqa: F401
    import engine.training  # noqa: F401


def _hand_over(done: Future[CellReport], promise: Future[CellReport], job: CellJob) -> None:
    """Pass on the report of a cell, or that its process died."""
    # cancelled: the executor was closed before the process took the cell
    error = BrokenProcessPool() if done.cancelled() else done.exception()
    if isinstance(error, KeyboardInterrupt):  # not of this command: its own is raised in the driver
        error = WorkerDiedError(f"the process of the cell was interrupted; its output is in {job.log_file}")
    elif isinstance(error, BrokenProcessPool):
        error = WorkerDiedError(
            f"the process of the cell ended without a word (killed, or out of memory); its output is in {job.log_file}"
        )
    if error is not None:
        promise.set_exception(error)
    else:
        promise.set_result(done.result())
