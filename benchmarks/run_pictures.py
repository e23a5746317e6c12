"""Write the pictures of a run: by the run itself after its record, or later by ``bench show run``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.cell_record import describe_failure
from engine.task import Task
from foundation.environment import resolve_data_root
from foundation.errors import UserError
from foundation.run_scope import open_run_scope
from foundation.storage.write_faults import make_storage_error
from results.records.picture_manifest import (
    PICTURES_DIR,
    DrawnPicture,
    StoredPicture,
    has_picture_manifest,
    is_picture_folder_damaged,
    read_pictures,
    write_pictures,
)
from results.records.record import PRETRAINING_DOMAIN, Record


def draw_run_pictures(
    task: Task,
    folder: Path,
    record: Record,
    data_root: Path,
    visualize: Callable[[], list[DrawnPicture]] | None = None,
) -> None:
    """Write the pictures of a run that just became complete; an error costs the pictures, never the run.

    Args:
        task: the run's task.
        folder: the run's folder, whose record is complete.
        record: the run's record.
        data_root: folder that contains the data sets.
        visualize: draws what needs the trained model.
    """
    try:
        own = visualize() if visualize is not None else []
        write_pictures(folder, [*own, *task.visualize_run(folder, record, data_root)])
    except Exception as error:  # noqa: BLE001 - whatever a picture meets, the record stands
        from engine.progress_bar import log_message

        log_message(
            f"the pictures of this run were not drawn ({describe_failure(error)}); its record is complete, and "
            f"bench show run {folder} tries again"
        )


def ensure_run_pictures(folder: Path, record: Record) -> list[StoredPicture]:
    """Return the pictures of a run, and draw them first if the run has none yet, as older runs do.

    Args:
        folder: the run's folder.
        record: the run's record.

    Raises:
        UserError: they cannot be drawn: the data or the task are no longer there, or the folder cannot be written; or
            they cannot be read.
    """
    if record.status == "complete" and not has_picture_manifest(folder):
        try:
            write_pictures(folder, _draw_again(folder, record))
        except OSError as error:
            reason = make_storage_error(folder, error).strerror
            raise UserError(f"{folder} cannot be written ({reason}); copy it to draw its pictures") from error
    if is_picture_folder_damaged(folder):
        raise UserError(f"those in {folder / PICTURES_DIR} cannot be read; remove that folder to have them drawn again")
    return read_pictures(folder)


def _draw_again(folder: Path, record: Record) -> list[DrawnPicture]:
    # imported here, because drawing may import torch
    from benchmarks.task_registry import TASKS
    from engine.data.data_options import make_data_options
    from pretraining.visualize import draw_stored_pretraining

    if record.domain == PRETRAINING_DOMAIN:  # not in the registry, as its task is made from several names
        return draw_stored_pretraining(folder, record)
    stated = record.result.details.get("data_root") if record.result else None
    root = Path(stated) if isinstance(stated, str) else resolve_data_root()
    # read as the run read them
    with open_run_scope(data_options=make_data_options(record.data.options)):
        return TASKS.get(record.task).visualize_run(folder, record, root)
