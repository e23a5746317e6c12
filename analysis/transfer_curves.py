"""Turn the transfer results of runs into points of curves, with intervals. Does not import torch."""

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
    """One point of a curve: the mean of runs that differ only in their seed.

    Attributes:
        curve: name of the curve.
        x: position on the horizontal axis.
        value: mean of the primary metric.
        interval: Student's t over seeds; for one run, or when all seeds give the same value, the run's interval over
            its items; ``None`` when the run has no interval.
        num_seeds: number of runs.
        run_ids: ids of the runs.
    """

    curve: str
    x: float
    value: float
    interval: ConfidenceInterval | None
    num_seeds: int
    run_ids: tuple[str, ...]

    def to_row(self) -> tuple[str, float, float, float | None, float | None, str | None, int, str]:
        """Return the point as a row of a table, in the order of ``POINT_COLUMNS``."""
        low, high, how = (self.interval.low, self.interval.high, self.interval.method) if self.interval else (None,) * 3
        return self.curve, self.x, self.value, low, high, how, self.num_seeds, " ".join(self.run_ids)


# column names of the CSV file and of stored records ("line" is the curve); readers rely on them
POINT_COLUMNS = ("line", "x", "value", "low", "high", "interval", "seeds", "runs")


def get_primary_metric(record: Record) -> MetricValue:
    """Return the primary metric of a complete run.

    Raises:
        BenchError: the run is not complete.
    """
    if record.result is None:
        raise BenchError(
            f"run {record.run_id} is {record.status}; a point needs complete runs, so finish it with bench run"
        )
    return record.result.metrics[record.result.primary_metric]


def average_runs(curve: str, x: float, records: Sequence[Record]) -> TransferPoint:
    """Average runs that differ only in their seed into one point.

    Args:
        curve: name of the curve.
        x: position on the horizontal axis.
        records: the records of the runs.

    Raises:
        BenchError: a run is not complete, or the runs differ in more than their seed.
    """
    # the comparability key covers task, data, protocol, tier and metric; two runs of one seed are not a sample
    seeds = {record.seed for record in records}
    if len({record.comparability for record in records}) != 1 or len(seeds) < len(records):
        raise BenchError(
            f"the runs of {curve} at {x:g} differ in more than their seed and are not averaged; compare runs of one "
            "protocol on the same data"
        )
    metrics = [get_primary_metric(record) for record in records]
    values = [metric.value for metric in metrics]
    # When the seed changes nothing (a probe of loaded weights on all data), n equal values are one measurement:
    # Student's t would give an interval of width zero, so the interval over items is used
    interval = student_t_interval(values, resampling_unit="seeds") if len(set(values)) > 1 else metrics[0].interval
    return TransferPoint(curve, x, fmean(values), interval, len(values), tuple(record.run_id for record in records))


def group_into_curves(points: Iterable[TransferPoint]) -> dict[str, PlotCurve]:
    """Group points into curves by name, each sorted by its horizontal position."""
    named: dict[str, list[TransferPoint]] = {}
    for each in points:
        named.setdefault(each.curve, []).append(each)
    found = {}
    for name, members in named.items():
        members.sort(key=lambda member: member.x)
        ends = [(member.interval.low, member.interval.high) for member in members if member.interval]
        # bars at only some points would make the other points look exact
        whole = len(ends) == len(members)
        found[name] = PlotCurve(
            [member.x for member in members],
            [member.value for member in members],
            [low for low, _ in ends] if whole else None,
            [high for _, high in ends] if whole else None,
        )
    return found


def tabulate_points(points: Sequence[TransferPoint], record: Record) -> tuple[dict[str, Any], bytes]:
    """Return points as an analysis stores them: the numbers for its record, and the CSV file.

    Args:
        points: the points of all curves.
        record: the record of any of the runs; it gives the name of the metric and its unit.

    Raises:
        BenchError: the run is not complete.
    """
    unit = get_primary_metric(record).unit
    assert record.result is not None  # get_primary_metric has raised otherwise
    rows = [each.to_row() for each in points]
    numbers = {
        "metric": record.result.primary_metric,
        "unit": unit,
        "columns": list(POINT_COLUMNS),
        "points": [list(row) for row in rows],
    }
    return numbers, encode_csv(POINT_COLUMNS, rows)


def format_point(row: Sequence[Any], unit: str) -> str:
    """Describe a point in one line of text.

    Args:
        row: the point in the order of ``POINT_COLUMNS``.
        unit: unit of the value.
    """
    point = dict(zip(POINT_COLUMNS, row, strict=True))
    text = f"{point['line']} at {point['x']:g}: {point['value']:.2f} {unit}"
    if point["low"] is None:
        text += " (no interval)"
    else:
        text += f" ({point['low']:.2f} to {point['high']:.2f}, {point['interval']})"
    return text + (f", {point['seeds']} seeds" if point["seeds"] != 1 else "")


def describe_error_bars(points: Iterable[TransferPoint]) -> str:
    """Describe the error bars of a figure for its title; the text is empty when no point has an interval."""
    # a set: single runs have intervals over items, several seeds over seeds, and a figure can contain both
    kinds = {
        f"{100 * each.interval.level:.0f} %, {each.interval.method} over {each.interval.resampling_unit}"
        for each in points
        if each.interval
    }
    return f"bars: {' or '.join(sorted(kinds))}" if kinds else ""
