"""Measure transfer against the amount of data: one curve per backbone over fractions of the training images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.answer import AnalysisOutput, AnalysisQuestion, answer_question
from analysis.inputs.cells import require_unique_values, run_all_seeds
from analysis.output.figures import draw_curves, render_figure
from analysis.record import Analysis
from analysis.request import BackboneChoice, DataScaleRequest
from analysis.store import StoredAnalysis
from analysis.transfer_curves import (
    TransferPoint,
    average_runs,
    describe_error_bars,
    format_point,
    group_into_curves,
    tabulate_points,
)
from foundation.errors import UserError
from results.records.record import Record

METHOD_VERSION = 1


def run_data_scale(request: DataScaleRequest) -> StoredAnalysis:
    """Run each backbone on each fraction of the data with each seed, and draw one curve per backbone.

    Raises:
        UserError: a backbone, fraction or seed is given twice, or a run cannot be started.
        BenchError: a run failed, or its runs cannot be averaged.
    """
    require_unique_values(request)
    curve_names = _name_curves(request.backbones)
    points: list[TransferPoint] = []
    records: list[Record] = []
    backbones = []
    for choice, curve in zip(request.backbones, curve_names, strict=True):
        for scale in request.data_scales:
            found = run_all_seeds(request, choice, scale, request.allow_partial)
            records += found
            points.append(average_runs(curve, 100 * scale, found))  # x is in percent of the training images
        # every run of this loop starts from the same backbone and weights, so any record describes them
        backbones.append(found[0].backbone)
    # these key names ("lines" for curves) are part of the id; renaming one would lose all stored analyses
    settings = {
        "task": records[0].task,
        "protocol": records[0].protocol,
        "tier": records[0].tier,
        "data_scale": list(request.data_scales),
        "seeds": list(request.seeds),
        "overrides": list(request.overrides),
        "lines": curve_names,
    }
    run_ids = [record.run_id for record in records]
    # The ids of the runs already depend on backbones, weights, data and protocol, so these need not be added again
    question = AnalysisQuestion(
        METHOD_VERSION,
        settings,
        identity_fields={"runs": run_ids},
        backbone_names=tuple(each.name for each in backbones),
        describe_backbones=lambda: backbones,
        run_ids=tuple(run_ids),
    )
    return answer_question(request, question, lambda: draw_data_scale(records[0], points))


def _name_curves(backbones: Sequence[BackboneChoice]) -> list[str]:
    """Return a name for each curve: the backbone, with its weights when the backbone is given several times.

    Raises:
        UserError: the same backbone with the same weights is given twice.
    """
    if len(set(backbones)) < len(backbones):
        raise UserError("the same backbone with the same weights is given twice; give each one once")
    names = [each.name for each in backbones]
    return [
        f"{each.name}, {Path(each.checkpoint).name if each.checkpoint else 'card'}"
        if names.count(each.name) > 1
        else each.name
        for each in backbones
    ]


def draw_data_scale(first_record: Record, points: Sequence[TransferPoint]) -> AnalysisOutput:
    """Draw one figure and write one table of all curves.

    Args:
        first_record: the record of any run; all runs share its task, protocol and metric.
        points: the points of all curves.
    """
    numbers, table = tabulate_points(points, first_record)
    subset = ", not the official data" if first_record.data.deviations else ""
    title = (
        f"{first_record.task} {first_record.protocol} ({first_record.tier}{subset}): "
        f"transfer against the amount of data\n{describe_error_bars(points)}"
    )
    axis_labels = (
        f"fraction of the {first_record.data.splits['train']:,} training images, %",
        f"{numbers['metric']}, {numbers['unit']}",
    )
    # Fractions are usually powers of ten; a logarithmic axis needs at least two of them
    log_scale = (len({each.x for each in points}) > 1, False)
    figure = draw_curves(group_into_curves(points), title, axis_labels, log_scale)
    return AnalysisOutput(numbers, {"data_scale.csv": table, **render_figure(figure, "data_scale")})


def summarize_analysis(analysis: Analysis) -> list[str]:
    """Return the main results as lines of text."""
    return [f"  {format_point(row, analysis.numbers['unit'])}" for row in analysis.numbers["points"]]
