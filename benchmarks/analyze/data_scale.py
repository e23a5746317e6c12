"""``bench analyze data-scale A B ... --task T``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from analysis.csv_tables import csv_bytes
from analysis.figures import curves, save
from analysis.record import Analysis
from analysis.store import Kept
from analysis.transfer_curves import COLUMNS, Point, bars, lines, point
from benchmarks.analyze.common import Found
from benchmarks.analyze.runs import answer, cells, require_one_process, require_scales
from foundation.errors import UserError
from results.records.record import Record

METHOD = 1
CARD = "card"
"""What ``--checkpoint`` says for a card's own weights."""


def run(options: Namespace) -> Kept:
    """A run for each backbone, share of the data and seed; one curve a backbone."""
    require_one_process()
    require_scales(options)
    chosen = checkpoints(options.names, options.checkpoint)
    named = _line_names(chosen)
    points: list[Point] = []
    records: list[Record] = []
    firsts = []
    for (name, checkpoint), line in zip(chosen, named, strict=True):
        for scale in options.data_scale:
            found = [cell.record for cell in cells(options, name, checkpoint, scale, options.allow_partial)]
            records += found
            points.append(point(line, 100 * scale, found))
        firsts.append(found[0].backbone)
    first = records[0]
    settings = {
        "task": first.task,
        "protocol": first.protocol,
        "tier": first.tier,
        "data_scale": list(options.data_scale),
        "seeds": list(options.seeds),
        "overrides": list(options.overrides),
        "lines": named,
    }
    runs = [record.run_id for record in records]
    return answer(options, "data-scale", METHOD, firsts, None, settings, {}, runs, lambda: figure_of(first, points))


def checkpoints(names: list[str], files: list[str] | None) -> list[tuple[str, str | None]]:
    """Backbones with their start weights.

    Raises:
        UserError: not one for each.
    """
    if files is not None and len(files) != len(names):
        raise UserError(f"--checkpoint takes one file a backbone: {len(names)}, not {len(files)}; 'card' is the card's")
    return [
        (name, None if file == CARD else file) for name, file in zip(names, files or [CARD] * len(names), strict=True)
    ]


def _line_names(chosen: list[tuple[str, str | None]]) -> list[str]:
    """The backbones' names; with the weights where one name stands for several.

    Raises:
        UserError: the same backbone with the same weights twice.
    """
    if len(set(chosen)) < len(chosen):
        raise UserError("the same backbone with the same weights is named twice")
    names = [name for name, _ in chosen]
    files = [Path(file).name if file else "card" for _, file in chosen]
    return [f"{name}, {file}" if names.count(name) > 1 else name for name, file in zip(names, files, strict=True)]


def figure_of(first: Record, points: list[Point]) -> Found:
    """One figure and table of all curves."""
    assert first.result is not None
    metric = first.result.primary
    unit = first.result.metrics[metric].unit
    subset = ", not the official data" if first.data.departures else ""
    title = f"{first.task} {first.protocol} ({first.tier}{subset}): transfer against the amount of data\n{bars(points)}"
    of = f"share of the {first.data.splits['train']:,} training images, %"
    figure = curves(lines(points), title, (of, f"{metric}, {unit}"), log=(len({each.x for each in points}) > 1, False))
    rows = [each.row() for each in points]
    numbers = {"metric": metric, "unit": unit, "columns": list(COLUMNS), "points": [list(row) for row in rows]}
    return Found(numbers, {"data_scale.csv": csv_bytes(COLUMNS, rows), **save(figure, "data_scale")})


def summary(analysis: Analysis) -> list[str]:
    """What came out, in lines."""
    return [f"  {point_line(row, analysis.numbers['unit'])}" for row in analysis.numbers["points"]]


def point_line(row: list[object], unit: str) -> str:
    """A point in words."""
    name, x, value, low, high, how, seeds, _ = row
    text = f"{name} at {x:g}: {value:.2f} {unit}"
    text += f" ({low:.2f} to {high:.2f}, {how})" if low is not None else " (no interval)"
    return text + (f", {seeds} seeds" if seeds != 1 else "")
