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
from tracking.inference.progress import Meter
from tracking.inference.result_files import write_tracked
from tracking.inference.sequential import track
from tracking.inference.tracker import Tracker

REPORT_SECONDS = 0.5
END_SECONDS = 5.0


class Worker(NamedTuple):
    """A process and our end of the pipe to it. It sends frame counts, ``None`` when free, and an error at most once."""

    process: Any
    pipe: Connection


def track_spread(
    make: Callable[[], Tracker], videos: Sequence[Video], folder: Path, label: str, processes: int
) -> None:
    """Track sequences into ``folder``; every process writes the files of its own.

    The processes are started anew (a fork would inherit torch's threads), ignore the terminal's Ctrl-C, and end when
    this one ends, however it ends: they see their pipe closed. When one fails or dies, all are ended.

    Args:
        make: makes the tracker in each process; it is pickled.
        videos: in the order in which they are given out.
        folder: there already.
        label: for the progress display.
        processes: how many, at least 1.

    Raises:
        DataError: see ``evaluate.track``.
        BenchError: a process was ended from outside.
    """
    workers: list[Worker] = []
    given: dict[Connection, str] = {}
    waiting, processes = iter(videos), min(processes, len(videos))
    with Meter(label, videos) as meter, _ended(workers):
        for _ in range(processes):
            workers.append(_start(make, folder, processes))
        busy = {worker.pipe: worker for worker in workers}
        while busy:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                message = _receive(busy[pipe], given.get(pipe), folder)
                if isinstance(message, BaseException):
                    raise message
                if message is not None:
                    meter.advance(message)
                    continue
                if given.pop(pipe, None):
                    meter.finish()
                video = next(waiting, None)
                with contextlib.suppress(BrokenPipeError):  # the next receive says how it died
                    pipe.send(video)
                if video is None:
                    del busy[pipe]
                else:
                    given[pipe] = video.name


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread for a while: what a spread-out process computes with, so that the boxes are the same."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _start(make: Callable[[], Tracker], folder: Path, processes: int) -> Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, folder, processes), daemon=True)
    with _interrupts_ignored():  # which the process inherits; Ctrl-C reaches it too, and it is ours to end it
        process.start()
    theirs.close()  # so that ours is closed when the process is gone
    ours.send(make)
    return Worker(process, ours)


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # no other may say what becomes of signals
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _receive(worker: Worker, doing: str | None, folder: Path) -> Any:
    try:
        return worker.pipe.recv()
    except (EOFError, ConnectionResetError) as error:
        worker.process.join(END_SECONDS)
        code, where = worker.process.exitcode, f" in sequence {doing}" if doing else " while it started"
        how = f"failed{where}, its trace is above"
        if code is not None and code < 0:
            how = f"was ended by {_signal(-code)}{where}; where memory is short, set track_processes lower"
        raise BenchError(
            f"a tracking process {how}; what is finished is kept in {folder}, and the same command goes on from there"
        ) from error


def _signal(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


@contextlib.contextmanager
def _ended(workers: list[Worker]) -> Iterator[None]:
    """No process outlives the block."""
    try:
        yield
    finally:
        for worker in workers:
            worker.pipe.close()
        end = time.monotonic() + END_SECONDS
        failed = sys.exc_info()[0] is not None
        for worker in workers:
            if failed:
                worker.process.terminate()
            worker.process.join(max(0.0, end - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _work(pipe: Connection, folder: Path, processes: int) -> None:
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
            reports = _Reports(pipe)
            write_tracked(folder, video, track(tracker, video, after=reports), processes)
            reports.send()
            pipe.send(None)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone; nobody needs the rest
    except BenchError as error:
        pipe.send(error)


class _Reports:
    """Sends how many frames were tracked, now and then; fails where nobody listens any more."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe, self.count, self.sent = pipe, 0, time.monotonic()

    def __call__(self, frames: int) -> None:
        self.count += frames
        if time.monotonic() - self.sent > REPORT_SECONDS:
            self.send()

    def send(self) -> None:
        """What was not sent yet."""
        self.pipe.send(self.count)
        self.count, self.sent = 0, time.monotonic()
