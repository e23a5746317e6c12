"""How long the rest of a matrix takes, from what its finished cells took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

from benchmarks.resolve_cell import CellRequest


class RunningCell(NamedTuple):
    """A cell that runs, and for how many seconds already."""

    request: CellRequest
    seconds: float


class CellTimes:
    """Durations of finished cells, and from them the expected duration of others.

    Args:
        estimates: seconds by position of a cell, where something is known before the first one is finished.
    """

    def __init__(self, estimates: Mapping[CellRequest, float] | None = None) -> None:
        self._estimates = dict(estimates or {})
        # sum and number of the durations by kind of cell: the mean is asked for at every look, for every waiting cell
        self._measured: dict[tuple[object, ...], tuple[float, int]] = {}

    def add(self, request: CellRequest, seconds: float) -> None:
        """Take the duration of a cell that was computed, not answered from a record."""
        for key in _make_keys(request):
            total, count = self._measured.get(key, (0.0, 0))
            self._measured[key] = (total + seconds, count + 1)

    def predict(self, request: CellRequest) -> float | None:
        """Return the expected seconds of a cell; ``None`` if nothing like it was measured.

        The most similar cells decide: equal in all but the seed, else of another backbone, else of the same task.
        """
        keys = list(_make_keys(request))
        if keys[0] not in self._measured and request in self._estimates:
            return self._estimates[request]
        total, count = next((self._measured[key] for key in keys if key in self._measured), (0.0, 0))
        return total / count if count else None

    def predict_rest(
        self, waiting: Iterable[CellRequest], running: Iterable[RunningCell], num_parallel: int
    ) -> float | None:
        """Return the seconds until the last cell is done; ``None`` while nothing is known of some of them.

        Args:
            waiting: cells that no worker has.
            running: cells that run.
            num_parallel: how many cells run at the same time.
        """
        total, longest = 0.0, 0.0
        for request in waiting:
            seconds = self.predict(request)
            if seconds is None:
                return None
            total, longest = total + seconds, max(longest, seconds)
        for cell in running:
            seconds = self.predict(cell.request)
            if seconds is None:
                return None
            left = max(seconds - cell.seconds, 0.0)
            total, longest = total + left, max(longest, left)
        return max(total / max(1, num_parallel), longest)


def _make_keys(request: CellRequest) -> tuple[tuple[object, ...], ...]:
    """Return what a cell has in common with others, the most first."""
    shared = (request.task, request.protocol, request.tier, request.overrides)
    return ((*shared, request.data_scale, request.backbone, request.checkpoint), (*shared, request.data_scale), shared)


def format_duration(seconds: float) -> str:
    """Return a duration in the two largest units.

    >>> [format_duration(value) for value in (0.4, 59.6, 3599, 90000)]
    ['0 s', '1 min', '1 h', '1 d 1 h']
    >>> format_duration(3700)
    '1 h 2 min'
    """
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    for (large, size), (small, part) in pairwise(units):
        # rounded in the smaller unit, so that 59.6 s is a minute and not 60 s
        count, rest = divmod(round(seconds / part), size // part)
        if count:
            return f"{count} {large}" + (f" {rest} {small}" if rest else "")
    return f"{round(seconds)} s"
