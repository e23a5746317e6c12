"""Track a set whose ground truth is on a server, and pack the archive for that server; there is no number here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.evaluation.contract import PredictionReport
from engine.evaluation.model_source import ModelSource
from engine.progress_bar import log_message
from foundation.errors import DataError, UserError
from foundation.files import ensure_writable_dir
from tracking.as_is.evaluation import FIELD_RESULTS_FOLDER, RESULTS_FOLDER, TrackingEvaluation, open_tracking_evaluation
from tracking.as_is.field_results import write_field_results, write_frame_seconds
from tracking.scoring.submission import SERVER_TEST_SETS, pack_submission

if TYPE_CHECKING:
    from tracking.test_sets import ServerSetTask


def write_submission(source: ModelSource, task: ServerSetTask, root: Path, out: Path) -> PredictionReport:
    """Track every sequence of a server's set, and write ``<task>.zip`` for its server.

    Tracking continues from what is already in the folder. The archive is the one that ``bench score <task> --results
    OUT/tracked --out FILE.zip`` writes.

    Args:
        source: the finished tracker, and how it is applied.
        task: the set.
        root: the data root.
        out: folder for the result files and the archive.

    Raises:
        UserError: the source is no finished tracker, or a limit is set.
        DataError: the set is not complete, or a frame cannot be read; no archive is written.
    """
    # nothing is written yet
    evaluation = open_tracking_evaluation(task, source, root)
    # before hours of tracking, whose result no server would take
    if evaluation.data.deviations:
        raise DataError(f"{'; '.join(evaluation.data.deviations)}; its server takes complete results only")
    if evaluation.settings.limits():
        limits = ", ".join(evaluation.settings.limits())
        raise UserError(f"the server of {task.name} takes complete results only; leave out --set {limits}")
    ensure_writable_dir(out)
    # there is no record in which the assumptions could be read later
    for note in evaluation.plan.notes:
        log_message(note)
    speed = evaluation.track(out)
    folder = out / RESULTS_FOLDER
    for video in evaluation.videos:
        write_frame_seconds(video, folder, folder, video.name)  # GOT-10k's server requires them
    write_field_results(task.name, evaluation.videos, folder, out / FIELD_RESULTS_FOLDER)
    packed = pack_submission(SERVER_TEST_SETS[task.name], root, folder, out / f"{task.name}.zip")
    return _report(evaluation, packed, speed)


def _report(evaluation: TrackingEvaluation, packed: dict[str, object], speed: dict[str, object]) -> PredictionReport:
    backbone = evaluation.backbone
    assert backbone.checkpoint is not None  # every finished tracker has one
    data = {
        "task": evaluation.task.name,
        **packed,
        "model": {
            "name": backbone.name,
            "arguments": backbone.arguments,
            "weights": {"uri": backbone.checkpoint.uri, "sha256": backbone.checkpoint.sha256},
        },
        "notes": list(evaluation.plan.notes),
        "speed": speed,
    }
    text = (
        f"{packed['archive']}: {packed['sequences']} sequences, {packed['frames']:,} boxes; upload it to the server of "
        f"{packed['set']}, which has the ground truth, so that there is no number and no record here"
    )
    return PredictionReport(data, text)
