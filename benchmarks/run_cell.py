"""The way of a run: resolve, check the data, plan, train, evaluate, record; answered from the record when done."""

from __future__ import annotations

import csv
import io
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from backbones.registry import get_card
from backbones.weights import locate_weights
from benchmarks.task_registry import TASKS
from engine.task import DataReport, Outcome, Plan, Request, Task
from foundation.errors import BenchError, DataError, IncompleteError, RecordError, UserError
from foundation.files import require_writable, sha256_file, write_atomic
from foundation.suggest import did_you_mean
from results.records.identity import Identity
from results.records.record import Backbone, Checkpoint, Cost, Data, Efficiency, Items, Record, Result, Tier
from results.records.store import attempts, claim, next_attempt, read_record, write_record

ITEMS_FILE = "items.csv"


@dataclass(frozen=True)
class Asked:
    """One cell as the user asked for it; ``task``: a name of the registry, or a task that is in none."""

    task: str | Task
    backbone: str
    protocol: str | None = None
    checkpoint: str | None = None
    tier: Tier = "full"
    seed: int = 0
    overrides: tuple[str, ...] = ()
    data_root: Path = Path("data")
    out: Path = Path("runs")
    device: str = "auto"
    allow_partial: bool = False
    subset: bool = False
    data_scale: float = 1.0
    fresh: bool = False
    command: tuple[str, ...] = ()


class Cell(NamedTuple):
    """One cell as done: its folder, its record, and whether the record was there already."""

    folder: Path
    record: Record
    from_record: bool


class _Resolved(NamedTuple):
    task: Task
    request: Request
    data: DataReport
    plan: Plan
    backbone: Backbone
    identity: Identity


def run_cell(asked: Asked) -> Cell:
    """Do one cell, or find it done.

    Raises:
        UserError: something the user can mend; nothing was written.
        BenchError: the run failed; its record says ``failed`` and why, and the same command goes on from there.
    """
    from engine.device import agree, start_processes, world

    resolved = _resolve(asked)
    require_writable(asked.out)
    start_processes()
    name = f"{asked.backbone.replace('/', '_')}-{resolved.request.protocol}-{asked.tier}-seed{asked.seed}"
    stem = f"{resolved.task.name}/{name}-{resolved.identity.run_id}"
    folder, done = agree(lambda: _choose_folder(asked, stem))
    if done is not None:
        return Cell(folder, done, True)
    _tell_of_size(resolved)
    resolved = _check_start(resolved)
    if world()[0] > 0:  # only the first process keeps the record
        _run(resolved, folder)
        return Cell(folder, agree(lambda: read_record(folder)), False)
    with claim(folder):
        record = _run_and_record(resolved, folder, asked)
        return Cell(folder, agree(lambda: record), False)


def _tell_of_size(resolved: _Resolved) -> None:
    """Say that a backbone is shown images of another order of size than it was made for: its positions are stretched.

    A 32-px ViT under a protocol of 224 px has 49 times the tokens, and features that its weights never saw.
    """
    from engine.progress import say

    card, size = resolved.request.card, resolved.plan.config["recipe"].get("img_size")
    own = card.input_size[-1]
    if isinstance(size, int) and not own / 2 < size < 2 * own:
        say(
            f"{card.name} was made for {own} px and protocol {resolved.request.protocol} shows it {size} px; "
            f"for its own size (another board) --set img_size={own}"
        )


