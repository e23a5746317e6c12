"""Export a finished run of any task for another runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from deployment.export_folder import EXPORT_FOLDER
from deployment.formats import ExportFormat
from engine.data.data_options import make_data_options
from engine.evaluation.model_source import Precision
from foundation.errors import UserError
from foundation.run_scope import open_run_scope
from results.records.record import Record

# only for annotations: the modules import torch, or a package that a task needs
if TYPE_CHECKING:
    from deployment.images.image_manifest import ImageManifest
    from detection.deployment.manifest import DetectorManifest
    from tracking.deployment.manifest import TrackerManifest


@dataclass(frozen=True)
class ExportRequest:
    """What to export.

    Attributes:
        export_format: ``onnx``, ``openvino`` or, for trackers, ``ostrack``.
        precision: precision of the computation.
        out: folder to export to; ``None`` for the folder ``export`` of the run.
        size: height and width of a segmentor's input in pixels, ``dynamic``, or ``None`` for that of its windows.
        wants_labels: whether a segmentor returns the class of every pixel and no logits.
        data_root: folder of the data that the run was trained on, for int8; ``None`` for embedded photographs.
    """

    export_format: ExportFormat | Literal["ostrack"]
    precision: Precision = "f32"
    out: Path | None = None
    size: tuple[int, int] | Literal["dynamic"] | None = None
    wants_labels: bool = False
    data_root: Path | None = None


class ExportedRun(NamedTuple):
    """What was exported: its file or folder, and the manifest of a runtime's export."""

    path: Path
    manifest: ImageManifest | TrackerManifest | DetectorManifest | None


def export_run(run: Path, record: Record, request: ExportRequest) -> ExportedRun:
    """Export the tested weights of a finished run.

    Args:
        run: folder of the run.
        record: its record.
        request: what to export.

    Raises:
        UserError: the run has no network of its own, an option does not fit its task, or a package is missing.
        BenchError: the exported network does not compute what PyTorch computes; nothing was written.
    """
    _require_fitting_options(run, record, request)
    # the calibration reads the run's own data, as the run read them
    with open_run_scope(data_options=make_data_options(record.data.options)):
        return _export_run(run, record, request)


def _export_run(run: Path, record: Record, request: ExportRequest) -> ExportedRun:
    if request.export_format == "ostrack":
        from tracking.deployment.ostrack_format import export_ostrack

        return ExportedRun(export_ostrack(run, request.out or run / EXPORT_FOLDER), None)
    # each task is imported only when it is asked for: segmentation needs mmsegmentation
    exported: Any
    common = (run, request.export_format, request.precision, request.out)
    if record.domain == "tracking":
        from tracking.deployment.export import export_run as export_tracker

        exported = export_tracker(*common)
    elif record.domain == "classification":
        from classification.deployment.export import export_run as export_classifier

        exported = export_classifier(*common, data_root=request.data_root)
    elif record.domain == "detection":
        from detection.deployment.export import export_run as export_detector

        exported = export_detector(*common)
    else:
        from segmentation.deployment.export import export_run as export_segmentor

        output: Literal["labels", "logits"] = "labels" if request.wants_labels else "logits"
        exported = export_segmentor(*common, size=request.size, output=output, data_root=request.data_root)
    return ExportedRun(exported.folder, exported.manifest)


def _require_fitting_options(run: Path, record: Record, request: ExportRequest) -> None:
    """Check that the options fit the task of the run.

    Raises:
        UserError: they do not.
    """
    domain = record.domain
    if domain not in ("classification", "segmentation", "detection", "tracking"):
        raise UserError(
            f"{run} is a {domain} run ({record.task}), whose encoder has no head and answers nothing; train it on a "
            "task (bench run ... --checkpoint RUN/encoder.pth) and export that run"
        )
    if request.export_format == "ostrack" and (domain != "tracking" or request.precision != "f32"):
        raise UserError(f"--format ostrack writes trackers in f32, and {run} is a {domain} run ({record.task})")
    if domain != "segmentation" and (request.size is not None or request.wants_labels):
        raise UserError(
            f"--size and --argmax are for segmentation, and {run} is a {domain} run ({record.task}), whose input has "
            "the size that it was trained with; leave them out"
        )
    if domain == "tracking" and request.data_root is not None:
        raise UserError("--data-root is not for trackers, which calibrate on embedded photographs; leave it out")
    if domain == "detection" and request.data_root is not None:
        raise UserError("--data-root is not for detectors, which are not exported in int8; leave it out")
