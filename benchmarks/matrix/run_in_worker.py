"""Run one cell of a matrix in a worker: any process, on any machine, that an executor started. Imports no torch."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from benchmarks.matrix.executors.executor import CellJob, CellReport, CellResources
from engine.processes.launcher import ALONE
from engine.processes.lost_workers import describe_lost_worker
from foundation.errors import BenchError
from foundation.storage.write_faults import find_storage_error, make_storage_error

# each library that computes with threads reads its own variable when it is imported
_THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
    "OPENCV_FOR_THREADS_NUM",
)


def make_worker_environment(resources: CellResources) -> dict[str, str]:
    """Return the environment variables that a worker process must have before it imports torch.

    Args:
        resources: what the cells of this worker need.

    >>> make_worker_environment(CellResources(threads=2))["OMP_NUM_THREADS"]
    '2'
    """
    # each worker runs its cells alone, also where several were started by srun or torchrun
    variables = dict.fromkeys(_THREAD_VARIABLES, str(resources.threads)) | ALONE
    if resources.gpus == 0:
        variables["CUDA_VISIBLE_DEVICES"] = "-1"
    return variables


def end_with_driver() -> None:
    """Let this process end as soon as the one that started it does, however that ends; called once in a worker."""
    driver = multiprocessing.parent_process()
    assert driver is not None, "a worker is started by a driver"
    threading.Thread(target=_wait_for_end, args=(driver,), daemon=True).start()


def _wait_for_end(driver: multiprocessing.process.BaseProcess) -> None:
    driver.join()
    if os.getpgrp() == os.getpid():  # with the processes that it has started
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def run_job(job: CellJob) -> CellReport:
    """Run a cell with the threads that it needs; what it prints goes into its log file.

    A cell that fails is a report as well. Only the death of the process, or its interrupt, ends without one.
    """
    began = time.monotonic()
    try:
        job.log_file.parent.mkdir(parents=True, exist_ok=True)
        with _redirect_output(job.log_file):
            return _run_and_report(job, began)
    except OSError as error:  # a full disk, for example
        reason = make_storage_error(job.log_file, error).strerror
        failure = f"the output of the cell cannot be written to {job.log_file} ({reason})"
        return CellReport(job.number, None, False, time.monotonic() - began, failure, is_retryable=True)


def _run_and_report(job: CellJob, began: float) -> CellReport:
    before = None
    try:
        with _use_threads(job.resources.threads):
            from benchmarks.matrix.process_state import describe_process_state
            from benchmarks.run_cell import run_cell

            before = describe_process_state()
            cell = run_cell(job.request)
    # any failure of a cell is a report, and the matrix goes on. SystemExit is one too: it would end the whole matrix,
    # perhaps with exit code 0
    except (Exception, SystemExit) as error:  # noqa: BLE001
        report = _report_failure(job, error, time.monotonic() - began)
    else:
        report = CellReport(job.number, cell.folder, cell.from_record, time.monotonic() - began)
    return report._replace(is_process_changed=before is not None and describe_process_state() != before)


def _report_failure(job: CellJob, error: BaseException, seconds: float) -> CellReport:
    from results.records.store import FolderLockedError

    # to stderr, which is the log file: the sentence is enough for the list of failures
    with contextlib.suppress(OSError):  # on a full disk the sentence is all there is
        traceback.print_exception(error)
    error = find_storage_error(error) or error
    known = isinstance(error, BenchError)
    is_exit = isinstance(error, SystemExit)
    first_line = next(iter(str(error).splitlines()), "no message")
    return CellReport(
        job.number,
        None,
        is_from_record=False,
        seconds=seconds,
        failure=str(error)
        if known
        else describe_lost_worker(error) or f"unexpected {type(error).__name__}: {first_line}",
        # a BenchError says what the user must change, and code that ends itself does it again; anything else may be
        # the machine's fault
        is_retryable=not known and not is_exit,
        is_busy_elsewhere=isinstance(error, FolderLockedError),
    )


@contextlib.contextmanager
def _redirect_output(log_file: Path) -> Iterator[None]:
    """Append what this process and its children write to stdout and stderr to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    with log_file.open("ab") as log:
        saved = [os.dup(1), os.dup(2)]
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        # python's own streams may be objects of the executor (Ray replaces them), which do not end in 1 and 2
        with (
            os.fdopen(os.dup(1), "w", buffering=1) as out,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
        ):
            yield
    finally:
        for descriptor, copy in enumerate(saved, start=1):
            os.dup2(copy, descriptor)
            os.close(copy)


@contextlib.contextmanager
def _use_threads(threads: int) -> Iterator[None]:
    """Compute with a number of threads, also in a process whose libraries are loaded already."""
    for name in _THREAD_VARIABLES:  # for processes that the cell starts
        os.environ[name] = str(threads)
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads)
    with threadpool_limits(threads):
        yield