def _resolve(asked: Asked) -> _Resolved:
    """Everything that can be wrong with the request is found here, before anything is written."""
    task = asked.task if isinstance(asked.task, Task) else TASKS.get(asked.task)
    card = get_card(asked.backbone)
    protocol = asked.protocol or task.protocols[0]
    if protocol not in task.protocols:
        close = did_you_mean(protocol, task.protocols, hint=f"it has {', '.join(task.protocols)}")
        raise UserError(f"task {task.name} has no protocol {protocol!r}{close}")
    if asked.seed < 0:
        raise UserError(f"seed {asked.seed} is negative; seeds are 0 or above")
    if asked.data_scale != 1 and not task.scales:
        raise UserError(f"task {task.name} has no --data-scale: it always trains on all of its data")
    if not 0 < asked.data_scale <= 1:
        raise UserError(f"data scale {asked.data_scale:g} is not a share of the training data, above 0 to 1")
    start = locate_weights(card, asked.checkpoint)
    request = Request(
        card=card,
        start=start,
        protocol=protocol,
        tier=asked.tier,
        seed=asked.seed,
        overrides=asked.overrides,
        data_root=asked.data_root,
        device=asked.device,
        allow_partial=asked.allow_partial,
        data_scale=asked.data_scale,
    )
    data = task.check_data(asked.data_root)
    plan = task.plan(request, data)
    if data.departures and not asked.subset:
        raise DataError(
            f"{task.name}: {'; '.join(data.departures)}. A number on such data stands on a board of its own: "
            "add --subset to run on it"
        )
    backbone = _describe_backbone(request, plan)
    identity = Identity(
        protocol_part={
            "task": task.name,
            "protocol": protocol,
            "protocol_version": plan.protocol_version,
            "config": dict(plan.config),
            "data": data.fingerprint,
            "tier": asked.tier,
        },
        candidate_part={
            "card": card.identity(),
            "arguments": dict(plan.arguments),
            "init": start.init,
            "checkpoint": backbone.checkpoint.sha256 if backbone.checkpoint else None,
            "allow_partial": asked.allow_partial,
            "seed": asked.seed,
        },
    )
    return _Resolved(task, request, data, plan, backbone, identity)


def _describe_backbone(request: Request, plan: Plan) -> Backbone:
    """The backbone as the record has it, with the start file's hash; torch is not needed for it."""
    start, checkpoint = request.start, None
    if start.file is not None:
        checkpoint = Checkpoint(
            uri=start.uri or str(start.file),
            sha256=sha256_file(start.file),
            bytes=start.file.stat().st_size,
        )
    return Backbone(
        name=request.card.name,
        card=request.card.as_dict(),
        arguments=dict(plan.arguments),
        init=start.init,
        checkpoint=checkpoint,
        allow_partial=request.allow_partial,
    )


def _check_start(resolved: _Resolved) -> _Resolved:
    """Settle the device, and make the backbone once: weights that do not fit are refused before the run begins."""
    from backbones.create import create_backbone
    from backbones.weights import RANDOM
    from engine.device import require_precision, resolve_device

    request, device = resolved.request, resolve_device(resolved.request.device)
    require_precision(_precision(resolved.plan), device)
    create_backbone(
        request.card,
        checkpoint=str(request.start.file) if request.start.file else RANDOM,
        allow_partial=request.allow_partial,
        **resolved.plan.arguments,
    )
    return resolved._replace(request=replace(request, device=device))


def _choose_folder(asked: Asked, stem: str) -> tuple[Path, Record | None]:
    """The folder to work in, and the complete record if the work is done."""
    existing = attempts(asked.out, stem)
    if asked.fresh or not existing:
        return next_attempt(asked.out, stem), None
    folder = existing[-1]
    if not (folder / "record.json").exists():
        return folder, None
    try:
        record = read_record(folder)
    except RecordError as error:
        raise RecordError(f"{error}; move that folder away, or leave it and run anew with --fresh") from error
    if record.status == "invalidated":
        return next_attempt(asked.out, stem), None
    return folder, record if record.status == "complete" else None


def _run(resolved: _Resolved, folder: Path) -> Outcome:
    from engine.run_environment import reset_peak_memory

    reset_peak_memory(resolved.request.device)
    return resolved.task.run(resolved.request, resolved.plan, folder)


def _run_and_record(resolved: _Resolved, folder: Path, asked: Asked) -> Record:
    """Run with the record beside it: running, then complete or failed."""
    record = _opening_record(resolved, folder, asked)
    write_record(folder, record)
    began = time.monotonic()
    try:
        outcome = _run(resolved, folder)
        finished = _closing_record(record, resolved, outcome, folder, time.monotonic() - began)
    except BaseException as error:
        write_record(folder, record.model_copy(update={"status": "failed", "reason": _reason(error)}))
        raise
    write_record(folder, finished)
    return finished


