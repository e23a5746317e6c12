"""``bench analyze layers A --task T``."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from typing import Any

from torch import nn

from analysis.backbone_spec import BackboneSpec, resolve_backbone
from analysis.csv_tables import encode_csv
from analysis.figures import PlotCurve, draw_curves, render_figure
from analysis.record import Analysis
from analysis.store import ANALYSIS_FOLDER, StoredAnalysis
from analysis.transfer_curves import POINT_COLUMNS, TransferPoint, average_runs, describe_error_bars, group_into_curves
from analysis.truncated_backbone import count_blocks, write_truncated_weights
from benchmarks.analyze.arguments import FINETUNE, PROBE
from benchmarks.analyze.common import AnalysisOutput, check_task_data, to_record_data
from benchmarks.analyze.data_scale import format_point
from benchmarks.analyze.runs import analyze_runs, require_one_process, require_unique_values, run_cells
from classification.probes.layerwise_probe import LayerProbeScore, make_layerwise_backbone, probe_layers
from classification.recipe import KnnRecipe, LinearRecipe
from engine.device import resolve_device
from engine.task import DataReport, RunRequest, Task
from foundation.environment import resolve_data_root
from foundation.errors import UserError
from foundation.files import ensure_writable_dir
from results.records.record import Record

METHOD_VERSION = 1
PROBE_COLUMNS = ("scale", "seed", "probe", "depth", "value", "low", "high", "chosen")


def run(options: Namespace) -> StoredAnalysis:
    """Probe after each block, and fine-tune from the first k blocks; either half by ``--parts``."""
    require_one_process()
    require_unique_values(options)
    task, data = check_task_data(options.task, options)
    if task.domain != "classification":
        raise UserError(f"layers are probed on classification tasks; {task.name} is one of {task.domain}")
    one = resolve_backbone(options.name, options.checkpoint, allow_partial=options.allow_partial)
    if FINETUNE in options.parts and one.start.init == "random":
        raise UserError(
            f"{one.card.name} has random weights, so keeping some of its blocks says nothing; give --checkpoint, or "
            f"ask for --parts {PROBE}"
        )
    model = one.build_model("cpu")  # weights that do not fit are refused before anything runs
    points, records = _finetune_first_blocks(options, one, model) if FINETUNE in options.parts else ([], [])
    probes = ("linear", "knn") if PROBE in options.parts else ()
    plans = {name: _probe_settings(options, one, task, data, name) for name in probes}
    settings: dict[str, Any] = {
        "task": task.name,
        "parts": sorted(set(options.parts)),
        "data_scale": list(options.data_scale),
        "seeds": list(options.seeds),
        "protocol": options.protocol if records else None,
        "tier": options.tier,
        "overrides": list(options.overrides) if records else [],
        "probes": plans,
    }
    ingredients = {"backbone": one.identity(), "data": data.fingerprint}
    runs = [record.run_id for record in records]

    def draw() -> AnalysisOutput:
        numbers: dict[str, Any] = {}
        files: dict[str, bytes] = {}
        if PROBE in options.parts:
            found = _run_probes(options, one, task, data, plans)
            numbers["probe"], more = _draw_probes(found, one, task, to_record_data(data).deviations != [])
            files |= more
        if records:
            numbers["finetune"], more = _draw_finetuning(points, records[0], one)
            files |= more
        return AnalysisOutput(numbers, files)

    return analyze_runs(options, "layers", METHOD_VERSION, [one.to_record()], None, settings, ingredients, runs, draw)


def _finetune_first_blocks(
    options: Namespace, backbone: BackboneSpec, model: nn.Module
) -> tuple[list[TransferPoint], list[Record]]:
    """Runs from the first k blocks; the rest starts at random, by the run's seed."""
    ensure_writable_dir(options.out)
    total = count_blocks(model)
    wanted = sorted({total * quarter // 4 for quarter in range(5)}) if options.first is None else options.first
    if max(wanted) > total or len(set(wanted)) < len(wanted):
        raise UserError(f"--first takes different numbers from 0 to {total}, the blocks of {backbone.card.name}")
    points, records = [], []
    for scale in options.data_scale:
        for count in wanted:
            file = write_truncated_weights(options.out / ANALYSIS_FOLDER / "starts", backbone.card.name, model, count)
            found = [cell.record for cell in run_cells(options, options.name, str(file), scale, True)]
            points.append(average_runs(f"{100 * scale:g} % of train", float(count), found))
            records += found
    return points, records


def _probe_settings(
    options: Namespace, backbone: BackboneSpec, task: Task, data: DataReport, protocol: str
) -> dict[str, Any]:
    """The settings of a probe, by the task's own protocol of that name, at the input size of ``--protocol``.

    Raises:
        UserError: the task has no such protocol.
    """
    if protocol not in task.protocols:
        raise UserError(f"task {task.name} has no protocol {protocol} to probe with; ask for --parts {FINETUNE}")
    if options.protocol not in task.protocols:
        raise UserError(f"task {task.name} has no protocol {options.protocol}; it has {', '.join(task.protocols)}")
    plan = task.plan(_make_request(options, backbone, protocol, 1.0, options.seeds[0]), data)
    tuning = replace(
        _make_request(options, backbone, options.protocol, 1.0, options.seeds[0]), overrides=tuple(options.overrides)
    )
    size = task.plan(tuning, data).config["recipe"]["img_size"]  # both halves look at the same input
    return {**plan.config["recipe"], "img_size": size, "pool": "avg", "train_on": "train"}


def _make_request(
    options: Namespace, backbone: BackboneSpec, protocol: str, data_scale: float, seed: int
) -> RunRequest:
    return RunRequest(
        card=backbone.card,
        start=backbone.start,
        protocol=protocol,
        tier=options.tier,
        seed=seed,
        overrides=(),
        data_root=resolve_data_root(options.data_root),
        device=options.device,
        allow_partial=options.allow_partial,
        data_scale=data_scale,
    )


def _run_probes(
    options: Namespace, backbone: BackboneSpec, task: Task, data: DataReport, plans: dict[str, dict[str, Any]]
) -> list[tuple[float, int, LayerProbeScore]]:
    """Both probes at each depth, for each share of train and seed."""
    linear, knn = LinearRecipe.model_validate(plans["linear"]), KnnRecipe.model_validate(plans["knn"])
    root = resolve_data_root(options.data_root)
    splits = {name: task.load_images(root, name, backbone.card, linear.img_size) for name in ("train", "val")}
    arguments = {**backbone.model_arguments, "img_size": linear.img_size}
    found = []
    for scale in options.data_scale:
        # a whole split and loaded weights leave nothing to chance
        seeds = (
            options.seeds if scale < 1 or backbone.start.file is None or backbone.allow_partial else options.seeds[:1]
        )
        for seed in seeds:
            request = replace(
                _make_request(options, backbone, "linear", scale, seed), device=resolve_device(options.device)
            )
            frozen = make_layerwise_backbone(request, linear, arguments, splits, data.fingerprint, task)
            found += [(scale, seed, score) for score in probe_layers(frozen, linear, knn)]
    return found


def _draw_probes(
    scores: list[tuple[float, int, LayerProbeScore]], backbone: BackboneSpec, task: Task, subset: bool
) -> tuple[dict[str, Any], dict[str, bytes]]:
    rows = [
        (
            scale,
            seed,
            score.probe,
            score.depth,
            score.val_top1,
            score.interval.low,
            score.interval.high,
            score.hyperparameters,
        )
        for scale, seed, score in scores
    ]
    named: dict[str, PlotCurve] = {}
    for scale in dict.fromkeys(row[0] for row in rows):
        for name in ("linear", "knn"):
            mine = [row for row in rows if row[0] == scale and row[2] == name]
            first = [row for row in mine if row[1] == mine[0][1]]
            places = [row[3] for row in first]
            values = [sum(row[4] for row in mine if row[3] == place) / (len(mine) / len(first)) for place in places]
            lone = len(mine) == len(first)
            ends = ([row[5] for row in first], [row[6] for row in first]) if lone else (None, None)
            named[f"{name}, {100 * scale:g} % of train"] = PlotCurve(places, values, *ends)
    of = ", not the official data" if subset else ""
    any_bars = any(line.low is not None for line in named.values())
    note = "trained on train; C of linear chosen on val; bars: 95 %, wilson over images"
    note = note if any_bars else note.rpartition(";")[0]
    title = f"{backbone.label}: probes after each block, {task.name} val{of}\n{note}"
    figure = draw_curves(named, title, ("block (stage)", "val top-1, %"), integer_ticks=True)
    numbers = {"columns": list(PROBE_COLUMNS), "rows": [list(row) for row in rows]}
    return numbers, {"probe.csv": encode_csv(PROBE_COLUMNS, rows), **render_figure(figure, "probe")}


def _draw_finetuning(
    points: list[TransferPoint], first_record: Record, backbone: BackboneSpec
) -> tuple[dict[str, Any], dict[str, bytes]]:
    assert first_record.result is not None
    metric = first_record.result.primary_metric
    unit = first_record.result.metrics[metric].unit
    title = (
        f"{backbone.label}: {first_record.protocol} ({first_record.tier}) on {first_record.task} "
        f"from the first k blocks\nthe blocks above them start at random; {describe_error_bars(points)}"
    )
    figure = draw_curves(
        group_into_curves(points), title, ("pre-trained blocks kept, k", f"{metric}, {unit}"), integer_ticks=True
    )
    rows = [each.to_row() for each in points]
    numbers = {"metric": metric, "unit": unit, "columns": list(POINT_COLUMNS), "points": [list(row) for row in rows]}
    return numbers, {"finetune.csv": encode_csv(POINT_COLUMNS, rows), **render_figure(figure, "finetune")}


def summarize_analysis(analysis: Analysis) -> list[str]:
    """What came out, in lines."""
    said = []
    if "probe" in analysis.numbers:
        said.append("probes, val top-1 (trained on train):")
        for scale, seed, name, place, value, low, high, _ in analysis.numbers["probe"]["rows"]:
            which = f"{name} after block {place}, {100 * scale:g} % of train, seed {seed}"
            said.append(f"  {which}: {value:.2f} % ({low:.2f} to {high:.2f})")
    if "finetune" in analysis.numbers:
        said.append(f"{analysis.settings['protocol']} from the first k blocks:")
        unit = analysis.numbers["finetune"]["unit"]
        said += [f"  {format_point(row, unit)}" for row in analysis.numbers["finetune"]["points"]]
    return said
