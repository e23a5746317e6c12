"""Export the detector of a finished run, and load it again."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from deployment.export_folder import hash_files, read_export, require_export_place, write_export
from deployment.formats import FORMAT_BY_RUNTIME, RUNTIME_BY_FORMAT, ExportFormat, ExportRuntime
from deployment.graph_io import GraphCallable
from deployment.manifest import ExportOrigin, make_export_origin
from deployment.runtimes import load_runtime_graphs, make_export_files, require_runtime
from detection.as_is.finished_detector import FinishedDetector
from detection.as_is.run_source import find_run_weights, open_run_detector
from detection.as_is.settings import DetectionSettings
from detection.deployment.graphs import attach_graphs, prepare_detector, write_detector_graphs
from detection.deployment.manifest import DetectorManifest, DetectorParity
from detection.deployment.parity import load_parity_images, measure_detector_parity, require_detector_parity
from detection.models.detector import Detector
from engine.evaluation.model_source import ModelSource, Precision
from engine.progress_bar import log_message
from engine.run_environment import collect_package_versions, utc_now
from foundation.errors import UserError
from foundation.files import ensure_writable_dir


class DetectorExport(NamedTuple):
    """An exported detector: its folder and its manifest."""

    folder: Path
    manifest: DetectorManifest


def export_run(
    run_dir: Path, export_format: ExportFormat, precision: Precision, out_dir: Path | None = None
) -> DetectorExport:
    """Export the tested weights of a finished detection run to ``<format>-<precision>`` below ``out_dir``.

    Args:
        run_dir: folder of the run.
        export_format: ``onnx`` (for ONNX Runtime) or ``openvino``.
        precision: ``f32`` or ``bf16`` (OpenVINO, if the CPU has it).
        out_dir: folder for the export; by default the folder ``export`` of the run.

    Raises:
        UserError: the folder holds no such run, the runtime or precision is missing, or a part cannot be written.
        CheckpointError: the tested weights are missing or damaged.
        BenchError: the exported detector does not compute what PyTorch computes; nothing was written.
    """
    require_detector_precision(precision)
    # before the model is loaded, which takes longer
    require_runtime(RUNTIME_BY_FORMAT[export_format], precision)
    source = ModelSource(run=run_dir, device="cpu")
    record, weights_file = find_run_weights(source)
    detector = open_run_detector(source, DetectionSettings(), "cpu")
    origin = make_export_origin(record, weights_file)
    return export_detector(detector, export_format, precision, out_dir or run_dir / "export", origin=origin)


def require_detector_precision(precision: Precision) -> None:
    """Check that detectors are exported in a precision.

    Args:
        precision: the precision.

    Raises:
        UserError: they are not.
    """
    if precision == "int8":
        raise UserError(
            "detectors are not exported in int8, for which each part would be calibrated on regions of real images; "
            "choose f32 or bf16"
        )


def export_detector(
    detector: FinishedDetector,
    export_format: ExportFormat,
    precision: Precision,
    out_dir: Path,
    *,
    origin: ExportOrigin,
) -> DetectorExport:
    """Export a finished detector to ``<format>-<precision>`` below a folder, after comparing it with PyTorch.

    Args:
        detector: the opened detector.
        export_format: ``onnx`` or ``openvino``.
        precision: ``f32`` or ``bf16``.
        out_dir: folder in which the folder of the export is written.
        origin: where the weights come from.

    Raises:
        UserError: see ``export_run``.
        BenchError: see ``export_run``.
    """
    require_detector_precision(precision)
    runtime = RUNTIME_BY_FORMAT[export_format]
    require_runtime(runtime, precision)
    ensure_writable_dir(out_dir)
    name = f"{export_format}-{precision}"
    require_export_place(out_dir / name)
    log_message(f"exporting {origin.backbone} as {name}")
    reference = prepare_detector(detector.model)
    # bf16 has the same files as f32: the runtime converts when it compiles them
    files = make_export_files(write_detector_graphs(reference, origin.backbone), export_format)
    # loaded from the very bytes that are written below
    graphs = load_runtime_graphs(files, runtime, precision, torch.get_num_threads())
    images = load_parity_images(detector.size)
    parity = measure_detector_parity(reference, attach_graphs(reference, graphs), graphs, images)
    require_detector_parity(parity, precision, f"the {name} export of {origin.backbone}")
    manifest = _make_manifest(detector, runtime, precision, files, origin, parity)
    write_export(out_dir / name, files, manifest)
    return DetectorExport(out_dir / name, manifest)


def _make_manifest(
    detector: FinishedDetector,
    runtime: ExportRuntime,
    precision: Precision,
    files: Mapping[str, bytes],
    origin: ExportOrigin,
    parity: DetectorParity,
) -> DetectorManifest:
    model = detector.model
    return DetectorManifest(
        format=FORMAT_BY_RUNTIME[runtime],
        runtime=runtime,
        precision=precision,
        origin=origin,
        files=hash_files(files),
        versions=collect_package_versions(),
        calibration=None,
        created=utc_now(),
        size=detector.size,
        has_masks=detector.has_masks,
        category_ids=[category.id for category in detector.categories],
        class_names=[category.name for category in detector.categories],
        mean=[float(value) for value in model.mean],
        std=[float(value) for value in model.std],
        strides=[float(value) for value in model.pyramid.strides],
        settings={
            "proposals": model.recipe.model.proposals.model_dump(mode="json"),
            "test": model.recipe.test.model_dump(mode="json"),
        },
        parity=parity,
    )


def load_exported_detector(detector: FinishedDetector, folder: Path, threads: int | None = None) -> Detector:
    """Return the twin of a detector whose parts are computed by an export.

    Args:
        detector: the detector that was exported, in PyTorch; it chooses proposals and detections.
        folder: folder of the export, which has ``manifest.json``.
        threads: number of threads for one call; by default as many as torch uses.

    Raises:
        UserError: there is no such export, its files were changed, or it is one of another model.
    """
    manifest, files = read_export(folder, DetectorManifest)
    checkpoint = detector.record.checkpoint
    if checkpoint is not None and manifest.origin.checkpoint_sha256 != checkpoint.sha256:
        raise UserError(f"{folder} is an export of other weights; export the run again")
    threads = threads or torch.get_num_threads()
    graphs: Mapping[str, GraphCallable] = load_runtime_graphs(files, manifest.runtime, manifest.precision, threads)
    return attach_graphs(copy.deepcopy(detector.model).cpu().eval(), graphs)