def _opening_record(resolved: _Resolved, folder: Path, asked: Asked) -> Record:
    from engine.run_environment import describe_run

    attempt = 1
    if (folder / "record.json").exists():
        earlier = read_record(folder)
        attempt = earlier.cost.attempts + 1 if earlier.cost else 2
    return Record(
        run_id=resolved.identity.run_id,
        comparability=resolved.identity.comparability,
        status="running",
        tier=asked.tier,
        done=0,
        expected=resolved.plan.expected,
        task=resolved.task.name,
        domain=resolved.task.domain,
        protocol=resolved.request.protocol,
        protocol_version=resolved.plan.protocol_version,
        seed=asked.seed,
        backbone=resolved.backbone,
        config=dict(resolved.plan.config),
        neutral=dict(resolved.plan.neutral),
        data=Data(
            fingerprint=resolved.data.fingerprint,
            splits=dict(resolved.data.splits),
            departures=list(resolved.data.departures),
        ),
        cost=Cost(phases={}, attempts=attempt),
        where=describe_run(resolved.request.device, _precision(resolved.plan), list(asked.command)),
    )


def _precision(plan: Plan) -> str:
    return str(plan.config["recipe"].get("precision", "fp32"))


def _closing_record(record: Record, resolved: _Resolved, outcome: Outcome, folder: Path, seconds: float) -> Record:
    """The complete record; the gate: no number unless every expected item was scored."""
    from engine.run_environment import peak_memory_mib, utc_now

    if len(outcome.items) != record.expected:
        raise IncompleteError(
            f"{len(outcome.items)} of {record.expected} items were scored; an incomplete run has no number"
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(outcome.columns)
    writer.writerows(outcome.items)
    write_atomic(folder / ITEMS_FILE, text.getvalue())
    items = Items(file=ITEMS_FILE, sha256=sha256_file(folder / ITEMS_FILE), rows=len(outcome.items))
    checkpoint = record.backbone.checkpoint
    if checkpoint is not None:
        checkpoint = checkpoint.model_copy(
            update={"load_report": outcome.load_report, "format": outcome.checkpoint_format}
        )
    backbone = record.backbone.model_copy(update={"checkpoint": checkpoint, "parameters": outcome.parameters})
    result = Result(
        metrics=dict(outcome.metrics),
        primary=resolved.task.metrics[0].name,
        items=items,
        selection=outcome.selection,
        details=dict(outcome.details),
    )
    cost = Cost(
        phases={**outcome.phases, "this_attempt": seconds},
        peak_memory_mib=peak_memory_mib(resolved.request.device),
        attempts=record.cost.attempts if record.cost else 1,
        efficiency=_efficiency(resolved),
    )
    content = record.model_dump() | {
        "status": "complete",
        "done": len(outcome.items),
        "backbone": backbone.model_dump(),
        "result": result.model_dump(),
        "cost": cost.model_dump(),
        "where": record.where.model_dump() | {"finished": utc_now()},
    }
    return Record.model_validate(content)


def _efficiency(resolved: _Resolved) -> Efficiency | None:
    """What the backbone costs at this run's input size; a smoke run is a look at the way and is not timed.

    A backbone that cannot be counted or timed does not cost the run its score: the cost stays unmeasured, and that
    is said.
    """
    from backbones.measure_cost import measure
    from engine.progress import say

    request = resolved.request
    timed = request.tier != "smoke"
    try:
        return Efficiency.model_validate(measure(request.card, resolved.plan.arguments, request.device, timed=timed))
    except (RuntimeError, NotImplementedError, UserError) as error:  # out of memory is a RuntimeError too
        say(f"the cost of {request.card.name} was not measured: {_reason(error)}")
        return None


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted by the user; the same command goes on from the last checkpoint"
    if isinstance(error, BenchError):
        return str(error)
    return f"{type(error).__name__}: {error}"
