"""What a training does when its log cannot be written: it says so once and goes on, as a log is no result."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.progress_bar import log_message
from foundation.storage.write_faults import find_storage_error


def report_log_fault(handler: logging.FileHandler) -> None:
    """Let a log file that cannot be written give one line instead of a trace for every message.

    Args:
        handler: writes the file.
    """
    reported: list[str] = []

    def handle_error(record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        fault = find_storage_error(error, Path(handler.baseFilename)) if error is not None else None
        if fault is None:
            logging.Handler.handleError(handler, record)
        elif not reported:
            reported.append(handler.baseFilename)
            log_message(
                f"the log {handler.baseFilename} is not complete ({fault.strerror}); the run goes on without it"
            )

    handler.handleError = handle_error  # type: ignore[method-assign]


@contextmanager
def hush_logger_threads() -> Iterator[None]:
    """Keep a thread of TensorBoard that found the disk full from printing a trace; its owner raises the same error."""
    before = threading.excepthook

    def report(event: Any) -> None:
        if event.exc_value is None or find_storage_error(event.exc_value) is None:
            before(event)

    threading.excepthook = report
    try:
        yield
    finally:
        threading.excepthook = before
