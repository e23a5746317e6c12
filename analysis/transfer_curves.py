"""Transfer results of several runs as points of a curve, with their intervals. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from analysis.output.csv_tables import encode_csv
from analysis.output.figures import PlotCurve
from foundation.errors import BenchError
from results.records.record import ConfidenceInterval, MetricValue, Record
from results.statistics.intervals import student_t_interval


class TransferPoint(NamedTuple):
    """Runs that differ in their seed only: where they stand, their mean, its interval, and their ids.

    Attributes:
        curve: which curve.
        x: place on it.
        value: mean of the primary metric.
        interval: Student's t over seeds; of one run, or where the seed changes nothing, a run's own over its items;
            else ``None``.
        num_seeds: how many runs.
        run_ids: their ids.
    """

    curve: str
    x: float
    value: float
    interval: ConfidenceInterval | None
    num_seeds: int
    run_ids: tuple[str, ...]

    def to_row(self) -> tuple[str, float, float, float | None, float | None, str | None, int, str]:
        """As a line of a table, in the order of ``POINT_COLUMNS``."""
        low, high, how = (self.interval.low, self.interval.high, self.interval.method) if self.interval else (None,) * 3
        return self.curve, self.x, self.value, low, high, how, self.num_seeds, " ".join(self.run_ids)


POINT_COLUMNS = ("line", "x", "value", "low", "high", "interval", "seeds", "runs")


def get_primary_metric(record: Record) -> MetricValue:
    """The primary metric of a complete run.

    Raises:
        BenchError: the run is not complete.
    """
    if record.result is None:
        raise BenchError(f"run {record.run_id} is {record.status}; a point needs complete runs")
    return record.result.metrics[record.result.primary_metric]


def average_runs(curve: str, x: float, records: Sequence[Record]) -> TransferPoint:
    """The point of some runs that differ in their seed only.

    Raises:
        BenchError: a run that is not complete, or runs that may not be averaged.
    """
    seeds = {record.seed for record in records}
    if len({record.comparability for record in records}) != 1 or len(seeds) < len(records):
        raise BenchError(f"the runs of {curve} at {x:g} differ in more than their seed; they are not averaged")
    metrics = [get_primary_metric(record) for record in records]
    values = [metric.value for metric in metrics]
    # where the seed changes nothing (a probe of loaded weights on all data) n equal values are one measurement
    interval = student_t_interval(values, resampling_unit="seeds") if len(set(values)) > 1 else metrics[0].interval
    return TransferPoint(curve, x, fmean(values), interval, len(values), tuple(record.run_id for record in records))


def group_into_curves(points: Iterable[TransferPoint]) -> dict[str, PlotCurve]:
    """Points as curves by name, each in the order of its places."""
    named: dict[str, list[TransferPoint]] = {}
    for each in points:
        named.setdefault(each.curve, []).append(each)
    found = {}
    for name, members in named.items():
        members.sort(key=lambda member: member.x)
        ends = [(member.interval.low, member.interval.high) for member in members if member.interval]
        whole = len(ends) == len(members)  # bars at some points only would look like certainty at the others
        found[name] = PlotCurve(
            [member.x for member in members],
            [member.value for member in members],
            [low for low, _ in ends] if whole else None,
            [high for _, high in ends] if whole else None,
        )
    return found


def tabulate_points(points: Sequence[TransferPoint], record: Record) -> tuple[dict[str, Any], bytes]:
    """Points as an analysis keeps them: the numbers of its record, and the CSV file.

    Args:
        points: of all curves.
        record: of one of the runs; metric and unit are its own.

    Raises:
        BenchError: the run is not complete.
    """
    unit = get_primary_metric(record).unit
    assert record.result is not None  # or there were no primary metric
    rows = [each.to_row() for each in points]
    numbers = {
        "metric": record.result.primary_metric,
        "unit": unit,
        "columns": list(POINT_COLUMNS),
        "points": [list(row) for row in rows],
    }
    return numbers, encode_csv(POINT_COLUMNS, rows)


def format_point(row: Sequence[Any], unit: str) -> str:
    """A point in words.

    Args:
        row: in the order of ``POINT_COLUMNS``.
        unit: of its value.
    """
    point = dict(zip(POINT_COLUMNS, row, strict=True))
    text = f"{point['line']} at {point['x']:g}: {point['value']:.2f} {unit}"
    if point["low"] is None:
        text += " (no interval)"
    else:
        text += f" ({point['low']:.2f} to {point['high']:.2f}, {point['interval']})"
    return text + (f", {point['seeds']} seeds" if point["seeds"] != 1 else "")


def describe_error_bars(points: Iterable[TransferPoint]) -> str:
    """What the bars of a figure are, for its title; empty where there are none."""
    kinds = {
        f"{100 * each.interval.level:.0f} %, {each.interval.method} over {each.interval.resampling_unit}"
        for each in points
        if each.interval
    }
    return f"bars: {' or '.join(sorted(kinds))}" if kinds else ""
