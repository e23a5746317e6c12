"""What the driver of a matrix hands to an executor, and what it gets back. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from benchmarks.resolve_cell import CellRequest
from foundation.errors import BenchError


class WorkerDiedError(BenchError):
    """The process, the node or the job that ran a cell ended without a report; the cell is tried again elsewhere."""


@dataclass(frozen=True)
class CellResources:
    """What one cell needs while it runs.

    Attributes:
        threads: number of CPU threads; the cell computes with exactly as many, wherever it runs.
        gpus: number of GPUs; 0 hides every GPU from the cell.
        memory_gib: main memory, GiB; ``None``: not limited and not reserved.
    """

    threads: int = 1
    gpus: int = 0
    memory_gib: float | None = None


@dataclass(frozen=True)
class CellJob:
    """One cell of a matrix with everything that a worker needs; it can be pickled.

    Attributes:
        number: position of the cell in the matrix, from 0.
        request: the cell; its folders are absolute paths, which exist on every machine that runs cells.
        resources: what it needs.
        log_file: file to which everything is appended that the cell writes to stdout and stderr.
    """

    number: int
    request: CellRequest
    resources: CellResources
    log_file: Path


class CellReport(NamedTuple):
    """What a worker says about a cell that it finished; a cell that fails gives a report as well.

    Attributes:
        number: ``CellJob.number``.
        folder: the run's folder; ``None`` if the cell failed before it had one.
        is_from_record: whether a record answered, so that nothing was computed.
        seconds: duration in the worker.
        failure: why the cell failed, in one sentence; ``None`` if its record is complete.
        is_retryable: whether another attempt may succeed: a full disk may, a misspelt name does not.
        is_busy_elsewhere: the cell failed because another process is working on it.
        is_process_changed: the cell left settings behind that would change the numbers of other cells in its process.
    """

    number: int
    folder: Path | None
    is_from_record: bool
    seconds: float
    failure: str | None = None
    is_retryable: bool = False
    is_busy_elsewhere: bool = False
    is_process_changed: bool = False

    @property
    def ends_process(self) -> bool:
        """Whether the process must run no other cell.

        After an error of CUDA, for example, every further call in the same process fails.
        """
        return self.is_retryable or self.is_process_changed


class Executor(Protocol):
    """Runs cells in other processes.

    Usage: ``start`` once, then ``submit`` as often as ``has_room`` says so, and ``close`` at the end.

    Attributes:
        name: as ``--executor`` takes it.
        takes_groups: whether the driver hands over all cells that share their features in one call of ``submit``, to be
            run one after the other by one worker. Otherwise it hands over one cell at a time.
    """

    name: str
    takes_groups: bool

    def start(self) -> None:
        """Connect to what runs the cells.

        Raises:
            UserError: it cannot be reached, or a package that it needs is not installed.
        """

    def has_room(self, resources: CellResources) -> bool:
        """Return whether a cell that needs these resources should be submitted now.

        Raises:
            UserError: no machine of this executor ever has these resources.
        """

    def submit(self, jobs: Sequence[CellJob]) -> Sequence[Future[CellReport]]:
        """Start cells; one worker runs them one after the other.

        Returns:
            One future per cell, in the same order. It holds the cell's report, or the exception ``WorkerDiedError``.
        """

    def describe(self) -> str:
        """Return what runs the cells, in words for one line, for example ``local, 2 slots of 1 thread``."""

    def close(self) -> None:
        """End all processes and jobs that this executor started and that still run."""
