"""A finished detector whose parts are computed by a runtime: exported, loaded again, put in the place of PyTorch's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backbones.cost.measure_cost import measure_efficiency
from deployment.formats import FORMAT_BY_RUNTIME, ExportRuntime
from deployment.manifest import ExportOrigin
from deployment.runtime_latency import measure_runtime_latency
from deployment.runtimes import require_runtime
from detection.as_is.finished_detector import FinishedDetector
from detection.deployment.export import export_detector, load_exported_detector, require_detector_precision
from detection.models.detector import Detector
from engine.evaluation.model_source import ModelSource, Precision
from results.records.identity import AS_IS
from results.records.record import ARTIFACT_BYTES


@dataclass(frozen=True)
class DetectorNetwork:
    """The exported parts of a detector one after the other, to be timed: every part once, with as many regions as kept.

    Attributes:
        twin: the detector whose parts are graphs.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: precision of the computation.
        threads: number of threads for one call.
    """

    twin: Detector
    runtime: ExportRuntime
    precision: Precision
    threads: int

    def __call__(self, images: Tensor) -> Any:
        """Compute all outputs for normalized images (1, 3, size, size)."""
        with torch.no_grad():
            return self.twin(images)


def mark_runtime(detector: FinishedDetector, source: ModelSource) -> FinishedDetector:
    """Return a detector whose record names the runtime that computes it; it is exported later.

    Args:
        detector: the opened detector.
        source: names runtime and precision.

    Raises:
        UserError: a package is missing, or the runtime lacks the precision.
    """
    if source.runtime == "torch":
        return detector
    require_detector_precision(source.precision)
    require_runtime(source.runtime, source.precision)
    # a part of what the model is, and so of the id of its record
    arguments = {**detector.record.arguments, "runtime": source.runtime, "precision": source.precision}
    return replace(
        detector,
        record=detector.record.model_copy(update={"arguments": arguments}),
        runtime=source.runtime,
        precision=source.precision,
    )


def put_in_runtime(detector: FinishedDetector, out: Path) -> FinishedDetector:
    """Return a detector whose parts are computed by its runtime; unchanged if that is torch.

    Args:
        detector: the detector, as ``mark_runtime`` returns it.
        out: folder in which the folder of the export is written.

    Raises:
        UserError: a part cannot be written.
        BenchError: the exported detector does not compute what PyTorch computes.
    """
    runtime = detector.runtime
    if runtime == "torch":
        return detector
    origin = _make_detector_origin(detector)
    export = export_detector(detector, FORMAT_BY_RUNTIME[runtime], detector.precision, out, origin=origin)
    kept = export.manifest.model_dump(mode="json", include={"files", "parity"})
    size = sum((export.folder / name).stat().st_size for name in export.manifest.files)
    return replace(
        detector,
        network=load_exported_detector(detector, export.folder),
        exports={"exports": kept, ARTIFACT_BYTES: size},
    )


def measure_detector_cost(detector: FinishedDetector, device: str) -> dict[str, Any]:
    """Count and time the whole model with one image, in its runtime: backbone, pyramid and heads.

    Args:
        detector: the detector, as ``put_in_runtime`` returns it.
        device: where PyTorch computes.

    Returns:
        The fields of a record's ``cost.efficiency``.
    """
    size = (3, detector.size, detector.size)
    if detector.runtime == "torch":
        return measure_efficiency(detector.model, size, device, with_timing=True)
    counts = measure_efficiency(detector.model, size, "cpu", with_timing=False)
    network = DetectorNetwork(detector.network, detector.runtime, detector.precision, torch.get_num_threads())
    return {**counts, **measure_runtime_latency(network, size)}


def _make_detector_origin(detector: FinishedDetector) -> ExportOrigin:
    record = detector.record
    assert record.checkpoint is not None, "a finished detector was loaded from a file"
    return ExportOrigin(
        run_id=None,
        backbone=record.name,
        task="",
        protocol=AS_IS,
        checkpoint_sha256=record.checkpoint.sha256,
        licence=f"of the weights: unknown; they came from {Path(record.checkpoint.uri).name}, whose terms hold",
    )
