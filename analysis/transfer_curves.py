"""Transfer results of several runs as points of a curve, with their intervals. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from analysis.figures import Curve
from foundation.errors import BenchError
from results.records.record import Interval, Metric, Record
from results.statistics.intervals import student_t


class Point(NamedTuple):
    """Runs that differ in their seed only: where they stand, their mean, its interval, and their ids.

    Attributes:
        line: which curve.
        x: place on it.
        value: mean of the primary metric.
        interval: Student's t over seeds; of one run, or where the seed changes nothing, a run's own over its items;
            else ``None``.
        seeds: how many runs.
        runs: their ids.
    """

    line: str
    x: float
    value: float
    interval: Interval | None
    seeds: int
    runs: tuple[str, ...]

    def row(self) -> tuple[str, float, float, float | None, float | None, str | None, int, str]:
        """As a line of a table, in the order of ``COLUMNS``."""
        low, high, how = (self.interval.low, self.interval.high, self.interval.method) if self.interval else (None,) * 3
        return self.line, self.x, self.value, low, high, how, self.seeds, " ".join(self.runs)


COLUMNS = ("line", "x", "value", "low", "high", "interval", "seeds", "runs")


def primary(record: Record) -> Metric:
    """The primary metric of a complete run.

    Raises:
        BenchError: the run is not complete.
    """
    if record.result is None:
        raise BenchError(f"run {record.run_id} is {record.status}; a point needs complete runs")
    return record.result.metrics[record.result.primary]


def point(line: str, x: float, records: Sequence[Record]) -> Point:
    """The point of some runs that differ in their seed only.

    Raises:
        BenchError: a run that is not complete, or runs that may not be averaged.
    """
    seeds = {record.seed for record in records}
    if len({record.comparability for record in records}) != 1 or len(seeds) < len(records):
        raise BenchError(f"the runs of {line} at {x:g} differ in more than their seed; they are not averaged")
    metrics = [primary(record) for record in records]
    values = [metric.value for metric in metrics]
    # where the seed changes nothing (a probe of loaded weights on all data) n equal values are one measurement
    interval = student_t(values, over="seeds") if len(set(values)) > 1 else metrics[0].interval
    return Point(line, x, fmean(values), interval, len(values), tuple(record.run_id for record in records))


def lines(points: Iterable[Point]) -> dict[str, Curve]:
    """Points as curves by name, each in the order of its places."""
    named: dict[str, list[Point]] = {}
    for each in points:
        named.setdefault(each.line, []).append(each)
    found = {}
    for name, members in named.items():
        members.sort(key=lambda member: member.x)
        ends = [(member.interval.low, member.interval.high) for member in members if member.interval]
        whole = len(ends) == len(members)
        found[name] = Curve(
            [member.x for member in members],
            [member.value for member in members],
            [low for low, _ in ends] if whole else None,
            [high for _, high in ends] if whole else None,
        )
    return found


def bars(points: Iterable[Point]) -> str:
    """What the bars of a figure are, for its title; empty where there are none."""
    kinds = {
        f"{100 * each.interval.level:.0f} %, {each.interval.method} over {each.interval.over}"
        for each in points
        if each.interval
    }
    return f"bars: {' or '.join(sorted(kinds))}" if kinds else ""
