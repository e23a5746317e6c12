"""Sets whose ground truth is on a server: an archive for that server takes the place of a record."""

from __future__ import annotations

from pathlib import Path

from benchmarks.evaluation.evaluate_model import EvaluationRequest, open_evaluation
from benchmarks.resolve_cell import make_folder_name
from benchmarks.task_registry import TASKS
from engine.evaluation.contract import PredictionReport, TestOnlyTask
from engine.task import Task
from results.records.identity import AS_IS


def write_submission(request: EvaluationRequest) -> PredictionReport | None:
    """Track or predict the items of a set that a server scores, and write the archive for it.

    Args:
        request: what ``bench evaluate`` was asked for.

    Returns:
        What was written, ``None`` for a set whose ground truth is public.

    Raises:
        UserError: the model or the data do not fit; the server takes complete results only.
    """
    task = request.task if isinstance(request.task, Task) else TASKS.get(request.task)
    if not isinstance(task, TestOnlyTask) or not task.needs_server:
        return None
    return task.write_submission(request.source, request.data_root, find_submission_folder(request, task))


def find_submission_folder(request: EvaluationRequest, task: TestOnlyTask) -> Path:
    """Return the folder of a submission: one for each model and setting, as the folders of evaluations."""
    record = open_evaluation(request).record
    return request.out / "submissions" / f"{task.name}-{make_folder_name(record.backbone.name)}-{AS_IS}-{record.run_id}"
