"""The steps of an evaluation: open a finished model, check the data, test it, write the record; nothing is trained.

An evaluation is a run of the protocol ``as_is``. Its id is computed from its own record, as every id is
(``results.records.identity``), and an evaluation whose record is complete is not made again.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from backbones.model_digest import UNKNOWN_CODE
from benchmarks.cell_record import count_attempts, make_complete_record, record_progress
from benchmarks.resolve_cell import make_folder_name, require_no_duplicates, require_official_data
from benchmarks.run_cell import CellResult, choose_run_folder, print_data_notes, report_other_label
from benchmarks.run_pictures import draw_run_pictures
from benchmarks.task_registry import TASKS, TaskSource, describe_task_source
from engine.data.data_options import NO_OPTIONS, DataOptions, require_task_options
from engine.data.data_sources import explain_missing_data
from engine.data.file_hashes import require_unchanged_files
from engine.evaluation.contract import AS_IS_VERSION, Evaluation
from engine.evaluation.model_source import ModelSource, Precision
from engine.task import Task
from foundation.errors import UserError
from foundation.files import ensure_writable_dir
from foundation.run_scope import RunScope, open_run_scope
from results.leaderboard.row_labels import require_row_label
from results.records.identity import AS_IS, build_run_identity
from results.records.measurements import RunCost
from results.records.record import BackboneRecord, DatasetRecord, Record
from results.records.store import claim_attempt_folder, lock_folder, require_outside_run


@dataclass(frozen=True)
class EvaluationRequest:
    """One evaluation as the user requested it.

    Attributes:
        task: a name of the registry, or a task object that is not registered.
        source: the finished model, and how it is applied.
        data_root: folder of the data sets.
        out: folder below which the folder of the evaluation is made.
        allow_subset: accept data that are not the complete official set.
        allow_duplicates: accept test items whose content is also in the training data; the record keeps them.
        hash_all: hash every byte of the data, whatever their size.
        data_options: how data of the user's own are laid out and labeled.
        force_new: evaluate again although a record exists, and read no cache.
        command_line: the command, for the record.
        label: a name for the row on boards; changes no number and no id.
    """

    task: str | Task
    source: ModelSource
    data_root: Path = Path("data")
    out: Path = Path("runs")
    allow_subset: bool = False
    allow_duplicates: bool = False
    hash_all: bool = False
    data_options: DataOptions = NO_OPTIONS
    force_new: bool = False
    command_line: tuple[str, ...] = ()
    label: str | None = None


@dataclass(frozen=True)
class OpenedEvaluation:
    """An evaluation that can be made.

    Attributes:
        evaluation: the model on its test items.
        record: the record as it is when the evaluation begins, with its id.
        is_answerable: whether a record may answer: not if the code of a plug-in or a model could not be found.
    """

    evaluation: Evaluation
    record: Record
    is_answerable: bool


def evaluate_model(request: EvaluationRequest) -> CellResult:
    """Evaluate a finished model, or answer from the record of the same evaluation.

    Raises:
        UserError: the request contains something that the user can fix; nothing was written.
        BenchError: the evaluation failed; its record says ``failed`` and why.
    """
    with _open_scope(request):
        opened = _open_evaluation(request)
        record, task = opened.record, opened.evaluation.task
        require_outside_run(request.out / task.name)
        ensure_writable_dir(request.out)
        # no tier and no seed in the name: nothing is trained and nothing is drawn
        stem = f"{task.name}/{make_folder_name(record.backbone.name)}-{AS_IS}-{record.run_id}"
        is_new = request.force_new or not opened.is_answerable
        folder, done = choose_run_folder(request.out, stem, is_new)
        if done is not None:
            report_other_label(done, record.backbone.label)
            return CellResult(folder, done, True)
        if is_new:
            folder = claim_attempt_folder(request.out, stem)
        with lock_folder(folder):
            return CellResult(folder, _evaluate_and_record(opened, folder, request), False)


def open_evaluation(request: EvaluationRequest) -> OpenedEvaluation:
    """Open the model and check the data, as ``evaluate_model`` does before it writes anything.

    Raises:
        UserError: the request contains something that the user can fix.
    """
    with _open_scope(request):
        return _open_evaluation(request)


def _open_scope(request: EvaluationRequest) -> AbstractContextManager[RunScope]:
    return open_run_scope(
        trusts_caches=not request.force_new, hashes_all=request.hash_all, data_options=request.data_options
    )


def _open_evaluation(request: EvaluationRequest) -> OpenedEvaluation:
    from engine.device import get_dist_info

    if get_dist_info()[1] > 1:
        raise UserError("bench evaluate works in one process; start it without torchrun or srun")
    request.source.require_one_place()
    task = request.task if isinstance(request.task, Task) else TASKS.get(request.task)
    require_task_options(task, request.data_options)
    label = require_row_label(request.label)
    with explain_missing_data(task.name, request.data_root):
        evaluation = task.open_evaluation(request.source, request.data_root)
    # the same two gates as for a run: a number on other data must not pass for one on the official set
    require_no_duplicates(task, evaluation.data, request.allow_duplicates)
    require_official_data(task, evaluation.data, request.allow_subset)
    code = describe_task_source(task)
    is_answerable = code.is_answerable and _is_code_known(evaluation.backbone)
    return OpenedEvaluation(evaluation, _make_record(evaluation, code, label, request), is_answerable)


def _is_code_known(backbone: BackboneRecord) -> bool:
    """Return whether the id covers the code of a model: its source was found, and is what this process imported."""
    stated = ((backbone.model or {}).get("source"), backbone.arguments.get("code"))
    return not any(isinstance(each, str) and each.startswith(UNKNOWN_CODE) for each in stated)


def _make_record(evaluation: Evaluation, code: TaskSource, label: str | None, request: EvaluationRequest) -> Record:
    """Return the record of an evaluation that begins; its ids are computed from its own content."""
    from engine.run_environment import collect_run_environment

    plan, data, task = evaluation.plan, evaluation.data, evaluation.task
    record = Record(
        run_id="",
        comparability="",
        status="running",
        tier="full",
        done=0,
        expected=plan.num_expected_items,
        task=task.name,
        domain=task.domain,
        protocol=AS_IS,
        protocol_version=AS_IS_VERSION,
        seed=0,  # nothing is drawn
        backbone=evaluation.backbone.model_copy(update={"label": label}),
        task_source=code.sha256,
        config=dict(plan.config),
        changed_settings=[],
        non_identity_settings=dict(plan.non_identity_settings),
        data=DatasetRecord(
            fingerprint=data.fingerprint,
            splits=dict(data.splits),
            deviations=list(data.deviations),
            coverage=data.coverage,
            duplicates=list(data.duplicates),
            options=request.data_options.as_dict(),
        ),
        environment=collect_run_environment(
            evaluation.device, _name_precision(request.source.precision), list(request.command_line), task.domain
        ),
    )
    # from the record and not from what it was made of, so that whoever reads it computes the same id
    identity = build_run_identity(record)
    return record.model_copy(update={"run_id": identity.run_id, "comparability": identity.comparability})


def _evaluate_and_record(opened: OpenedEvaluation, folder: Path, request: EvaluationRequest) -> Record:
    """Evaluate, and keep the record up to date: ``running``, then ``complete`` or ``failed``."""
    from engine.progress_bar import log_message
    from engine.run_environment import reset_peak_memory

    evaluation = opened.evaluation
    for note in evaluation.plan.notes:
        log_message(note)
    print_data_notes(evaluation.task, evaluation.data)
    attempt, earlier = count_attempts(folder, opened.record.environment)
    cost = RunCost(phases={}, attempts=attempt)
    record = opened.record.model_copy(update={"cost": cost, "earlier_attempts": earlier})
    reset_peak_memory(evaluation.device)
    with record_progress(folder, record) as write_finished:
        began = time.monotonic()
        outcome = evaluation.run(folder)
        seconds = time.monotonic() - began
        # after the run, which made the export that is timed
        efficiency = evaluation.measure_cost()
        require_unchanged_files()
        finished = make_complete_record(
            record, evaluation.task, outcome, folder, evaluation.device, seconds, efficiency
        )
        write_finished(finished)
    # after the record, so that nothing about a picture can reach the number
    draw_run_pictures(evaluation.task, folder, finished, request.data_root, outcome.visualize)
    return finished


def _name_precision(precision: Precision) -> str:
    """Return the name that records have for a precision: that of trainings, for which f32 is fp32."""
    return "fp32" if precision == "f32" else precision
