"""Sequences spread over processes of one thread each; the longest first, each to the process that is free next."""

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
SHUTDOWN_SECONDS = 5.0


class Worker(NamedTuple):
    """A process and our end of the pipe to it. It sends frame counts, ``None`` when free, and an error at most once."""

    process: Any
    pipe: Connection


def track_multiprocess(
    tracker_factory: Callable[[], Tracker], videos: Sequence[Video], folder: Path, label: str, num_processes: int
) -> None:
    """Track sequences into ``folder``; every process writes the files of its own.

    The processes are started anew (a fork would inherit torch's threads), ignore the terminal's Ctrl-C, and end when
    this one ends, however it ends: they see their pipe closed. When one fails or dies, all are ended.

    Args:
        tracker_factory: makes the tracker in each process; it is pickled.
        videos: in the order in which they are given out.
        folder: there already.
        label: for the progress display.
        num_processes: how many, at least 1.

    Raises:
        DataError: see ``sequential.track_sequence``.
        BenchError: a process was ended from outside.
    """
    workers: list[Worker] = []
    given: dict[Connection, str] = {}
    waiting, num_processes = iter(videos), min(num_processes, len(videos))
    with TrackingProgress(label, videos) as meter, _shutdown_workers(workers):
        for _ in range(num_processes):
            workers.append(_start_worker(tracker_factory, folder, num_processes))
        busy = {worker.pipe: worker for worker in workers}
        while busy:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                message = _receive_message(busy[pipe], given.get(pipe), folder)
                if isinstance(message, BaseException):
                    raise message
                if message is not None:
                    meter.advance_frames(message)
                    continue
                if given.pop(pipe, None):
                    meter.finish_sequence()
                video = next(waiting, None)
                with contextlib.suppress(BrokenPipeError):  # the next receive says how it died
                    pipe.send(video)
                if video is None:
                    del busy[pipe]
                else:
                    given[pipe] = video.name


def count_cpu_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def use_one_thread() -> Iterator[None]:
    """Torch on one thread for a while: what a spread-out process computes with, so that the boxes are the same."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _start_worker(tracker_factory: Callable[[], Tracker], folder: Path, num_processes: int) -> Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run_worker, args=(theirs, folder, num_processes), daemon=True)
    with _ignore_sigint():  # which the process inherits; Ctrl-C reaches it too, and it is ours to end it
        process.start()
    theirs.close()  # so that ours is closed when the process is gone
    ours.send(tracker_factory)
    return Worker(process, ours)


@contextlib.contextmanager
def _ignore_sigint() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # no other may say what becomes of signals
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _receive_message(worker: Worker, sequence_name: str | None, folder: Path) -> Any:
    try:
        return worker.pipe.recv()
    except (EOFError, ConnectionResetError) as error:
        worker.process.join(SHUTDOWN_SECONDS)
        code, where = worker.process.exitcode, f" in sequence {sequence_name}" if sequence_name else " while it started"
        how = f"failed{where}, its trace is above"
        if code is not None and code < 0:
            how = f"was ended by {_signal_name(-code)}{where}; where memory is short, set track_processes lower"
        raise BenchError(
            f"a tracking process {how}; what is finished is kept in {folder}, and the same command goes on from there"
        ) from error


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


@contextlib.contextmanager
def _shutdown_workers(workers: list[Worker]) -> Iterator[None]:
    """No process outlives the block."""
    try:
        yield
    finally:
        for worker in workers:
            worker.pipe.close()
        end = time.monotonic() + SHUTDOWN_SECONDS
        failed = sys.exc_info()[0] is not None
        for worker in workers:
            if failed:
                worker.process.terminate()
            worker.process.join(max(0.0, end - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _run_worker(pipe: Connection, folder: Path, num_processes: int) -> None:
    """The life of a process: make the tracker, then take sequences until none is left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout = sys.stderr  # stdout is for results
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")  # before the maker brings torch or another runtime
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
        return  # the parent is gone; nobody needs the rest
    except BenchError as error:
        pipe.send(error)


class _ProgressReporter:
    """Sends how many frames were tracked, now and then; fails where nobody listens any more."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe, self.count, self.last_sent = pipe, 0, time.monotonic()

    def __call__(self, frames: int) -> None:
        self.count += frames
        if time.monotonic() - self.last_sent > PROGRESS_SECONDS:
            self.send_count()

    def send_count(self) -> None:
        """What was not sent yet."""
        self.pipe.send(self.count)
        self.count, self.last_sent = 0, time.monotonic()
