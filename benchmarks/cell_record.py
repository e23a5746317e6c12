"""The record of a cell: what is known before the run, and what is added when the run is complete."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from backbones.card import BackboneCard, format_normalization
from backbones.weights import hash_weight_file
from engine.processes.lost_workers import describe_lost_worker
from engine.processes.stop_signals import StopSignal, find_stop, hold_stop_signals
from engine.task import DataReport, PreparedBackbone, RunPlan, RunRequest, Task, TaskOutcome
from foundation.errors import BenchError, IncompleteError, UserError
from foundation.files import sha256_file, write_atomic
from foundation.storage.write_faults import find_storage_error
from foundation.weights.shard_index import count_weight_bytes
from results.records.flat_settings import find_changed_settings, flatten_settings
from results.records.measurements import EfficiencyRecord, RunCost, RunEnvironment
from results.records.record import (
    BackboneRecord,
    ItemsFile,
    LoadReportRecord,
    MetricValue,
    Record,
    RunResult,
    StartCheckpoint,
    StatisticRecord,
)
from results.records.store import RECORD_FILE, read_record, write_record

ITEMS_FILE = "items.csv"

MEASURING_ERRORS = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, AssertionError, UserError)
"""What a forward pass that was not made for this may raise, a user's own module's above all; out of memory is a
``RuntimeError``."""


def describe_backbone(request: RunRequest, plan: RunPlan) -> BackboneRecord:
    """Describe the backbone for the record, with the SHA-256 of the weights it starts from."""
    from backbones.checkpoints.loading_fixes import list_loading_fixes

    start, checkpoint = request.start, None
    fixes = list_loading_fixes(request.card, start, plan.backbone_kwargs, allow_partial=request.allow_partial)
    fixes += plan.loading_fixes  # what the task adds
    if start.file is not None:
        from backbones.checkpoints.read_checkpoint import find_identity_key

        checkpoint = StartCheckpoint(
            uri=start.uri or str(start.file),
            sha256=hash_weight_file(start.file),
            bytes=count_weight_bytes(start.file),
            weights_key=find_identity_key(start.file, start.weights_key),
            loading_fixes=fixes,
        )
    elif start.sha256 is not None:
        uri, size = start.uri or "", start.num_bytes or 0
        checkpoint = StartCheckpoint(uri=uri, sha256=start.sha256, bytes=size, loading_fixes=fixes)
    return BackboneRecord(
        name=request.card.name,
        card=request.card.as_dict(),
        arguments=dict(plan.backbone_kwargs),
        init=start.init,
        checkpoint=checkpoint,
        allow_partial=request.allow_partial,
    )


def describe_given_weights(backbone: BackboneRecord) -> str:
    """Return the chosen weights and the normalization of the input; empty unless the weights came by ``--checkpoint``.

    Two backbones of one architecture may have cards with different normalizations, and a file does not say which one
    it was trained with, so the one that counted stands beside the number.

    Args:
        backbone: as the record has it.
    """
    if backbone.init != "checkpoint":
        return ""
    return ", ".join(filter(None, (describe_weights_key(backbone), describe_input(backbone))))


def describe_weights_key(backbone: BackboneRecord) -> str:
    """Return which weights of a file were taken; empty where they are its plain ones.

    >>> from results.records.record import StartCheckpoint
    >>> start = StartCheckpoint(uri="a.pth", sha256="0" * 64, bytes=1, weights_key="model_ema")
    >>> describe_weights_key(BackboneRecord(name="a", card={}, arguments={}, init="checkpoint", checkpoint=start))
    "weights under 'model_ema' (running average)"
    >>> start = start.model_copy(update={"weights_key": "callbacks.ema_state_dict"})
    >>> describe_weights_key(BackboneRecord(name="a", card={}, arguments={}, init="checkpoint", checkpoint=start))
    "weights under 'callbacks.ema_state_dict' (running average)"
    """
    key = backbone.checkpoint.weights_key if backbone.checkpoint else None
    if key is None:
        return ""
    return f"weights under {key!r}" + (" (running average)" if "ema" in re.split(r"[._]", key.lower()) else "")


def describe_input(backbone: BackboneRecord) -> str:
    """Return the normalization of a backbone's input in words; empty if the record does not have it."""
    mean, std = (_read_numbers(backbone.card.get(name)) for name in ("mean", "std"))
    return format_normalization(mean, std) if mean and std else ""


