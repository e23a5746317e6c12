"""Make the factory of a finished tracker for a runtime; other runtimes than torch need an export."""

from __future__ import annotations

from pathlib import Path

from deployment.formats import FORMAT_BY_RUNTIME, ExportRuntime
from deployment.manifest import MANIFEST_FILENAME, ExportOrigin, make_export_origin
from engine.evaluation.model_source import Precision, Runtime
from engine.progress_bar import log_message
from engine.run_environment import collect_package_versions
from foundation.errors import UserError
from results.records.identity import AS_IS
from results.records.store import read_record
from tracking.as_is.finished_tracker import FinishedTracker
from tracking.deployment.export import export_model
from tracking.deployment.load import find_exported_tracker, get_export_dir
from tracking.deployment.manifest import read_tracker_export
from tracking.inference.tracker_factory import TrackerFactory


def make_tracker_factory(
    tracker: FinishedTracker, runtime: Runtime, precision: Precision, task_name: str, out: Path
) -> TrackerFactory:
    """Return the factory of a finished tracker for a runtime.

    It is exported into the folder of the evaluation: the folder of a run may be somebody else's, and an export in it
    may be of other packages, or of the code that a plug-in had before.

    Args:
        tracker: the tracker.
        runtime: ``torch``, ``onnxruntime`` or ``openvino``.
        precision: precision of the runtime.
        task_name: name of the task, for the manifest of an export.
        out: folder of the evaluation.

    Raises:
        BenchError: the exported network does not compute what PyTorch computes; nothing was written.
    """
    if runtime == "torch":
        return tracker.factory
    folder = _export_into(tracker, runtime, precision, task_name, out)
    # one thread, as the sequences are spread over processes
    return find_exported_tracker(folder, runtime, precision, threads=1)


def _export_into(
    tracker: FinishedTracker, runtime: ExportRuntime, precision: Precision, task_name: str, out: Path
) -> Path:
    """Export a tracker into the folder of its evaluation, unless an interrupted attempt did."""
    folder, checkpoint = get_export_dir(out, runtime, precision), tracker.backbone.checkpoint
    assert checkpoint is not None  # every finished tracker has one
    if (folder / MANIFEST_FILENAME).is_file():
        try:
            # an interrupted attempt made it; its results are kept only if the export stays the same
            made = read_tracker_export(folder)[0]
            if (made.origin.checkpoint_sha256, made.versions) == (checkpoint.sha256, collect_package_versions()):
                return folder
        except UserError as error:  # damaged: simply made again
            log_message(f"{error} (this is done now)")
    origin = (
        make_export_origin(read_record(tracker.run), Path(checkpoint.uri))
        if tracker.run is not None
        else make_file_origin(tracker.backbone.name, task_name, Path(checkpoint.uri), checkpoint.sha256)
    )
    model, sizes = tracker.factory.load_model(), tracker.recipe.crop_sizes()
    return export_model(model, sizes, origin, FORMAT_BY_RUNTIME[runtime], precision, folder.parent).folder


def make_file_origin(backbone: str, task_name: str, file: Path, sha256: str) -> ExportOrigin:
    """Return the origin of an export of a tracker that bench did not train.

    Args:
        backbone: name of the backbone.
        task_name: name of the task, or of the command, that exports it.
        file: the file of the tracker.
        sha256: SHA-256 of its content.
    """
    return ExportOrigin(
        run_id=None,
        backbone=backbone,
        task=task_name,
        protocol=AS_IS,
        checkpoint_sha256=sha256,
        # only the name of the file: the path would say something about the machine
        licence=f"of the tracker: unknown; it came from {file.name}, whose terms hold",
    )
