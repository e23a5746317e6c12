"""How a test set or a video is tracked. Imports nothing heavy, as the command line takes its choices from here."""

from __future__ import annotations

from typing import NamedTuple


class TrackingOptions(NamedTuple):
    """How the work on a test set is divided.

    Attributes:
        num_processes: number of single-threaded processes on a CPU; ``None``: as many as cores, if there is enough
            work.
        batch_size: number of sequences side by side on a GPU.
    """

    num_processes: int | None = None
    batch_size: int = 16