def _read_numbers(value: object) -> list[float]:
    """Return a list of numbers; an empty one for anything else, since a record may be of anyone."""
    if not isinstance(value, list | tuple) or not all(isinstance(each, int | float) for each in value):
        return []
    return list(value)


def list_changed_settings(task: Task, request: RunRequest, data: DataReport, plan: RunPlan) -> list[str]:
    """Return the dotted names of the settings in which a run differs from the protocol's file at its tier.

    A rate that the user gave beside another batch size is among them even with the value in the file: the protocol
    would have scaled it.

    Args:
        task: the task.
        request: the cell, with the settings that the user changed.
        data: the result of the data check.
        plan: the task's plan for the request.
    """
    recipe = complete_settings(plan, plan.config["recipe"])
    if not request.overrides:
        return sorted(find_changed_settings(recipe, {**recipe, **plan.file_settings}))
    try:
        # a backbone of its own, so that the one that the run has prepared stays
        bare = replace(request, overrides=(), prepared=PreparedBackbone(), reads_weights=False)
        in_file = task.plan(bare, data)
    except BenchError:  # the protocol's own settings do not fit these data, so every setting that was named counts
        named = {word.partition("=")[0].strip() for word in request.overrides}
        return sorted(named & recipe.keys())
    in_file_recipe = complete_settings(in_file, in_file.config["recipe"])
    changed = find_changed_settings(recipe, {**in_file_recipe, **in_file.file_settings})
    return sorted({*changed, *plan.kept_settings})


