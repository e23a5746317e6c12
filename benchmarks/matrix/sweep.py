"""The driver of a matrix: hands cells to an executor, tries again what died, and reports what happens."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from benchmarks.matrix.executors.executor import CellJob, CellReport, Executor, WorkerDiedError
from benchmarks.matrix.plan_cells import PlannedCell
from benchmarks.matrix.remaining_time import CellTimes, RunningCell
from benchmarks.matrix.share_groups import get_order_in_group, get_share_group
from benchmarks.matrix.suite import MatrixCell
from results.records.identity import compute_digest

_REFRESH_SECONDS = 0.5
"""Longest time between two looks at the running cells."""

_BUSY_WAIT_SECONDS = 10.0
"""How long a cell waits that another process is working on, before it is tried again."""


class FailedCell(NamedTuple):
    """A cell that has no complete record at the end of a sweep."""

    number: int
    sentence: str
    log_file: Path


@dataclass
class SweepState:
    """Where a sweep stands; the views read it, only the driver changes it.

    Attributes:
        cells: the cells; a number below is a position in this list.
        waiting: numbers of the cells that no worker has, in the order in which they are to run.
        running: start time of each cell that a worker has, ``time.monotonic`` seconds.
        finished: reports of the cells with a complete record.
        failed: cells that will not be tried again.
        attempts: number of times that a cell was tried, where it was more than once.
        times: durations so far.
    """

    cells: Sequence[MatrixCell]
    waiting: list[int]
    running: dict[int, float] = field(default_factory=dict)
    finished: dict[int, CellReport] = field(default_factory=dict)
    failed: dict[int, FailedCell] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    times: CellTimes = field(default_factory=CellTimes)

    def predict_rest(self) -> float | None:
        """Return the seconds until the last cell is done; ``None`` while too little is known."""
        now = time.monotonic()
        running = [RunningCell(self.cells[number].request, now - began) for number, began in self.running.items()]
        waiting = [self.cells[number].request for number in self.waiting]
        return self.times.predict_rest(waiting, running, max(1, len(running)))


class SweepView(Protocol):
    """Shows what happens in a sweep."""

    def show_answered(self, state: SweepState) -> None:
        """The cells that are finished at the beginning have their numbers from records."""

    def show_started(self, state: SweepState, number: int) -> None:
        """A worker has the cell now."""

    def show_finished(self, state: SweepState, report: CellReport) -> None:
        """A cell has a complete record."""

    def show_postponed(self, state: SweepState, number: int, reason: str) -> None:
        """A cell will be tried again."""

    def show_failed(self, state: SweepState, cell: FailedCell) -> None:
        """A cell failed and will not be tried again."""

    def refresh(self, state: SweepState) -> None:
        """Time has passed."""


def begin_sweep(cells: Sequence[MatrixCell], planned: Sequence[PlannedCell]) -> SweepState:
    """Return the state of a sweep before its first cell runs: what is done answers from its record.

    Args:
        cells: the matrix.
        planned: its plan, in the same order.
    """
    done = {
        number: CellReport(number, plan.folder, is_from_record=True, seconds=0.0)
        for number, plan in enumerate(planned)
        if plan.state == "done"
    }
    known = {
        plan.request: plan.estimated_seconds
        for plan in planned
        if plan.needs_run and plan.estimated_seconds is not None
    }
    waiting = [number for number in _order_cells(cells) if number not in done]
    return SweepState(cells, waiting, finished=done, times=CellTimes(known))


def run_sweep(state: SweepState, executor: Executor, folder: Path, view: SweepView, retries: int) -> None:
    """Run the waiting cells of a sweep until each has a number or has failed.

    Args:
        state: as ``begin_sweep`` returns it; it is kept up to date.
        executor: runs the cells; it is started already.
        folder: folder of the sweep, for the output of each cell.
        view: shows what happens.
        retries: how often a cell is tried again that died, or failed for a reason that may pass.

    Raises:
        UserError: the executor never has what a cell needs.
    """
    _Driver(state, executor, folder, view, retries).run()


@contextmanager
def open_executor(executor: Executor) -> Iterator[Executor]:
    """Start an executor, and end whatever it still runs at the end of the context, also after an error or Ctrl-C.

    Raises:
        UserError: the executor cannot be reached.
    """
    executor.start()
    try:
        yield executor
    finally:
        executor.close()


def get_sweep_folder(out: Path, cells: Sequence[MatrixCell]) -> Path:
    """Return the folder of a sweep below the store: the same cells have the same folder.

    Args:
        out: the store.
        cells: the matrix.
    """
    described = sorted(f"{cell.request}" for cell in cells)
    return out / "sweeps" / compute_digest({"cells": described})


def _order_cells(cells: Sequence[MatrixCell]) -> list[int]:
    """Return the cells in the order of the suite, those of a share group one after the other."""
    groups: dict[object, list[int]] = {}
    for number, cell in enumerate(cells):
        groups.setdefault(get_share_group(cell.request) or number, []).append(number)
    return [
        number
        for group in groups.values()
        for number in (group if len(group) == 1 else sorted(group, key=lambda n: get_order_in_group(cells[n].request)))
    ]


class _Driver:
    """The loop of a sweep."""

    def __init__(self, state: SweepState, executor: Executor, folder: Path, view: SweepView, retries: int) -> None:
        self.state, self.executor, self.folder, self.view, self.retries = state, executor, folder, view, retries
        self.groups = [get_share_group(cell.request) for cell in state.cells]
        self.warm_groups: set[object] = set()  # the features of these groups are in the cache
        self.futures: dict[Future[CellReport], int] = {}
        self.not_before: dict[int, float] = {}

    def run(self) -> None:
        """Run until no cell is left."""
        for resources in dict.fromkeys(self.state.cells[number].resources for number in self.state.waiting):
            self.executor.has_room(resources)  # what no machine has is refused now, not when half of the matrix is done
        while self.state.waiting or self.futures:
            self._submit_cells()
            done = wait(self.futures, timeout=_REFRESH_SECONDS, return_when=FIRST_COMPLETED).done
            if not self.futures:  # every waiting cell is busy elsewhere
                time.sleep(_REFRESH_SECONDS)
            for future in done:
                self._collect(future, self.futures.pop(future))
            self.view.refresh(self.state)

    def _submit_cells(self) -> None:
        while (number := self._choose_next()) is not None:
            if not self.executor.has_room(self.state.cells[number].resources):
                return
            numbers = self._list_group(number) if self.executor.takes_groups else [number]
            jobs = [
                CellJob(
                    number=each,
                    request=self.state.cells[each].request,
                    resources=self.state.cells[each].resources,
                    log_file=self._get_log_file(each),
                )
                for each in numbers
            ]
            now = time.monotonic()
            for each, future in zip(numbers, self.executor.submit(jobs), strict=True):
                self.state.waiting.remove(each)
                self.state.running[each] = now
                self.futures[future] = each
                self.view.show_started(self.state, each)

    def _choose_next(self) -> int | None:
        """Return the next cell to run.

        Cells of a group whose features are being computed come last: they would wait for them.
        """
        now = time.monotonic()
        cold = {self.groups[number] for number in self.state.running} - self.warm_groups - {None}
        ready = [number for number in self.state.waiting if self.not_before.get(number, 0.0) <= now]
        return next((number for number in ready if self.groups[number] not in cold), ready[0] if ready else None)

    def _list_group(self, number: int) -> list[int]:
        """Return the waiting cells that share their features and resources with a cell, in order."""
        group, resources = self.groups[number], self.state.cells[number].resources
        if group is None:
            return [number]
        return [
            each
            for each in self.state.waiting
            if self.groups[each] == group and self.state.cells[each].resources == resources
        ]

    def _collect(self, future: Future[CellReport], number: int) -> None:
        """Take the report of a cell, or the death of its worker."""
        del self.state.running[number]
        error = future.exception()
        if isinstance(error, WorkerDiedError):
            self._retry_or_fail(number, str(error))
            return
        if error is not None:
            raise error  # a fault of the executor itself
        report = future.result()
        if report.failure is None:
            if self.groups[number] is not None:
                self.warm_groups.add(self.groups[number])
            self.state.finished[number] = report
            if not report.is_from_record:
                self.state.times.add(self.state.cells[number].request, max(report.seconds, 1e-3))
            self.view.show_finished(self.state, report)
        elif report.is_busy_elsewhere:
            # not an attempt: the other process may take hours, and its record will answer this cell
            self.not_before[number] = time.monotonic() + _BUSY_WAIT_SECONDS
            self.state.waiting.append(number)
            self.view.show_postponed(self.state, number, "another process is working on it")
        elif report.is_retryable:
            self._retry_or_fail(number, report.failure)
        else:
            self._fail(number, report.failure)

    def _retry_or_fail(self, number: int, sentence: str) -> None:
        attempts = self.state.attempts.get(number, 1)
        if attempts > self.retries:
            self._fail(number, sentence)
            return
        self.state.attempts[number] = attempts + 1
        # at the end, so that a cell that kills its worker does not keep the others from running
        self.state.waiting.append(number)
        self.view.show_postponed(
            self.state, number, f"{sentence}; attempt {attempts + 1} of {self.retries + 1} follows"
        )

    def _fail(self, number: int, sentence: str) -> None:
        self.state.failed[number] = FailedCell(number, sentence, self._get_log_file(number))
        self.view.show_failed(self.state, self.state.failed[number])

    def _get_log_file(self, number: int) -> Path:
        return self.folder / "logs" / f"{number:05d}.log"
