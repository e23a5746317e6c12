"""Say how far the reading of a large file is, so that a command does not seem to hang."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from foundation.display_text import format_one_line

FIRST_REPORT_SECONDS = 5.0
"""Time after which the first line is written: most files are read before, in silence."""

REPORT_INTERVAL_SECONDS = 15.0  # as between the lines of a progress bar


def report_reading(
    path: Path, num_bytes: int, chunks: Iterator[bytes], read_clock: Callable[[], float] = time.monotonic
) -> Iterator[bytes]:
    """Yield the content of a file; from some seconds on, write lines with the remaining time to stderr.

    Plain lines and no bar, since a bar may be there already: files are hashed in the middle of trainings, too.

    Args:
        path: the file, for the lines.
        num_bytes: its size.
        chunks: its content in pieces.
        read_clock: returns the time in seconds.
    """
    start = read_clock()
    due, done = start + FIRST_REPORT_SECONDS, 0
    for chunk in chunks:
        done += len(chunk)
        now = read_clock()
        if now >= due:
            due = now + REPORT_INTERVAL_SECONDS
            left = (now - start) / done * max(0, num_bytes - done)
            sizes = f"{done / 1e9:.1f} of {num_bytes / 1e9:.1f} GB"
            sys.stderr.write(format_one_line(f"reading {path}: {sizes}, {left:.0f} s left") + "\n")
        yield chunk
