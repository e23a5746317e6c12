"""A calibration: a real run whose loops stop as soon as their pace is known. Imports no torch.

Every loop whose length depends on the data or the schedule goes through ``measure_items`` or ``measure_step``. Outside
of a calibration these change nothing. Inside of one, a loop ends early, and the scope keeps how long a unit of its work
takes and how many units a complete run has. What is not such a loop (reading the data, building the model) is done in
full, so that

    seconds of the run = seconds outside of the loops + sum over the loops of (seconds per unit x units of the run)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple, TypeVar

T = TypeVar("T")

NUM_WARMUP_ITEMS = 2
"""Items at the start of a loop that are not timed: they fill caches and allocate memory."""


class CalibrationDone(Exception):  # noqa: N818 - not an error: everything was measured
    """Ends a calibration: what would follow needs the outcome of a complete run."""


class LoopMeasurement(NamedTuple):
    """The pace of one loop.

    Attributes:
        phase: what the loop does, for example ``train``.
        unit: what is counted, in the plural, for example ``steps``.
        measured: number of units that were timed; 0 if the loop was too short to be timed.
        seconds: duration of these units.
        total: number of units in a complete run.
        spent: duration of everything that the calibration did of this loop, the warm-up included, seconds.
        cpu_seconds, cpu_spent: the same as ``seconds`` and ``spent``, in CPU time of this process; ``cpu_seconds`` by
            the median pace of the items, as other processes slow some of them down.
    """

    phase: str
    unit: str
    measured: float
    seconds: float
    total: float
    spent: float
    cpu_seconds: float = 0.0
    cpu_spent: float = 0.0

    @property
    def estimated_seconds(self) -> float:
        """Return the duration of the loop in a complete run."""
        return self.seconds / self.measured * self.total if self.measured else 0.0

    def convert_to_cpu_time(self) -> LoopMeasurement:
        """Return the same pace in CPU time."""
        return self._replace(seconds=self.cpu_seconds, spent=self.cpu_spent)


@dataclass
class CalibrationScope:
    """Limits and findings of a calibration.

    Attributes:
        min_seconds: time for which a loop is timed that has many short items.
        max_seconds: longest time for which one loop is timed.
        max_items: number of items (batches, steps) of one loop that are enough, once ``min_seconds`` are over.
        loops: the findings.
        disk_bytes: bytes that a complete run leaves in its folder, without its table of items.
        cache_bytes: bytes that it leaves in the feature cache.
        row_factor: rows of the training features of a complete run per row that the calibration made up.
    """

    min_seconds: float = 1.5
    max_seconds: float = 4.0
    max_items: int = 24
    loops: list[LoopMeasurement] = field(default_factory=list)
    disk_bytes: float = 0.0
    cache_bytes: float = 0.0
    row_factor: float = 1.0

    def is_enough(self, num_items: int, seconds: float) -> bool:
        """Return whether a loop has been timed long enough."""
        long_enough = seconds >= self.max_seconds or (num_items >= self.max_items and seconds >= self.min_seconds)
        return num_items > 0 and long_enough


_CURRENT: ContextVar[CalibrationScope | None] = ContextVar("bench_calibration", default=None)


def get_calibration() -> CalibrationScope | None:
    """Return the calibration that this run is; ``None`` in a real run."""
    return _CURRENT.get()


@contextmanager
def open_calibration(scope: CalibrationScope) -> Iterator[CalibrationScope]:
    """Make what runs inside a calibration; ``CalibrationDone`` ends it without an error.

    Args:
        scope: gives the limits and takes the findings.
    """
    token = _CURRENT.set(scope)
    try:
        yield scope
    except CalibrationDone:
        pass
    finally:
        _CURRENT.reset(token)


def end_calibration() -> None:
    """End a calibration here; in a real run this does nothing.

    Raises:
        CalibrationDone: this is a calibration.
    """
    if get_calibration() is not None:
        raise CalibrationDone


class LoopTimer:
    """Times a loop from its first unit until enough was seen.

    Args:
        scope: the calibration.
        phase, unit, total: see ``LoopMeasurement``.
    """

    def __init__(self, scope: CalibrationScope, phase: str, unit: str, total: float) -> None:
        self.scope, self.phase, self.unit, self.total = scope, phase, unit, total
        self._began = self._start = self._last = _read_clocks()
        self._items, self._units = 0, 0.0
        self._cpu_paces: list[float] = []

    def advance(self, num_units: float = 1) -> bool:
        """Count a finished item of some units, and return whether enough was seen."""
        self._items += 1
        last, self._last = self._last, _read_clocks()
        if self._items <= NUM_WARMUP_ITEMS:
            self._start = self._last
            return False
        self._units += num_units
        self._cpu_paces.append((self._last.cpu - last.cpu) / max(num_units, 1e-9))
        return self.scope.is_enough(self._items - NUM_WARMUP_ITEMS, self._last.wall - self._start.wall)

    def skip_item(self) -> None:
        """Leave out the item that has just ended: something else than this loop was done since the one before."""
        now, last = _read_clocks(), self._last
        self._start = _Clocks(self._start.wall + now.wall - last.wall, self._start.cpu + now.cpu - last.cpu)
        self._last = now

    def finish(self, num_done: float | None = None) -> None:
        """Store the pace.

        Args:
            num_done: number of units that were done since the timer was made, without ``advance``. By default a loop
                that ended within its warm-up is taken for one that was done in full.
        """
        now, measured, start = _read_clocks(), self._units, self._start
        if not measured:
            measured, start = num_done or self.total, self._began
        self.scope.loops.append(
            LoopMeasurement(
                self.phase,
                self.unit,
                measured,
                now.wall - start.wall,
                self.total,
                now.wall - self._began.wall,
                measured * median(self._cpu_paces) if self._cpu_paces else now.cpu - start.cpu,
                now.cpu - self._began.cpu,
            )
        )


class _Clocks(NamedTuple):
    """Two clocks, seconds: of the wall, and of the CPU time of this process."""

    wall: float
    cpu: float


def _read_clocks() -> _Clocks:
    return _Clocks(time.monotonic(), time.process_time())


def measure_items(
    phase: str, unit: str, total: float, items: Iterable[T], count_units: Callable[[T], float] = lambda item: 1
) -> Iterator[T]:
    """Yield the items of a loop; in a calibration only as many as it takes to time them.

    Args:
        phase, unit, total: see ``LoopMeasurement``.
        items: what the loop iterates over.
        count_units: number of units in an item.
    """
    scope = get_calibration()
    if scope is None:
        yield from items
        return
    timer = LoopTimer(scope, phase, unit, total)
    for item in items:
        yield item
        if timer.advance(count_units(item)):
            break
    timer.finish()
