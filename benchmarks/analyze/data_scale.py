"""``bench analyze data-scale A B ... --task T``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from analysis.csv_tables import encode_csv
from analysis.figures import draw_curves, render_figure
from analysis.record import Analysis
from analysis.store import StoredAnalysis
from analysis.transfer_curves import POINT_COLUMNS, TransferPoint, average_runs, describe_error_bars, group_into_curves
from benchmarks.analyze.common import AnalysisOutput
from benchmarks.analyze.runs import analyze_runs, require_one_process, require_unique_values, run_cells
from foundation.errors import UserError
from results.records.record import Record

METHOD_VERSION = 1
CARD_WEIGHTS = "card"
"""What ``--checkpoint`` says for a card's own weights."""


def run(options: Namespace) -> StoredAnalysis:
    """A run for each backbone, share of the data and seed; one curve a backbone."""
    require_one_process()
    require_unique_values(options)
    chosen = pair_checkpoints(options.names, options.checkpoint)
    named = _name_curves(chosen)
    points: list[TransferPoint] = []
    records: list[Record] = []
    firsts = []
    for (name, checkpoint), line in zip(chosen, named, strict=True):
        for scale in options.data_scale:
            found = [cell.record for cell in run_cells(options, name, checkpoint, scale, options.allow_partial)]
            records += found
            points.append(average_runs(line, 100 * scale, found))
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
    return analyze_runs(
        options, "data-scale", METHOD_VERSION, firsts, None, settings, {}, runs, lambda: draw_data_scale(first, points)
    )


def pair_checkpoints(names: list[str], checkpoints: list[str] | None) -> list[tuple[str, str | None]]:
    """Backbones with their start weights.

    Raises:
        UserError: not one for each.
    """
    if checkpoints is not None and len(checkpoints) != len(names):
        raise UserError(
            f"--checkpoint takes one file a backbone: {len(names)}, not {len(checkpoints)}; 'card' is the card's"
        )
    return [
        (name, None if file == CARD_WEIGHTS else file)
        for name, file in zip(names, checkpoints or [CARD_WEIGHTS] * len(names), strict=True)
    ]


def _name_curves(backbones: list[tuple[str, str | None]]) -> list[str]:
    """The backbones' names; with the weights where one name stands for several.

    Raises:
        UserError: the same backbone with the same weights twice.
    """
    if len(set(backbones)) < len(backbones):
        raise UserError("the same backbone with the same weights is named twice")
    names = [name for name, _ in backbones]
    files = [Path(file).name if file else "card" for _, file in backbones]
    return [f"{name}, {file}" if names.count(name) > 1 else name for name, file in zip(names, files, strict=True)]


def draw_data_scale(first_record: Record, points: list[TransferPoint]) -> AnalysisOutput:
    """One figure and table of all curves."""
    assert first_record.result is not None
    metric = first_record.result.primary_metric
    unit = first_record.result.metrics[metric].unit
    subset = ", not the official data" if first_record.data.deviations else ""
    title = (
        f"{first_record.task} {first_record.protocol} ({first_record.tier}{subset}): "
        f"transfer against the amount of data\n{describe_error_bars(points)}"
    )
    of = f"share of the {first_record.data.splits['train']:,} training images, %"
    figure = draw_curves(
        group_into_curves(points),
        title,
        (of, f"{metric}, {unit}"),
        log_scale=(len({each.x for each in points}) > 1, False),
    )
    rows = [each.to_row() for each in points]
    numbers = {"metric": metric, "unit": unit, "columns": list(POINT_COLUMNS), "points": [list(row) for row in rows]}
    return AnalysisOutput(
        numbers, {"data_scale.csv": encode_csv(POINT_COLUMNS, rows), **render_figure(figure, "data_scale")}
    )


def summarize_analysis(analysis: Analysis) -> list[str]:
    """What came out, in lines."""
    return [f"  {format_point(row, analysis.numbers['unit'])}" for row in analysis.numbers["points"]]


def format_point(row: list[object], unit: str) -> str:
    """A point in words."""
    name, x, value, low, high, how, seeds, _ = row
    text = f"{name} at {x:g}: {value:.2f} {unit}"
    text += f" ({low:.2f} to {high:.2f}, {how})" if low is not None else " (no interval)"
    return text + (f", {seeds} seeds" if seeds != 1 else "")
