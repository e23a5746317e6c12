"""Measure which layers matter: probe each block, and fine-tune from the first k pre-trained blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from torch import nn

from analysis.answer import AnalysisOutput, AnalysisQuestion, answer_question
from analysis.inputs.backbone_spec import BackboneSpec, resolve_backbone
from analysis.inputs.cells import require_unique_values, run_all_seeds
from analysis.inputs.image_inputs import check_task_data
from analysis.inputs.truncated_backbone import count_blocks, write_truncated_weights
from analysis.output.csv_tables import encode_csv
from analysis.output.figures import PlotCurve, draw_curves, render_figure
from analysis.record import Analysis
from analysis.request import LayersRequest
from analysis.store import ANALYSIS_FOLDER, StoredAnalysis
from analysis.transfer_curves import (
    TransferPoint,
    average_runs,
    describe_error_bars,
    format_point,
    group_into_curves,
    tabulate_points,
)
from classification.probes.layerwise_probe import LayerProbeScore, make_layerwise_backbone, probe_layers
from classification.recipe import KnnRecipe, LinearRecipe
from engine.device import resolve_device
from engine.task import DataReport, RunRequest
from foundation.errors import UserError
from foundation.files import ensure_writable_dir
from results.records.record import Record

METHOD_VERSION = 1
PROBES = ("linear", "knn")
PROBE_COLUMNS = ("scale", "seed", "probe", "depth", "value", "low", "high", "chosen")


class ProbeRow(NamedTuple):
    """One row of ``probe.csv``, in the order of ``PROBE_COLUMNS``: the result of one probe at one depth.

    ``val_top1`` and its interval ``low`` to ``high`` are in percent; ``depth`` counts blocks.
    """

    data_scale: float
    seed: int
    probe: str
    depth: int
    val_top1: float
    low: float
    high: float
    hyperparameters: str


def run_layers(request: LayersRequest) -> StoredAnalysis:
    """Probe the features after each block, fine-tune from the first k blocks, or both (``request.parts``).

    Raises:
        UserError: the task or the weights cannot be used for this analysis, or the request is wrong elsewhere.
        DataError: the data are damaged or incomplete.
        BenchError: a run failed, or its runs cannot be averaged.
    """
    require_unique_values(request)
    task = request.task
    data = check_task_data(task, request.data_root, request.allow_subset)
    if task.domain != "classification":
        raise UserError(
            f"layers are probed on classification tasks, but {task.name} is a {task.domain} task; choose another --task"
        )
    backbone = resolve_backbone(request.backbone, allow_partial=request.allow_partial)
    if "finetune" in request.parts and backbone.start.init == "random":
        raise UserError(
            f"{backbone.card.name} has random weights, so keeping some of its blocks shows nothing; give --checkpoint "
            "or choose --parts probe"
        )
    model = backbone.build_model("cpu")  # built first, so that weights that do not fit are refused before any run
    points, records = _finetune_first_blocks(request, backbone, model) if "finetune" in request.parts else ([], [])
    probes = PROBES if "probe" in request.parts else ()
    recipes = {name: _resolve_probe_recipe(request, backbone, data, name) for name in probes}
    # Protocol and overrides configure the runs, so without runs they must not change the id. The one value that a
    # probe takes from them, the input size, is part of the probe's recipe.
    settings: dict[str, Any] = {
        "task": task.name,
        "parts": sorted(set(request.parts)),
        "data_scale": list(request.data_scales),
        "seeds": list(request.seeds),
        "protocol": request.protocol if records else None,
        "tier": request.tier,
        "overrides": list(request.overrides) if records else [],
        "probes": recipes,
    }
    run_ids = [record.run_id for record in records]
    question = AnalysisQuestion(
        METHOD_VERSION,
        settings,
        identity_fields={"runs": run_ids, "backbone": backbone.identity(), "data": data.fingerprint},
        backbone_names=(backbone.card.name,),
        describe_backbones=lambda: [backbone.to_record()],
        run_ids=tuple(run_ids),
    )

    def compute() -> AnalysisOutput:
        numbers: dict[str, Any] = {}
        files: dict[str, bytes] = {}
        if recipes:
            rows = _run_probes(request, backbone, data, recipes)
            numbers["probe"], more = _draw_probes(rows, backbone, task.name, bool(data.deviations))
            files |= more
        if records:
            numbers["finetune"], more = _draw_finetuning(points, records[0], backbone)
            files |= more
        return AnalysisOutput(numbers, files)

    return answer_question(request, question, compute)


def _finetune_first_blocks(
    request: LayersRequest, backbone: BackboneSpec, model: nn.Module
) -> tuple[list[TransferPoint], list[Record]]:
    """Fine-tune from the first k pre-trained blocks; the later blocks start from random weights (run's seed)."""
    ensure_writable_dir(request.out)
    total = count_blocks(model)
    # k at 0, 1/4, 1/2, 3/4 and all of the depth; the set drops the duplicates of a very shallow model
    quarters = sorted({total * quarter // 4 for quarter in range(5)})
    counts = quarters if request.first_blocks is None else request.first_blocks
    if max(counts) > total or len(set(counts)) < len(counts):
        raise UserError(f"--first takes different numbers from 0 to {total}, the blocks of {backbone.card.name}")
    points, records = [], []
    for scale in request.data_scales:
        for count in counts:
            file = write_truncated_weights(request.out / ANALYSIS_FOLDER / "starts", backbone.card.name, model, count)
            # The run loads a file with only the first k blocks like any partial checkpoint, so its record contains a
            # load report that names the parameters with random weights
            # the file holds the chosen weights alone
            choice = replace(request.backbone, checkpoint=str(file), weights_key=None)
            found = run_all_seeds(request, choice, scale, allow_partial=True)
            points.append(average_runs(f"{100 * scale:g} % of train", float(count), found))
            records += found
    return points, records


def _resolve_probe_recipe(
    request: LayersRequest, backbone: BackboneSpec, data: DataReport, protocol: str
) -> dict[str, Any]:
    """Return the recipe of a probe: the task's protocol of that name, with the input size of ``request.protocol``.

    Raises:
        UserError: the task does not have one of the two protocols.
    """
    task = request.task
    if protocol not in task.protocols:
        raise UserError(f"task {task.name} has no protocol {protocol} to probe with; choose --parts finetune")
    if request.protocol not in task.protocols:
        raise UserError(f"task {task.name} has no protocol {request.protocol}; it has {', '.join(task.protocols)}")
    # planned with the fewest training images, so that a k above their number is refused now
    probe = _make_run_request(request, backbone, protocol, min(request.data_scales), request.seeds[0])
    finetuning = replace(probe, protocol=request.protocol, overrides=request.overrides)
    # probes and fine-tuning see the same input size, otherwise their curves could not be compared
    img_size = task.plan(finetuning, data).config["recipe"]["img_size"]
    # The same pooling at every depth; train only on train, because the probes are evaluated on val
    recipe = task.plan(probe, data).config["recipe"]
    return {**recipe, "img_size": img_size, "pool": "avg", "train_on": "train"}


def _make_run_request(
    request: LayersRequest, backbone: BackboneSpec, protocol: str, data_scale: float, seed: int
) -> RunRequest:
    return RunRequest(
        card=backbone.card,
        start=backbone.start,
        protocol=protocol,
        tier=request.tier,
        seed=seed,
        overrides=(),
        data_root=request.data_root,
        device=request.device,
        allow_partial=request.allow_partial,
        data_scale=data_scale,
    )


def _run_probes(
    request: LayersRequest, backbone: BackboneSpec, data: DataReport, recipes: Mapping[str, Mapping[str, Any]]
) -> list[ProbeRow]:
    """Run both probes at each depth, for each fraction of the training images and each seed."""
    linear, knn = LinearRecipe.model_validate(recipes["linear"]), KnnRecipe.model_validate(recipes["knn"])
    task = request.task
    splits = {
        name: task.load_images(request.data_root, name, backbone.card, linear.img_size) for name in ("train", "val")
    }
    backbone_kwargs = {**backbone.model_arguments, "img_size": linear.img_size}
    has_random_weights = backbone.start.file is None or backbone.allow_partial
    rows = []
    for scale in request.data_scales:
        # with the complete split and loaded weights nothing is random, so further seeds would repeat the first
        seeds = request.seeds if scale < 1 or has_random_weights else request.seeds[:1]
        for seed in seeds:
            run_request = _make_run_request(request, backbone, "linear", scale, seed)
            run_request = replace(run_request, device=resolve_device(request.device))
            frozen = make_layerwise_backbone(run_request, linear, backbone_kwargs, splits, data.fingerprint, task)
            rows += [_make_probe_row(scale, seed, score) for score in probe_layers(frozen, linear, knn)]
    return rows


def _make_probe_row(data_scale: float, seed: int, score: LayerProbeScore) -> ProbeRow:
    return ProbeRow(
        data_scale=data_scale,
        seed=seed,
        probe=score.probe,
        depth=score.depth,
        val_top1=score.val_top1,
        low=score.interval.low,
        high=score.interval.high,
        hyperparameters=score.hyperparameters,
    )


def _draw_probes(
    rows: Sequence[ProbeRow], backbone: BackboneSpec, task_name: str, is_subset: bool
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return numbers and files of the probes: one curve per probe and fraction of the training images."""
    curves = {
        f"{probe}, {100 * scale:g} % of train": _make_probe_curve(
            [row for row in rows if row.data_scale == scale and row.probe == probe]
        )
        for scale in dict.fromkeys(row.data_scale for row in rows)
        for probe in PROBES
    }
    note = "trained on train; C of linear chosen on val"
    if any(curve.low is not None for curve in curves.values()):
        note += "; bars: 95 %, wilson over images"
    subset = ", not the official data" if is_subset else ""
    title = f"{backbone.label}: probes after each block, {task_name} val{subset}\n{note}"
    figure = draw_curves(curves, title, ("probed after block (stage)", "val top-1, %"), integer_ticks=True)
    numbers = {"columns": list(PROBE_COLUMNS), "rows": [list(row) for row in rows]}
    return numbers, {"probe.csv": encode_csv(PROBE_COLUMNS, rows), **render_figure(figure, "probe")}


def _make_probe_curve(rows: Sequence[ProbeRow]) -> PlotCurve:
    """Return the curve of one probe over depth: the mean over seeds; a single seed has its interval over images."""
    # every seed has the same depths in the same order
    first_seed = [row for row in rows if row.seed == rows[0].seed]
    depths = [row.depth for row in first_seed]
    num_seeds = len(rows) / len(first_seed)
    values = [sum(row.val_top1 for row in rows if row.depth == depth) / num_seeds for depth in depths]
    if num_seeds > 1:  # no bars: an interval over images does not describe the spread over seeds
        return PlotCurve(depths, values)
    return PlotCurve(depths, values, [row.low for row in rows], [row.high for row in rows])


def _draw_finetuning(
    points: Sequence[TransferPoint], first_record: Record, backbone: BackboneSpec
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return numbers and files of the runs: one curve over k per fraction of the training images."""
    numbers, table = tabulate_points(points, first_record)
    title = (
        f"{backbone.label}: {first_record.protocol} ({first_record.tier}) on {first_record.task} "
        f"from the first k blocks\nthe blocks above them start at random; {describe_error_bars(points)}"
    )
    axis_labels = ("pre-trained blocks kept, k", f"{numbers['metric']}, {numbers['unit']}")
    figure = draw_curves(group_into_curves(points), title, axis_labels, integer_ticks=True)
    return numbers, {"finetune.csv": table, **render_figure(figure, "finetune")}


def summarize_analysis(analysis: Analysis) -> list[str]:
    """Return the main results as lines of text."""
    lines = []
    if "probe" in analysis.numbers:
        lines.append("probes, val top-1 (trained on train):")
        for row in (ProbeRow(*values) for values in analysis.numbers["probe"]["rows"]):
            which = f"{row.probe} after block {row.depth}, {100 * row.data_scale:g} % of train, seed {row.seed}"
            lines.append(f"  {which}: {row.val_top1:.2f} % ({row.low:.2f} to {row.high:.2f})")
    if "finetune" in analysis.numbers:
        lines.append(f"{analysis.settings['protocol']} from the first k blocks:")
        unit = analysis.numbers["finetune"]["unit"]
        lines += [f"  {format_point(row, unit)}" for row in analysis.numbers["finetune"]["points"]]
    return lines
