"""Track sequences in several processes with one thread each.

Sequences are handed out one at a time, in the given order, to whichever process is free next.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from foundation.errors import BenchError
from tracking.data.readers.sequence import Video
from tracking.inference.progress import TrackingProgress
from tracking.inference.result_files import write_tracked_sequence
from tracking.inference.sequential import track_sequence
from tracking.inference.tracker import Tracker

PROGRESS_SECONDS = 0.5
"""Least time between two progress messages of a process."""
SHUTDOWN_SECONDS = 5.0
"""How long to wait for processes to end before they are killed."""


class Worker(NamedTuple):
    """A process and our end of its pipe.

    The process sends the number of tracked frames, ``None`` when it is free, and an error at most once.
    """

    process: Any
    pipe: Connection


def track_multiprocess(
    tracker_factory: Callable[[], Tracker], videos: Sequence[Video], folder: Path, label: str, num_processes: int
) -> None:
    """Track sequences into ``folder``; each process writes the result files of its sequences.

    Processes are started with ``spawn``, because a fork would copy the state of torch's threads. They ignore Ctrl-C in
    the terminal. If this process ends in any way, they notice that their pipe is closed, and end too. If one of them
    fails or dies, all are ended.

    Args:
        tracker_factory: creates the tracker in each process; it is pickled.
        videos: sequences in the order in which they are handed out.
        folder: folder for the result files, which exists.
        label: name for the progress display.
        num_processes: number of processes, at least 1.

    Raises:
        DataError: see ``sequential.track_sequence``.
        BenchError: a process was killed or failed.
    """
    workers: list[Worker] = []
    given: dict[Connection, str] = {}
    waiting, num_processes = iter(videos), min(num_processes, len(videos))
    with TrackingProgress(label, videos) as meter, _shutdown_workers(workers):
        for _ in range(num_processes):
            workers.append(_start_worker(tracker_factory, folder, num_processes))
        busy = {worker.pipe: worker for worker in workers}
        while busy:
            # blocks until at least one process has sent something or has died (its pipe then raises EOFError)
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                message = _receive_message(busy[pipe], given.get(pipe), folder)
                if isinstance(message, BaseException):
                    raise message
                if message is not None:
                    meter.advance_frames(message)
                    continue
                # the first None of a process says that it has started, every later one that its sequence is finished
                if given.pop(pipe, None):
                    meter.finish_sequence()
                video = next(waiting, None)
                with _leave_death_to_receive():
                    pipe.send(video)
                if video is None:
                    del busy[pipe]
                else:
                    given[pipe] = video.name


def count_cpu_cores() -> int:
    """Return the number of processor cores that this process may use."""
    # containers and batch systems often allow fewer cores than the machine has
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def use_one_thread() -> Iterator[None]:
    """Limit torch to one thread within a ``with`` block.

    Worker processes also compute with one thread, and the number of threads can change how sums are rounded. So boxes
    are the same with one process as with several.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _start_worker(tracker_factory: Callable[[], Tracker], folder: Path, num_processes: int) -> Worker:
    """Start a process and send it the tracker factory."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run_worker, args=(theirs, folder, num_processes), daemon=True)
    # the process inherits this: Ctrl-C in a terminal reaches all processes, but only this one should react to it
    with _ignore_sigint():
        process.start()
    theirs.close()  # otherwise our end would stay open after the process has died, and we would wait forever
    with _leave_death_to_receive():
        ours.send(tracker_factory)
    return Worker(process, ours)


def _leave_death_to_receive() -> contextlib.suppress:
    """Ignore that a process cannot be sent anything: it died, and the next receive says how."""
    return contextlib.suppress(BrokenPipeError, ConnectionResetError)


@contextlib.contextmanager
def _ignore_sigint() -> Iterator[None]:
    """Ignore Ctrl-C within a ``with`` block."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signal handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _receive_message(worker: Worker, sequence_name: str | None, folder: Path) -> Any:
    """Receive a message from a process.

    Raises:
        BenchError: the process has died; the message says how and where.
    """
    try:
        return worker.pipe.recv()
    except (EOFError, ConnectionResetError) as error:
        worker.process.join(SHUTDOWN_SECONDS)
        code, where = worker.process.exitcode, f" in sequence {sequence_name}" if sequence_name else " while it started"
        how = f"failed{where} (its traceback is above)"
        # a negative exit code is the number of the signal; SIGKILL is what Linux sends when memory runs out
        if code is not None and code < 0:
            how = f"was ended by {_signal_name(-code)}{where} (if memory ran out, lower track_processes)"
        raise BenchError(
            f"a tracking process {how}; finished sequences are kept in {folder}, and the same command continues there"
        ) from error


def _signal_name(number: int) -> str:
    """Return the name of a signal, such as ``SIGKILL``."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


@contextlib.contextmanager
def _shutdown_workers(workers: list[Worker]) -> Iterator[None]:
    """End all processes when the ``with`` block is left."""
    try:
        yield
    finally:
        for worker in workers:
            # a process that waits for its next sequence ends by itself once its pipe is closed
            worker.pipe.close()
        end = time.monotonic() + SHUTDOWN_SECONDS
        failed = sys.exc_info()[0] is not None
        for worker in workers:
            # it may be in the middle of a sequence, which would take long
            if failed:
                worker.process.terminate()
            worker.process.join(max(0.0, end - time.monotonic()))
            # the last resort: SIGTERM was ignored or not delivered in time
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _run_worker(pipe: Connection, folder: Path, num_processes: int) -> None:
    """Run in a worker process: create the tracker, then track the sequences that arrive until there are no more.

    Args:
        pipe: receives the tracker factory, then sequences, then ``None``.
        folder: folder for the result files.
        num_processes: number of processes, for the files.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout = sys.stderr  # stdout is for results
    # before the factory is unpickled, which imports torch or another runtime
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    try:
        tracker = pipe.recv()()
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)
        pipe.send(None)
        while (video := pipe.recv()) is not None:
            reports = _ProgressReporter(pipe)
            write_tracked_sequence(folder, video, track_sequence(tracker, video, on_frames_done=reports), num_processes)
            reports.send_count()
            pipe.send(None)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent process is gone, so nobody needs the results
    except BenchError as error:
        pipe.send(error)


class _ProgressReporter:
    """Sends the number of tracked frames from time to time; raises if the other end of the pipe is closed."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe, self.count, self.last_sent = pipe, 0, time.monotonic()

    def __call__(self, frames: int) -> None:
        self.count += frames
        if time.monotonic() - self.last_sent > PROGRESS_SECONDS:
            self.send_count()

    def send_count(self) -> None:
        """Send the frames that were not reported yet."""
        self.pipe.send(self.count)
        self.count, self.last_sent = 0, time.monotonic()
