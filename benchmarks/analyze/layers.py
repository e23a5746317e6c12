"""``bench analyze layers A --task T``."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from typing import Any

from torch import nn

from analysis.backbone_spec import Subject, subject
from analysis.csv_tables import csv_bytes
from analysis.figures import Curve, curves, save
from analysis.record import Analysis
from analysis.store import FOLDER, Kept
from analysis.transfer_curves import COLUMNS, Point, bars, lines, point
from analysis.truncated_backbone import depth, write_start
from benchmarks.analyze.arguments import FINETUNE, PROBE
from benchmarks.analyze.common import Found, as_record, checked_data
from benchmarks.analyze.data_scale import point_line
from benchmarks.analyze.runs import answer, cells, require_one_process, require_scales
from classification.probes.layerwise_probe import DepthScore, depths, probe
from classification.recipe import KnnRecipe, LinearRecipe
from engine.device import resolve_device
from engine.task import DataReport, Request, Task
from foundation.environment import data_root
from foundation.errors import UserError
from foundation.files import require_writable
from results.records.record import Record

METHOD = 1
PROBED = ("scale", "seed", "probe", "depth", "value", "low", "high", "chosen")


def run(options: Namespace) -> Kept:
    """Probe after each block, and fine-tune from the first k blocks; either half by ``--parts``."""
    require_one_process()
    require_scales(options)
    task, data = checked_data(options.task, options)
    if task.domain != "classification":
        raise UserError(f"layers are probed on classification tasks; {task.name} is one of {task.domain}")
    one = subject(options.name, options.checkpoint, allow_partial=options.allow_partial)
    if FINETUNE in options.parts and one.start.init == "random":
        raise UserError(
            f"{one.card.name} has random weights, so keeping some of its blocks says nothing; give --checkpoint, or "
            f"ask for --parts {PROBE}"
        )
    model = one.make("cpu")  # weights that do not fit are refused before anything runs
    points, records = _finetuned(options, one, model) if FINETUNE in options.parts else ([], [])
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

    def draw() -> Found:
        numbers: dict[str, Any] = {}
        files: dict[str, bytes] = {}
        if PROBE in options.parts:
            found = _probed(options, one, task, data, plans)
            numbers["probe"], more = _draw_probes(found, one, task, as_record(data).departures != [])
            files |= more
        if records:
            numbers["finetune"], more = _draw_runs(points, records[0], one)
            files |= more
        return Found(numbers, files)

    return answer(options, "layers", METHOD, [one.describe()], None, settings, ingredients, runs, draw)


def _finetuned(options: Namespace, one: Subject, model: nn.Module) -> tuple[list[Point], list[Record]]:
    """Runs from the first k blocks; the rest starts at random, by the run's seed."""
    require_writable(options.out)
    total = depth(model)
    wanted = sorted({total * quarter // 4 for quarter in range(5)}) if options.first is None else options.first
    if max(wanted) > total or len(set(wanted)) < len(wanted):
        raise UserError(f"--first takes different numbers from 0 to {total}, the blocks of {one.card.name}")
    points, records = [], []
    for scale in options.data_scale:
        for count in wanted:
            file = write_start(options.out / FOLDER / "starts", one.card.name, model, count)
            found = [cell.record for cell in cells(options, options.name, str(file), scale, True)]
            points.append(point(f"{100 * scale:g} % of train", float(count), found))
            records += found
    return points, records


def _probe_settings(options: Namespace, one: Subject, task: Task, data: DataReport, protocol: str) -> dict[str, Any]:
    """The settings of a probe, by the task's own protocol of that name, at the input size of ``--protocol``.

    Raises:
        UserError: the task has no such protocol.
    """
    if protocol not in task.protocols:
        raise UserError(f"task {task.name} has no protocol {protocol} to probe with; ask for --parts {FINETUNE}")
    if options.protocol not in task.protocols:
        raise UserError(f"task {task.name} has no protocol {options.protocol}; it has {', '.join(task.protocols)}")
    plan = task.plan(_request(options, one, protocol, 1.0, options.seeds[0]), data)
    tuning = replace(
        _request(options, one, options.protocol, 1.0, options.seeds[0]), overrides=tuple(options.overrides)
    )
    size = task.plan(tuning, data).config["recipe"]["img_size"]  # both halves look at the same input
    return {**plan.config["recipe"], "img_size": size, "pool": "avg", "train_on": "train"}


def _request(options: Namespace, one: Subject, protocol: str, scale: float, seed: int) -> Request:
    return Request(
        card=one.card,
        start=one.start,
        protocol=protocol,
        tier=options.tier,
        seed=seed,
        overrides=(),
        data_root=data_root(options.data_root),
        device=options.device,
        allow_partial=options.allow_partial,
        data_scale=scale,
    )


def _probed(
    options: Namespace, one: Subject, task: Task, data: DataReport, plans: dict[str, dict[str, Any]]
) -> list[tuple[float, int, DepthScore]]:
    """Both probes at each depth, for each share of train and seed."""
    linear, knn = LinearRecipe.model_validate(plans["linear"]), KnnRecipe.model_validate(plans["knn"])
    root = data_root(options.data_root)
    splits = {name: task.images(root, name, one.card, linear.img_size) for name in ("train", "val")}
    arguments = {**one.arguments, "img_size": linear.img_size}
    found = []
    for scale in options.data_scale:
        # a whole split and loaded weights leave nothing to chance
        seeds = options.seeds if scale < 1 or one.start.file is None or one.allow_partial else options.seeds[:1]
        for seed in seeds:
            request = replace(_request(options, one, "linear", scale, seed), device=resolve_device(options.device))
            frozen = depths(request, linear, arguments, splits, data.fingerprint, task)
            found += [(scale, seed, score) for score in probe(frozen, linear, knn)]
    return found


def _draw_probes(
    found: list[tuple[float, int, DepthScore]], one: Subject, task: Task, subset: bool
) -> tuple[dict[str, Any], dict[str, bytes]]:
    rows = [
        (scale, seed, score.probe, score.depth, score.value, score.interval.low, score.interval.high, score.chosen)
        for scale, seed, score in found
    ]
    named: dict[str, Curve] = {}
    for scale in dict.fromkeys(row[0] for row in rows):
        for name in ("linear", "knn"):
            mine = [row for row in rows if row[0] == scale and row[2] == name]
            first = [row for row in mine if row[1] == mine[0][1]]
            places = [row[3] for row in first]
            values = [sum(row[4] for row in mine if row[3] == place) / (len(mine) / len(first)) for place in places]
            lone = len(mine) == len(first)
            ends = ([row[5] for row in first], [row[6] for row in first]) if lone else (None, None)
            named[f"{name}, {100 * scale:g} % of train"] = Curve(places, values, *ends)
    of = ", not the official data" if subset else ""
    any_bars = any(line.low is not None for line in named.values())
    note = "trained on train; C of linear chosen on val; bars: 95 %, wilson over images"
    title = (
        f"{one.label}: probes after each block, {task.name} val{of}\n{note if any_bars else note.rpartition(';')[0]}"
    )
    figure = curves(named, title, ("block (stage)", "val top-1, %"), whole=True)
    numbers = {"columns": list(PROBED), "rows": [list(row) for row in rows]}
    return numbers, {"probe.csv": csv_bytes(PROBED, rows), **save(figure, "probe")}


def _draw_runs(points: list[Point], first: Record, one: Subject) -> tuple[dict[str, Any], dict[str, bytes]]:
    assert first.result is not None
    metric = first.result.primary
    unit = first.result.metrics[metric].unit
    title = (
        f"{one.label}: {first.protocol} ({first.tier}) on {first.task} from the first k blocks\n"
        f"the blocks above them start at random; {bars(points)}"
    )
    figure = curves(lines(points), title, ("pre-trained blocks kept, k", f"{metric}, {unit}"), whole=True)
    rows = [each.row() for each in points]
    numbers = {"metric": metric, "unit": unit, "columns": list(COLUMNS), "points": [list(row) for row in rows]}
    return numbers, {"finetune.csv": csv_bytes(COLUMNS, rows), **save(figure, "finetune")}


def summary(analysis: Analysis) -> list[str]:
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
        said += [f"  {point_line(row, unit)}" for row in analysis.numbers["finetune"]["points"]]
    return said