def complete_settings(plan: RunPlan, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by dotted name, with those that are left out of a recipe because they have a certain value.

    Args:
        plan: a plan of the same task and protocol.
        recipe: the recipe of a plan or of a record.
    """
    found = dict(flatten_settings(recipe))
    return found | {name: value for name, value in plan.later_settings.items() if name not in found}


def make_complete_record(
    record: Record,
    task: Task,
    outcome: TaskOutcome,
    folder: Path,
    device: str,
    seconds: float,
    efficiency: EfficiencyRecord | None,
) -> Record:
    """Write the per-item file of a finished run and return its complete record.

    This is the gate: a run has no number unless every expected item was scored.

    Args:
        record: the record as it was when the run began.
        task: declares the metrics.
        outcome: what the task returned.
        folder: the run's folder.
        device: ``cpu``, ``cuda`` or ``mps``.
        seconds: duration of this attempt.
        efficiency: cost of the backbone; ``None`` where it was not measured.

    Raises:
        IncompleteError: the number of scored items is not the number that the plan expects.
    """
    from engine.determinism import list_nondeterministic_operations
    from engine.run_environment import get_peak_memory_mib, utc_now

    if len(outcome.item_rows) != record.expected:
        raise IncompleteError(
            f"{len(outcome.item_rows)} of {record.expected} items were scored; an incomplete run has no number"
        )
    items = _write_items(folder, outcome)  # before the record: a complete record never lacks its table
    backbone = _complete_backbone(record.backbone, outcome)
    result = RunResult(
        metrics=_add_statistics(outcome.metrics, task),
        primary_metric=task.metrics[0].name,
        items=items,
        selection=outcome.selection,
        details=dict(outcome.details),
    )
    cost = RunCost(
        phases={**outcome.phase_seconds, "this_attempt": seconds},
        peak_memory_mib=get_peak_memory_mib(device),
        attempts=record.cost.attempts if record.cost else 1,
        efficiency=efficiency,
    )
    named = list_nondeterministic_operations() or None
    # built from plain data and validated as a whole: model_copy would skip the rules between fields
    content = record.model_dump() | {
        "status": "complete",
        "done": len(outcome.item_rows),
        "backbone": backbone.model_dump(),
        "result": result.model_dump(),
        "cost": cost.model_dump(),
        "environment": record.environment.model_dump() | {"finished": utc_now(), "nondeterministic_operations": named},
    }
    return Record.model_validate(content)


def _write_items(folder: Path, outcome: TaskOutcome) -> ItemsFile:
    """Write the per-item table, one row per scored item, and return what the record says about it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")  # the same bytes on every system: the record holds their hash
    writer.writerow(outcome.item_columns)
    writer.writerows(outcome.item_rows)
    write_atomic(folder / ITEMS_FILE, text.getvalue())
    return ItemsFile(file=ITEMS_FILE, sha256=sha256_file(folder / ITEMS_FILE), rows=len(outcome.item_rows))


def _complete_backbone(backbone: BackboneRecord, outcome: TaskOutcome) -> BackboneRecord:
    """Add what is known once the weights were loaded: load report, format and number of parameters."""
    checkpoint, report = backbone.checkpoint, outcome.load_report
    if checkpoint is not None:
        recorded = LoadReportRecord.from_report(report) if report else None
        checkpoint = checkpoint.model_copy(update={"load_report": recorded, "format": outcome.checkpoint_format})
    return backbone.model_copy(update={"checkpoint": checkpoint, "parameters": outcome.parameters})


def _add_statistics(metrics: Mapping[str, MetricValue], task: Task) -> dict[str, MetricValue]:
    """Add to each metric how it follows from the per-item table, as the task declares it."""
    declared = {
        spec.name: StatisticRecord.from_statistic(spec.statistic) for spec in task.metrics if spec.statistic is not None
    }
    return {name: value.model_copy(update={"statistic": declared.get(name)}) for name, value in metrics.items()}


def measure_cell_efficiency(request: RunRequest, plan: RunPlan, is_timed: bool) -> EfficiencyRecord | None:
    """Measure what the backbone costs at this run's input size; smoke runs are counted, but not timed.

    A run whose backbone cannot be counted or timed still gets its score: the cost stays unmeasured, and a message
    says so.
    """
    from backbones.cost.measure_cost import measure_efficiency
    from engine.progress_bar import log_message

    model_kwargs = plan.backbone_kwargs
    timed = is_timed and request.tier != "smoke"
    try:
        model = request.prepare_backbone(model_kwargs).model
        return EfficiencyRecord.model_validate(
            measure_efficiency(model, get_input_size(request.card, model_kwargs), request.device, with_timing=timed)
        )
    except MEASURING_ERRORS as error:
        log_message(f"the cost of {request.card.name} was not measured: {describe_failure(error)}")
        return None


def get_input_size(card: BackboneCard, model_kwargs: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return channels, height and width of the images that a backbone takes, in pixels.

    Args:
        card: gives the size where the arguments do not.
        model_kwargs: arguments with which the backbone is created.
    """
    channels, *own = card.input_size
    asked = model_kwargs.get("img_size", own)
    height, width = (asked, asked) if isinstance(asked, int) else asked
    return channels, height, width


@contextmanager
def record_progress(folder: Path, record: Record) -> Iterator[Callable[[Record], None]]:
    """Write a record as running; if the work inside ends with an error, write it as failed, with the reason.

    Args:
        folder: the run's folder.
        record: its record, with the status ``running``.

    Yields:
        A function that writes the finished record.

    Raises:
        StorageError: a file could not be written or read; otherwise the error of the work is raised as it is.
    """
    is_finished = False

    def write_finished(finished: Record) -> None:
        nonlocal is_finished
        with hold_stop_signals():
            write_record(folder, finished)
            is_finished = True

    try:
        write_record(folder, record)
        yield write_finished
    except BaseException as error:  # Ctrl-C too: no record may stay "running" when nothing runs
        fault = find_storage_error(error, folder)
        if not is_finished:
            with hold_stop_signals():
                _write_failed_record(folder, record, _explain_end(fault or error))
        if fault is None or fault is error:
            raise
        raise fault from error


def _write_failed_record(folder: Path, record: Record, reason: str) -> None:
    """Write that a run failed, if that is possible: on a full disk it may not be, and the first error counts.

    The record then stays ``running``, which the same command takes for a run that was killed: it goes on from there.
    """
    from engine.progress_bar import log_message

    try:
        write_record(folder, record.model_copy(update={"status": "failed", "reason": reason}))
    except (UserError, OSError) as error:
        log_message(f"the record in {folder} stays as it is: {describe_failure(error)}")


def _explain_end(error: BaseException) -> str:
    """Return why a run ended without a number; a stop may show as the error of a library or of another process."""
    stop = find_stop()
    return describe_failure(error if stop is None or isinstance(error, BenchError) else stop)


def count_attempts(
    folder: Path, environment: RunEnvironment, settings: Mapping[str, Any] | None = None
) -> tuple[int, list[RunEnvironment]]:
    """Return which attempt at a run this is, from 1, and where and how the earlier ones were made, oldest first.

    Args:
        folder: the run's folder; it has a record if there was an attempt.
        environment: where and how this attempt is made; a message says what changed.
        settings: those of this attempt that are not part of the id.
    """
    if not (folder / RECORD_FILE).exists():
        return 1, []
    earlier = read_record(folder)
    name = "accumulate"  # sums gradients in another order; no other of these settings can move a digit
    pieces = [each[name] for each in (earlier.non_identity_settings, settings or {}) if name in each]
    changed = [f"{name} {pieces[0]} -> {pieces[-1]}"] if len(set(pieces)) > 1 else []
    warn_changed_environment(earlier.environment, environment, changed)
    return earlier.cost.attempts + 1 if earlier.cost else 2, [*earlier.earlier_attempts, earlier.environment]


def warn_changed_environment(before: RunEnvironment, now: RunEnvironment, settings: Sequence[str] = ()) -> None:
    """Say what is other than at the attempt that a run goes on from: the number may then differ in its last digits.

    Args:
        before: where and how the interrupted attempt was made.
        now: where and how this one is made.
        settings: what differs in the settings, as ``name before -> now``; the commands of both attempts have them.
    """
    from engine.progress_bar import log_message

    changed = [*settings, *list_environment_changes(before, now)]
    if changed:
        log_message(
            f"this run goes on from an attempt that was made otherwise ({', '.join(changed)}); the record lists both"
        )


def list_environment_changes(before: RunEnvironment, now: RunEnvironment) -> list[str]:
    """Return what differs between two attempts of those things that may move a number, as ``name before -> now``."""
    changed = [
        f"{name} {getattr(before, name)} -> {getattr(now, name)}"
        for name in (
            *("device", "threads", "processes", "python", "platform"),
            *("git_commit", "image_decoder", "memory_allocator"),
        )
        if getattr(before, name) != getattr(now, name)
    ]
    changed += [
        f"{name} {before.packages.get(name, 'none')} -> {now.packages.get(name, 'none')}"
        for name in sorted(before.packages.keys() | now.packages.keys())
        if before.packages.get(name) != now.packages.get(name)
    ]
    return changed


def describe_failure(error: BaseException) -> str:
    """Return why a run failed, in the words of its record."""
    if isinstance(error, StopSignal):
        return f"{error}; the same command goes on from the last checkpoint"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted by the user; the same command goes on from the last checkpoint"
    if (lost := describe_lost_worker(error)) is not None:
        return lost
    fault = find_storage_error(error)
    return str(fault or error) if fault or isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
