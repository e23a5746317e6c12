"""Stop on SIGTERM and its like as on Ctrl-C: the state is written, and what is said names the signal. Imports no torch.

The handlers belong to commands and to worker processes: a program that calls this library keeps its own.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

_STOP_SIGNALS = ("SIGTERM", "SIGHUP")

_SLURM_SIGNALS = ("SIGUSR1", "SIGUSR2")
"""What users let Slurm send before a job ends (``sbatch --signal=B:USR1@60``)."""

REPEAT_SECONDS = 2.0
"""A signal this soon after another one is the same stop: ``timeout``, ``torchrun``, Slurm and a terminal that is closed
send theirs to a process and to its group."""


_RESEND_SECONDS = 0.05


class StopSignal(KeyboardInterrupt):
    """A signal asked this process to stop; like Ctrl-C, no handler of errors takes it for an error.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.number).name}"


@dataclass
class _StopState:
    """What the handlers know.

    Attributes:
        number: of the last signal that asked to stop; 0 without.
        seconds: when it came, ``time.monotonic`` seconds.
        holds: number of contexts that must not be interrupted.
        is_pending: whether a stop waits for the end of those contexts.
        listener: takes the next stop in place of an exception.
        is_closed: whether the handlers are being taken away.
        children: torch's handler of SIGCHLD while it is taken away.
    """

    number: int = 0
    seconds: float = 0.0
    holds: int = 0
    is_pending: bool = False
    listener: Callable[[StopSignal], None] | None = None
    is_closed: bool = False
    children: Any = None


_STATE = _StopState()


def _reset_in_child() -> None:
    """Let a forked process, such as one of a loader, end by a signal as any process does."""
    for number in signal.Signals:
        if signal.getsignal(number) is _handle_stop:
            signal.signal(number, signal.SIG_DFL)
    vars(_STATE).update(vars(_StopState()))


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_reset_in_child)


def find_stop() -> StopSignal | None:
    """Return the stop that this process was asked for, whatever became of the exception; ``None`` without."""
    return StopSignal(_STATE.number) if _STATE.number else None


def get_stop_code(stop: KeyboardInterrupt | None = None) -> int:
    """Return the exit code that shells use for a process that was stopped: 128 + the number of the signal.

    Args:
        stop: what stopped it; by default the signal that this process was sent, or else Ctrl-C.

    >>> get_stop_code(KeyboardInterrupt()), get_stop_code(StopSignal(signal.SIGTERM))
    (130, 143)
    """
    stop = stop or find_stop()
    return 128 + (stop.number if isinstance(stop, StopSignal) else signal.SIGINT)


def install_stop_signals() -> list[int]:
    """Let this process stop by ``StopSignal`` from now on, and return the signals that do.

    A signal that is ignored stays ignored (SIGHUP under ``nohup``), and so does a handler that somebody else has set.
    Nothing is changed outside of the main thread, where Python allows no handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        return []
    names = (*_STOP_SIGNALS, *(_SLURM_SIGNALS if "SLURM_JOB_ID" in os.environ else ()))
    # Windows has only SIGTERM
    numbers = [signal.Signals[name] for name in names if name in signal.Signals.__members__]
    taken = [int(number) for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _handle_stop)
    return taken


@contextmanager
def raise_stop_signals() -> Iterator[None]:
    """Raise ``StopSignal`` in the main thread when this process is asked to stop while the context is active.

    A second signal raises it again, except within ``REPEAT_SECONDS``, so that it also ends what takes long to stop.
    """
    taken = install_stop_signals()
    if not taken:  # in such a context already, or not in the main thread
        yield
        return
    before = sys.unraisablehook
    sys.unraisablehook = lambda lost: _raise_again(lost, before)
    try:
        yield
    finally:
        _STATE.is_closed = True
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
        sys.unraisablehook = before
        _restore_children()
        vars(_STATE).update(vars(_StopState()))


@contextmanager
def use_default_signals() -> Iterator[None]:
    """Let a stop signal end this process at once while the context is active, also in a call of C code."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in signal.Signals if signal.getsignal(number) is _handle_stop]
    for number in ours:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, _handle_stop)


@contextmanager
def hold_stop_signals() -> Iterator[None]:
    """Let a stop, also one by Ctrl-C, wait for the end of the context: for a record that must not stay ``running``.

    The same holds for torch's handler of SIGCHLD: a signal to the whole group ends the processes of a loader as well,
    whereupon that handler raises an error wherever the main thread is.
    """
    _STATE.holds += 1
    try:
        with _hold_interrupt(), _ignore_children():
            yield
    finally:
        _STATE.holds -= 1
        if _STATE.is_pending and not _STATE.holds:
            _STATE.is_pending = False
            raise StopSignal(_STATE.number)


@contextmanager
def _hold_interrupt() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` at the end: people press Ctrl-C twice, the second time while a record is written."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, or somebody else's
        yield
        return
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt


@contextmanager
def _ignore_children() -> Iterator[None]:
    silence_children()
    try:
        yield
    finally:
        if not _STATE.number:
            _restore_children()


def silence_children() -> None:
    """Take away torch's handler of SIGCHLD, which raises an error for each process of a loader that a stop ends."""
    number = getattr(signal, "SIGCHLD", None)  # not on Windows
    if number is None or threading.current_thread() is not threading.main_thread():
        return
    handler = signal.getsignal(number)
    if callable(handler) and handler is not _ignore_signal:
        _STATE.children = handler
        signal.signal(number, _ignore_signal)


def _restore_children() -> None:
    # another thread that writes a record must not end the silence of the main one, and Python lets it set no handler
    if threading.current_thread() is not threading.main_thread():
        return
    handler, _STATE.children = _STATE.children, None
    if handler is not None:
        signal.signal(signal.SIGCHLD, handler)


def _ignore_signal(number: int, frame: FrameType | None) -> None:
    """Do nothing; unlike the default, a handler that replaces another one may still be called for the past."""


@contextmanager
def listen_for_stop(listener: Callable[[StopSignal], None]) -> Iterator[None]:
    """Call a function at the first stop in place of the exception; a second stop is raised as usual.

    Args:
        listener: takes the stop.
    """
    _STATE.listener = listener
    try:
        yield
    finally:
        _STATE.listener = None


def _handle_stop(number: int, frame: FrameType | None) -> None:
    now = time.monotonic()
    if _STATE.is_closed or (_STATE.number and now - _STATE.seconds < REPEAT_SECONDS):
        return
    _STATE.number, _STATE.seconds = number, now
    silence_children()
    listener, _STATE.listener = _STATE.listener, None
    if listener is not None:
        listener(StopSignal(number))
    elif _STATE.holds:
        _STATE.is_pending = True
    else:
        raise StopSignal(number)


def _raise_again(lost: Any, otherwise: Callable[[Any], object]) -> None:
    """Raise a stop once more that Python dropped, as it drops every error of a ``__del__`` and of a callback.

    After a stop, nothing is printed of others: they are of what the stop tears down, such as the processes of a loader.
    """
    if isinstance(lost.exc_value, StopSignal):
        _STATE.seconds = -REPEAT_SECONDS
        # from a thread and a moment later: what is raised before this function returns is dropped as well
        resend = threading.Timer(_RESEND_SECONDS, os.kill, (os.getpid(), lost.exc_value.number))
        resend.daemon = True
        resend.start()
    elif not _STATE.number:
        otherwise(lost)
