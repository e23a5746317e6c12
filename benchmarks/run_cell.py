"""The steps of one run: resolve the request, check the data, plan, train, evaluate, write the record.

A cell is one backbone on one task under one protocol with one seed. Its ``run_id`` is a digest of everything that can
change its number (``results.records.identity``). A cell whose record is complete is not run again.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from textwrap import shorten
from typing import NamedTuple

from benchmarks.cell_record import (
    count_attempts,
    describe_given_weights,
    list_changed_settings,
    make_complete_record,
    measure_cell_efficiency,
    record_progress,
)
from benchmarks.resolve_cell import CellParts, CellRequest, ResolvedCell, complete_cell, make_run_stem, resolve_cell
from benchmarks.run_pictures import draw_run_pictures
from engine.data.file_hashes import require_unchanged_files
from engine.processes.failures import share_failures
from engine.processes.launcher import apply_launcher
from engine.task import DataReport, RunPlan, Task, TaskOutcome
from foundation.errors import RecordError
from foundation.files import ensure_writable_dir, require_writable_place
from foundation.run_scope import open_run_scope
from results.records.measurements import RunCost
from results.records.record import PRETRAINING_DOMAIN, DatasetRecord, Record
from results.records.store import (
    claim_attempt_folder,
    list_attempts,
    lock_folder,
    next_attempt_folder,
    read_record,
    require_outside_run,
)

_MAX_DATA_NOTES = 3
"""Maximum number of notes of the data check that a run prints."""

_MAX_NOTE_LENGTH = 120
"""Maximum number of characters of such a note."""


class CellResult(NamedTuple):
    """A finished cell: its folder, its record, and whether the record existed before."""

    folder: Path
    record: Record
    from_record: bool


def run_cell(cell_request: CellRequest) -> CellResult:
    """Run one cell, or answer it from its record.

    Under ``torchrun`` every process calls this function with the same request.

    Raises:
        UserError: the request contains something that the user can fix; nothing was written.
        BenchError: the run failed; its record says ``failed`` and why, and the same command goes on from there.
    """
    with open_run_scope(
        trusts_caches=not cell_request.force_new,
        hashes_all=cell_request.hash_all,
        data_options=cell_request.data_options,
    ):
        return _run_cell(cell_request)


def check_cell(cell_request: CellRequest, parts: CellParts) -> None:
    """Build the backbone of a cell and refuse what ``run_cell`` refuses before it makes a folder; write nothing.

    Args:
        cell_request: the cell.
        parts: what it resolves to.

    Raises:
        UserError: the request contains something that the user can fix.
    """
    require_outside_run(cell_request.out / parts.task.name)
    require_writable_place(cell_request.out)
    prepare_cell_backbone(complete_cell(cell_request, parts))


def _run_cell(cell_request: CellRequest) -> CellResult:
    from engine.device import init_distributed

    apply_launcher(None)  # does nothing if the command line has done it
    # everything that can be refused is refused before a folder is made
    resolved = resolve_cell(cell_request)
    require_outside_run(cell_request.out / resolved.task.name)
    ensure_writable_dir(cell_request.out)
    init_distributed()
    with share_failures():
        return _share_cell(resolved, cell_request)


def _share_cell(resolved: ResolvedCell, cell_request: CellRequest) -> CellResult:
    """Run a resolved cell together with the other processes of the run, if there are any."""
    from engine.device import decide_on_rank0, get_dist_info

    stem = make_run_stem(resolved.task, resolved.request, cell_request.seed, resolved.identity.run_id)
    # one process looks at the disk and tells the others; otherwise the first one to create the folder would make the
    # others choose another attempt
    is_new = cell_request.force_new or not resolved.is_answerable
    folder, done = decide_on_rank0(lambda: choose_run_folder(cell_request.out, stem, is_new))
    if done is not None:
        if get_dist_info()[0] == 0:
            report_other_label(done, resolved.backbone.label)
        return CellResult(folder, done, True)
    resolved = prepare_cell_backbone(resolved)
    if is_new:  # only now: what is refused before leaves no folder behind
        folder = decide_on_rank0(lambda: claim_attempt_folder(cell_request.out, stem))
    if get_dist_info()[0] > 0:  # only the first process writes the record
        _run_task(resolved, folder)
        return CellResult(folder, decide_on_rank0(lambda: read_record(folder)), False)
    _print_plan_notes(resolved)
    _print_given_weights(resolved)
    _warn_input_size(resolved)
    print_data_notes(resolved.task, resolved.data)
    with lock_folder(folder):  # two commands for the same cell must not write into one folder
        record = _run_and_record(resolved, folder, cell_request)
        return CellResult(folder, decide_on_rank0(lambda: record), False)


def _print_plan_notes(resolved: ResolvedCell) -> None:
    """Report what of the protocol was adapted to the backbone."""
    from engine.progress_bar import log_message

    for note in resolved.plan.notes:
        log_message(note)


def report_other_label(record: Record, label: str | None) -> None:
    """Say that a complete record keeps the label it was made with: a finished record is never rewritten.

    Args:
        record: the record that answers.
        label: the label that was asked for; ``None`` without.
    """
    from engine.progress_bar import log_message

    if label is not None and label != record.backbone.label:
        kept = "no label" if record.backbone.label is None else f"the label {record.backbone.label!r}"
        # an evaluation has one seed only
        what = "this evaluation" if record.is_evaluation else f"seed {record.seed}"
        begin = "with --fresh" if record.is_evaluation else "from the next new seed, or with --fresh"
        log_message(
            f"{what} is answered from its record, which has {kept} and is never rewritten; a row is named "
            f"by the newest label among its runs, so {label!r} counts {begin}"
        )


def _print_given_weights(resolved: ResolvedCell) -> None:
    """State which weights of the user's file the run starts from, and how its images are normalized."""
    from engine.progress_bar import log_message

    if given := describe_given_weights(resolved.backbone):
        checkpoint = resolved.backbone.checkpoint
        log_message(f"{resolved.backbone.name} starts from {checkpoint.uri if checkpoint else ''}: {given}")


