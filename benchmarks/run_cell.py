"""The way of a run: resolve, check the data, plan, train, evaluate, record; answered from the record when done."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from backbones.card import BackboneCard
from backbones.registry import get_card
from backbones.weights import InitialWeights, locate_weights
from benchmarks.task_registry import TASKS
from engine.task import DataReport, RunPlan, RunRequest, Task, TaskOutcome
from foundation.errors import BenchError, DataError, IncompleteError, RecordError, UserError
from foundation.files import ensure_writable_dir, sha256_file, sha256_unchanged_file, write_atomic
from foundation.suggest import did_you_mean
from results.records.identity import RunIdentity
from results.records.record import (
    BackboneRecord,
    DatasetRecord,
    EfficiencyRecord,
    ItemsFile,
    LoadReportRecord,
    MetricValue,
    Record,
    RunCost,
    RunResult,
    StartCheckpoint,
    StatisticRecord,
    Tier,
)
from results.records.store import list_attempts, lock_folder, next_attempt_folder, read_record, write_record

if TYPE_CHECKING:
    from torch import nn

ITEMS_FILE = "items.csv"


@dataclass(frozen=True)
class CellRequest:
    """One cell as the user asked for it.

    Attributes:
        task: a name of the registry, or a task that is in none.
        backbone: a name of the registry, ``timm/<name>``, or a module (see ``backbones.memory_module``).
        checkpoint: a weight file, the folder of a pre-training run, or ``random``; not for a module.
    """

    task: str | Task
    backbone: str | nn.Module
    protocol: str | None = None
    checkpoint: str | None = None
    tier: Tier = "full"
    seed: int = 0
    overrides: tuple[str, ...] = ()
    data_root: Path = Path("data")
    out: Path = Path("runs")
    device: str = "auto"
    allow_partial: bool = False
    allow_subset: bool = False
    data_scale: float = 1.0
    force_new: bool = False
    command_line: tuple[str, ...] = ()


class CellResult(NamedTuple):
    """One cell as done: its folder, its record, and whether the record was there already."""

    folder: Path
    record: Record
    from_record: bool


class _ResolvedCell(NamedTuple):
    task: Task
    request: RunRequest
    data: DataReport
    plan: RunPlan
    backbone: BackboneRecord
    identity: RunIdentity


def run_cell(cell_request: CellRequest) -> CellResult:
    """Do one cell, or find it done.

    Raises:
        UserError: something the user can mend; nothing was written.
        BenchError: the run failed; its record says ``failed`` and why, and the same command goes on from there.
    """
    from engine.device import decide_on_rank0, get_dist_info, init_distributed

    resolved = _resolve_request(cell_request)
    ensure_writable_dir(cell_request.out)
    init_distributed()
    cell = f"{resolved.request.protocol}-{cell_request.tier}-seed{cell_request.seed}"
    name = f"{resolved.request.card.name.replace('/', '_')}-{cell}"
    stem = f"{resolved.task.name}/{name}-{resolved.identity.run_id}"
    folder, done = decide_on_rank0(lambda: _choose_run_folder(cell_request, stem))
    if done is not None:
        return CellResult(folder, done, True)
    _warn_input_size(resolved)
    resolved = _prepare_backbone(resolved)
    if get_dist_info()[0] > 0:  # only the first process keeps the record
        _run_task(resolved, folder)
        return CellResult(folder, decide_on_rank0(lambda: read_record(folder)), False)
    with lock_folder(folder):
        record = _run_and_record(resolved, folder, cell_request)
        return CellResult(folder, decide_on_rank0(lambda: record), False)


def _warn_input_size(resolved: _ResolvedCell) -> None:
    """Say that a backbone is shown images of another order of size than it was made for: its positions are stretched.

    A 32-px ViT under a protocol of 224 px has 49 times the tokens, and features that its weights never saw.
    """
    from engine.progress import log_message

    card, size = resolved.request.card, resolved.plan.config["recipe"].get("img_size")
    own = card.input_size[-1]
    if isinstance(size, int) and not own / 2 < size < 2 * own:
        log_message(
            f"{card.name} was made for {own} px and protocol {resolved.request.protocol} shows it {size} px; "
            f"for its own size (another board) --set img_size={own}"
        )


def _resolve_request(cell_request: CellRequest) -> _ResolvedCell:
    """Everything that can be wrong with the request is found here, before anything is written."""
    task = cell_request.task if isinstance(cell_request.task, Task) else TASKS.get(cell_request.task)
    protocol = cell_request.protocol or task.protocols[0]
    if protocol not in task.protocols:
        close = did_you_mean(protocol, task.protocols, hint=f"it has {', '.join(task.protocols)}")
        raise UserError(f"task {task.name} has no protocol {protocol!r}{close}")
    if cell_request.seed < 0:
        raise UserError(f"seed {cell_request.seed} is negative; seeds are 0 or above")
    if cell_request.data_scale != 1 and not task.supports_data_scale:
        raise UserError(f"task {task.name} has no --data-scale: it always trains on all of its data")
    if not 0 < cell_request.data_scale <= 1:
        raise UserError(f"data scale {cell_request.data_scale:g} is not a share of the training data, above 0 to 1")
    card, start = _resolve_backbone(cell_request)
    request = RunRequest(
        card=card,
        start=start,
        protocol=protocol,
        tier=cell_request.tier,
        seed=cell_request.seed,
        overrides=cell_request.overrides,
        data_root=cell_request.data_root,
        device=cell_request.device,
        allow_partial=cell_request.allow_partial,
        data_scale=cell_request.data_scale,
    )
    data = task.check_data(cell_request.data_root)
    plan = task.plan(request, data)
    if data.deviations and not cell_request.allow_subset:
        raise DataError(
            f"{task.name}: {'; '.join(data.deviations)}. A number on such data stands on a board of its own: "
            "add --subset to run on it"
        )
    backbone = _describe_backbone(request, plan)
    identity = RunIdentity(
        protocol_fields={
            "task": task.name,
            "protocol": protocol,
            "protocol_version": plan.protocol_version,
            "config": dict(plan.config),
            "data": data.fingerprint,
            "tier": cell_request.tier,
        },
        candidate_fields={
            "card": card.identity_dict(),
            "arguments": dict(plan.backbone_kwargs),
            "init": start.init,
            "checkpoint": backbone.checkpoint.sha256 if backbone.checkpoint else None,
            "allow_partial": cell_request.allow_partial,
            "seed": cell_request.seed,
        },
    )
    return _ResolvedCell(task, request, data, plan, backbone, identity)


def _resolve_backbone(cell_request: CellRequest) -> tuple[BackboneCard, InitialWeights]:
    backbone = cell_request.backbone
    if isinstance(backbone, str):
        card = get_card(backbone)
        return card, locate_weights(card, cell_request.checkpoint)
    if cell_request.checkpoint is not None:
        raise UserError("a module brings its own weights, so checkpoint cannot be given; load the file into it first")
    from backbones.memory_module import make_memory_card

    return make_memory_card(backbone)


def _describe_backbone(request: RunRequest, plan: RunPlan) -> BackboneRecord:
    """The backbone as the record has it, with the hash of what it starts from; torch is not needed for it."""
    start, checkpoint = request.start, None
    if start.file is not None:
        checkpoint = StartCheckpoint(
            uri=start.uri or str(start.file),
            sha256=sha256_unchanged_file(start.file),
            bytes=start.file.stat().st_size,
        )
    elif start.sha256 is not None:
        checkpoint = StartCheckpoint(uri=start.uri or "", sha256=start.sha256, bytes=start.num_bytes or 0)
    return BackboneRecord(
        name=request.card.name,
        card=request.card.as_dict(),
        arguments=dict(plan.backbone_kwargs),
        init=start.init,
        checkpoint=checkpoint,
        allow_partial=request.allow_partial,
    )


def _prepare_backbone(resolved: _ResolvedCell) -> _ResolvedCell:
    """Settle the device, and make the backbone: weights that do not fit are refused before the run begins."""
    from engine.device import require_training_precision, resolve_device

    request = replace(resolved.request, device=resolve_device(resolved.request.device))
    require_training_precision(_get_precision(resolved.plan), request.device)
    request.prepare_backbone(resolved.plan.backbone_kwargs)
    return resolved._replace(request=request)


def _choose_run_folder(cell_request: CellRequest, stem: str) -> tuple[Path, Record | None]:
    """The folder to work in, and the complete record if the work is done."""
    existing = list_attempts(cell_request.out, stem)
    if cell_request.force_new or not existing:
        return next_attempt_folder(cell_request.out, stem), None
    folder = existing[-1]
    if not (folder / "record.json").exists():
        return folder, None
    try:
        record = read_record(folder)
    except RecordError as error:
        raise RecordError(f"{error}; move that folder away, or leave it and run anew with --fresh") from error
    if record.status == "invalidated":
        return next_attempt_folder(cell_request.out, stem), None
    return folder, record if record.status == "complete" else None


def _run_task(resolved: _ResolvedCell, folder: Path) -> TaskOutcome:
    from engine.run_environment import reset_peak_memory

    reset_peak_memory(resolved.request.device)
    return resolved.task.run(resolved.request, resolved.plan, folder)


def _run_and_record(resolved: _ResolvedCell, folder: Path, cell_request: CellRequest) -> Record:
    """Run with the record beside it: running, then complete or failed."""
    record = _make_running_record(resolved, folder, cell_request)
    write_record(folder, record)
    try:
        efficiency = _measure_efficiency(resolved)  # before the run, which goes on to train this very backbone
        began = time.monotonic()
        outcome = _run_task(resolved, folder)
        finished = _make_complete_record(record, resolved, outcome, folder, time.monotonic() - began, efficiency)
    except BaseException as error:
        write_record(folder, record.model_copy(update={"status": "failed", "reason": _describe_failure(error)}))
        raise
    write_record(folder, finished)
    return finished


def _make_running_record(resolved: _ResolvedCell, folder: Path, cell_request: CellRequest) -> Record:
    from engine.run_environment import collect_run_environment

    attempt = 1
    if (folder / "record.json").exists():
        earlier = read_record(folder)
        attempt = earlier.cost.attempts + 1 if earlier.cost else 2
    return Record(
        run_id=resolved.identity.run_id,
        comparability=resolved.identity.comparability,
        status="running",
        tier=cell_request.tier,
        done=0,
        expected=resolved.plan.num_expected_items,
        task=resolved.task.name,
        domain=resolved.task.domain,
        protocol=resolved.request.protocol,
        protocol_version=resolved.plan.protocol_version,
        seed=cell_request.seed,
        backbone=resolved.backbone,
        config=dict(resolved.plan.config),
        non_identity_settings=dict(resolved.plan.non_identity_settings),
        data=DatasetRecord(
            fingerprint=resolved.data.fingerprint,
            splits=dict(resolved.data.splits),
            deviations=list(resolved.data.deviations),
        ),
        cost=RunCost(phases={}, attempts=attempt),
        environment=collect_run_environment(
            resolved.request.device, _get_precision(resolved.plan), list(cell_request.command_line)
        ),
    )


def _get_precision(plan: RunPlan) -> str:
    return str(plan.config["recipe"].get("precision", "fp32"))


def _make_complete_record(
    record: Record,
    resolved: _ResolvedCell,
    outcome: TaskOutcome,
    folder: Path,
    seconds: float,
    efficiency: EfficiencyRecord | None,
) -> Record:
    """The complete record; the gate: no number unless every expected item was scored."""
    from engine.run_environment import get_peak_memory_mib, utc_now

    if len(outcome.item_rows) != record.expected:
        raise IncompleteError(
            f"{len(outcome.item_rows)} of {record.expected} items were scored; an incomplete run has no number"
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(outcome.item_columns)
    writer.writerows(outcome.item_rows)
    write_atomic(folder / ITEMS_FILE, text.getvalue())
    items = ItemsFile(file=ITEMS_FILE, sha256=sha256_file(folder / ITEMS_FILE), rows=len(outcome.item_rows))
    backbone = _complete_backbone(record.backbone, outcome)
    result = RunResult(
        metrics=_add_statistics(outcome.metrics, resolved.task),
        primary_metric=resolved.task.metrics[0].name,
        items=items,
        selection=outcome.selection,
        details=dict(outcome.details),
    )
    cost = RunCost(
        phases={**outcome.phase_seconds, "this_attempt": seconds},
        peak_memory_mib=get_peak_memory_mib(resolved.request.device),
        attempts=record.cost.attempts if record.cost else 1,
        efficiency=efficiency,
    )
    content = record.model_dump() | {
        "status": "complete",
        "done": len(outcome.item_rows),
        "backbone": backbone.model_dump(),
        "result": result.model_dump(),
        "cost": cost.model_dump(),
        "environment": record.environment.model_dump() | {"finished": utc_now()},
    }
    return Record.model_validate(content)


def _complete_backbone(backbone: BackboneRecord, outcome: TaskOutcome) -> BackboneRecord:
    """With what is known once the weights were loaded."""
    checkpoint, report = backbone.checkpoint, outcome.load_report
    if checkpoint is not None:
        recorded = LoadReportRecord.from_report(report) if report else None
        checkpoint = checkpoint.model_copy(update={"load_report": recorded, "format": outcome.checkpoint_format})
    return backbone.model_copy(update={"checkpoint": checkpoint, "parameters": outcome.parameters})


def _add_statistics(metrics: Mapping[str, MetricValue], task: Task) -> dict[str, MetricValue]:
    """The metrics, each with how it follows from the items, as the task declares it."""
    declared = {
        spec.name: StatisticRecord.from_statistic(spec.statistic) for spec in task.metrics if spec.statistic is not None
    }
    return {name: value.model_copy(update={"statistic": declared.get(name)}) for name, value in metrics.items()}


def _measure_efficiency(resolved: _ResolvedCell) -> EfficiencyRecord | None:
    """What the backbone costs at this run's input size; a smoke run is a look at the way and is not timed.

    A backbone that cannot be counted or timed does not cost the run its score: the cost stays unmeasured, and that
    is said.
    """
    from backbones.measure_cost import measure_efficiency
    from engine.progress import log_message

    request, model_kwargs = resolved.request, resolved.plan.backbone_kwargs
    channels, *own = request.card.input_size
    asked = model_kwargs.get("img_size", own)
    height, width = (asked, asked) if isinstance(asked, int) else asked
    timed = request.tier != "smoke"
    try:
        model = request.prepare_backbone(model_kwargs).model
        return EfficiencyRecord.model_validate(
            measure_efficiency(model, (channels, height, width), request.device, with_timing=timed)
        )
    except (RuntimeError, NotImplementedError, UserError) as error:  # out of memory is a RuntimeError too
        log_message(f"the cost of {request.card.name} was not measured: {_describe_failure(error)}")
        return None


def _describe_failure(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted by the user; the same command goes on from the last checkpoint"
    if isinstance(error, BenchError):
        return str(error)
    return f"{type(error).__name__}: {error}"
