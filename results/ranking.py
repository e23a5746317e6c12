"""Where the rows of one board stand: interval, rank, and the rows each is tied with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from results.record import Interval, Record

Run = tuple[Path, Record]
"""A run's folder and its complete record."""


class Standing(NamedTuple):
    """Where a row stands on its board.

    Attributes:
        interval: of the row's mean over its seeds; ``over`` says what it covers ("items only" for one seed). The
            record's own where the per-item files are missing and there is one seed.
        rank: from 1; rows whose difference is not resolved share one. ``None``: not ranked, see ``note``.
        tied_with: the other rows that share the rank, by their place in what was given.
        note: why the row has no rank, or what else its reader should know; empty otherwise.
    """

    interval: Interval | None
    rank: int | None
    tied_with: tuple[int, ...]
    note: str


def stand(rows: Sequence[Sequence[Run]], metric: str, higher_is_better: bool) -> tuple[Standing, ...]:
    """Rank the rows of one board by a metric.

    Args:
        rows: each the runs (seeds) of one backbone; all of one comparability key.
        metric: its name in the records.
        higher_is_better: its direction.

    Returns:
        One entry a row, in the order given.

    Raises:
        RecordError: a record gives the metric another direction.
    """
    del higher_is_better
    own = [
        runs[0][1].result.metrics[metric].interval if len(runs) == 1 and runs[0][1].result else None for runs in rows
    ]
    return tuple(Standing(interval, None, (), "not ranked yet") for interval in own)