def _warn_input_size(resolved: ResolvedCell) -> None:
    """Report that a protocol's images are of a very different size than those the backbone was made for.

    The position embeddings are then stretched: a 32-px ViT under a protocol of 224 px gets 49 times as many tokens,
    and computes features at positions that its weights never saw. The number is valid, but rarely what one wants.
    """
    from engine.progress_bar import log_message

    card, size = resolved.request.card, resolved.plan.config["recipe"].get("img_size")
    own = card.input_size[-1]
    # within a factor of two, resizing position embeddings is common practice (224 to 384 px, for example)
    if isinstance(size, int) and not own / 2 < size < 2 * own:
        log_message(
            f"{card.name} was made for {own} px and protocol {resolved.request.protocol} uses {size} px; "
            f"for its own size, which is another board, add --set img_size={own}"
        )


def print_data_notes(task: Task, data: DataReport) -> None:
    """Report what the data check noted, in one short line; ``bench check data`` prints all of it."""
    from engine.progress_bar import log_message

    notes = [shorten(note, _MAX_NOTE_LENGTH, placeholder=" ...") for note in data.notes[:_MAX_DATA_NOTES]]
    more = len(data.notes) - len(notes)
    if more:
        # the task of a pre-training is not in the registry, so no command prints its notes
        where = "" if task.domain == PRETRAINING_DOMAIN else f": bench check data {task.name}"
        notes.append(f"{more} more{where}")
    if notes:
        log_message(f"data of {task.name}: {'; '.join(notes)}")


def prepare_cell_backbone(resolved: ResolvedCell) -> ResolvedCell:
    """Choose the device and make the backbone: weights that do not fit are refused before the run begins."""
    from backbones.model_digest import require_described_model
    from engine.device import require_training_precision, resolve_device

    request = replace(resolved.request, device=resolve_device(resolved.request.device))
    require_training_precision(_get_precision(resolved.plan), request.device)
    arguments = resolved.plan.backbone_kwargs
    created = request.prepare_backbone(arguments)
    require_described_model(request.card, arguments, created.model, resolved.backbone.model)
    return resolved._replace(request=request)


def choose_run_folder(out: Path, stem: str, is_new: bool) -> tuple[Path, Record | None]:
    """Return the folder to work in, and the record if the cell is complete.

    Args:
        out: the store.
        stem: path of the first attempt below it.
        is_new: take a new folder although there are others.
    """
    existing = list_attempts(out, stem)
    if is_new or not existing:
        return next_attempt_folder(out, stem), None
    folder = existing[-1]  # the newest attempt; an unfinished one goes on from its checkpoints
    if not (folder / "record.json").exists():
        return folder, None
    try:
        record = read_record(folder)
    except RecordError as error:
        raise RecordError(f"{error}; move that folder away, or keep it and run again with --fresh") from error
    if record.status == "invalidated":
        return next_attempt_folder(out, stem), None
    return folder, record if record.status == "complete" else None


def _run_task(resolved: ResolvedCell, folder: Path) -> TaskOutcome:
    from engine.run_environment import reset_peak_memory

    reset_peak_memory(resolved.request.device)
    with share_failures():  # here too, so that the record has the reason
        return resolved.task.run(resolved.request, resolved.plan, folder)


def _run_and_record(resolved: ResolvedCell, folder: Path, cell_request: CellRequest) -> Record:
    """Run the task and keep its record up to date: ``running``, then ``complete`` or ``failed``."""
    record = _make_running_record(resolved, folder, cell_request)
    with record_progress(folder, record) as write_finished:
        # measured before the run, because the task trains this very backbone
        efficiency = measure_cell_efficiency(resolved.request, resolved.plan, cell_request.is_timed)
        began = time.monotonic()
        outcome = _run_task(resolved, folder)
        seconds = time.monotonic() - began
        require_unchanged_files()
        finished = make_complete_record(
            record, resolved.task, outcome, folder, resolved.request.device, seconds, efficiency
        )
        write_finished(finished)
    # after the record, so that nothing about a picture can reach the number
    draw_run_pictures(resolved.task, folder, finished, resolved.request.data_root, outcome.visualize)
    return finished


def _make_running_record(resolved: ResolvedCell, folder: Path, cell_request: CellRequest) -> Record:
    from engine.run_environment import collect_run_environment

    environment = collect_run_environment(
        resolved.request.device,
        _get_precision(resolved.plan),
        list(cell_request.command_line),
        resolved.task.domain,
    )
    attempt, earlier_attempts = count_attempts(folder, environment, resolved.plan.non_identity_settings)
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
        task_source=resolved.task_source,
        config=dict(resolved.plan.config),
        changed_settings=list_changed_settings(resolved.task, resolved.request, resolved.data, resolved.plan),
        non_identity_settings=dict(resolved.plan.non_identity_settings),
        data=DatasetRecord(
            fingerprint=resolved.data.fingerprint,
            splits=dict(resolved.data.splits),
            deviations=list(resolved.data.deviations),
            coverage=resolved.data.coverage,
            duplicates=list(resolved.data.duplicates),
            options=cell_request.data_options.as_dict(),
        ),
        cost=RunCost(phases={}, attempts=attempt),
        environment=environment,
        earlier_attempts=earlier_attempts,
    )


def _get_precision(plan: RunPlan) -> str:
    return str(plan.config["recipe"].get("precision", "fp32"))
