"""The way of a run: resolve, check the data, plan, train, evaluate, record; answered from the record when done."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from backbones.card import BackboneCard
from backbones.registry import get_card
from backbones.weights import InitialWeights, locate_weights
from benchmarks.cell_record import (
    describe_backbone,
    describe_failure,
    make_complete_record,
    measure_cell_efficiency,
)
from benchmarks.task_registry import TASKS
from engine.task import DataReport, RunPlan, RunRequest, Task, TaskOutcome
from foundation.errors import DataError, RecordError, UserError
from foundation.files import ensure_writable_dir
from foundation.suggest import did_you_mean
from results.records.identity import RunIdentity
from results.records.record import (
    BackboneRecord,
    DatasetRecord,
    Record,
    RunCost,
    Tier,
)
from results.records.store import list_attempts, lock_folder, next_attempt_folder, read_record, write_record

if TYPE_CHECKING:
    from torch import nn


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
    backbone = describe_backbone(request, plan)
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
        # before the run, which goes on to train this very backbone
        efficiency = measure_cell_efficiency(resolved.request, resolved.plan)
        began = time.monotonic()
        outcome = _run_task(resolved, folder)
        seconds = time.monotonic() - began
        finished = make_complete_record(
            record, resolved.task, outcome, folder, resolved.request.device, seconds, efficiency
        )
    except BaseException as error:
        write_record(folder, record.model_copy(update={"status": "failed", "reason": describe_failure(error)}))
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
