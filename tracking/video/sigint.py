"""Turn Ctrl-C into an event that a loop checks between two frames, so that no frame is left half processed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def catch_sigint() -> Iterator[threading.Event]:
    """Yield an event that is set by the first Ctrl-C; a second Ctrl-C raises KeyboardInterrupt as usual.

    Outside the main thread, where Python does not allow signal handlers, the event is never set.
    """
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        # restored at once, so that the second Ctrl-C ends a program that hangs
        pressed.set()
        signal.signal(signal.SIGINT, before if before is not None else signal.default_int_handler)

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.default_int_handler)
