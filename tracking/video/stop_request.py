"""Turn Ctrl-C and SIGTERM into a note that a loop reads between two frames, so that no frame is left half processed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from engine.processes.stop_signals import StopSignal, listen_for_stop


@dataclass
class StopRequest:
    """Whether a loop is to end.

    Attributes:
        reason: what stopped it; empty while nothing has.
    """

    reason: str = ""


@contextmanager
def catch_stop() -> Iterator[StopRequest]:
    """Yield a request that the first Ctrl-C, or another signal that stops a command, fills; a second one is raised.

    Outside the main thread, where Python does not allow signal handlers, nothing fills it.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = signal.getsignal(signal.SIGINT)

    def restore() -> None:
        signal.signal(signal.SIGINT, before if before is not None else signal.default_int_handler)

    def note_interrupt(number: int, frame: FrameType | None) -> None:
        # restored at once, so that the second Ctrl-C ends a program that hangs
        restore()
        request.reason = "stopped by Ctrl-C"

    def note_stop(stop: StopSignal) -> None:
        restore()
        request.reason = str(stop)

    signal.signal(signal.SIGINT, note_interrupt)
    try:
        with listen_for_stop(note_stop):
            yield request
    finally:
        restore()
