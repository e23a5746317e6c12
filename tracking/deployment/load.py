"""Exported trackers, loaded: a network behind a runtime, for this process or any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.errors import UserError
from foundation.files import sha256_file
from tracking.deployment import onnxruntime, openvino
from tracking.deployment.graph_network import GraphNetwork
from tracking.deployment.manifest import FORMATS, MANIFEST, Manifest, Precision, Runtime, read_export
from tracking.deployment.packages import package
from tracking.inference.backend import Network
from tracking.inference.tracker import Tracker


def require_runtime(runtime: Runtime, precision: Precision) -> None:
    """Pass what is installed here and can compute so.

    Raises:
        UserError: a package is missing, or the runtime has no such precision.
    """
    if runtime == "torch":
        if precision != "f32":
            raise UserError(f"the runtime torch tracks in f32 only, not {precision}; choose another runtime for it")
        return
    for name in ("onnx", "onnxruntime", *(["openvino"] if runtime == "openvino" else [])):
        package(name)  # both are written through ONNX
    module = openvino if runtime == "openvino" else onnxruntime
    module.require_precision(precision)


def export_folder(run: Path, runtime: Runtime, precision: Precision) -> Path:
    """Where a run's export lies."""
    return run / "export" / f"{FORMATS[runtime]}-{precision}"


def stale(run: Path, folder: Path) -> bool:
    """Whether an export in a run's folder is of other weights than the run's last."""
    from tracking.evaluate_run import weight_files

    return read_export(folder)[0].origin.checkpoint_sha256 != sha256_file(weight_files(run)[-1])


def load_network(place: Path, runtime: Runtime, precision: Precision = "f32", threads: int | None = None) -> Network:
    """An exported network.

    Args:
        place: an export's folder, or a run's folder that has been exported to its own ``export``.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: of the export.
        threads: for one pass; default: as many as torch takes.

    Raises:
        UserError: not exported so, changed files, or a runtime that does not compute as asked.
    """
    return exported_tracker(place, runtime, precision, threads).network()


@dataclass(frozen=True)
class ExportedTracker:
    """A tracker by its export's folder: small, may be pickled, and makes the same tracker in every process.

    Attributes:
        folder: the export.
        manifest: what stands in it.
        threads: for one pass.
        device: exports compute on the CPU.
    """

    folder: Path
    manifest: Manifest
    threads: int
    device: str = "cpu"

    def network(self) -> Network:
        """The network, its files checked once more.

        Raises:
            UserError: see ``load_network``.
        """
        manifest, files = read_export(self.folder)
        if manifest != self.manifest:
            raise UserError(f"{self.folder} was exported anew in the meantime; start again")
        return graph_network(files, manifest.runtime, manifest.precision, self.threads, manifest.grid)

    def __call__(self) -> Tracker:
        """The tracker, ready to ``init``."""
        return Tracker(self.network(), self.manifest.sizes.crop_sizes(), self.manifest.origin.backbone)

    def made_by(self) -> dict[str, Any]:
        """Everything its boxes depend on, as plain data."""
        manifest = self.manifest
        return {
            "weights": manifest.origin.checkpoint_sha256,
            "files": manifest.files,
            "sizes": manifest.sizes.model_dump(),
            "runtime": manifest.runtime,
            "precision": manifest.precision,
            "device": self.device,
            "batch": 1,
        }


def exported_tracker(
    place: Path, runtime: Runtime, precision: Precision = "f32", threads: int | None = None
) -> ExportedTracker:
    """An export as something that any process can make a tracker of; arguments and errors of ``load_network``."""
    require_runtime(runtime, precision)
    if runtime == "torch":
        raise UserError("an exported model runs in onnxruntime or openvino; torch takes the run itself")
    folder = place if (place / MANIFEST).is_file() else export_folder(place, runtime, precision)
    if not (folder / MANIFEST).is_file():
        raise UserError(
            f"{place} is not exported for {runtime} in {precision}; first: bench export {place} "
            f"--format {FORMATS[runtime]} --precision {precision}"
        )
    manifest, _ = read_export(folder)
    if (manifest.runtime, manifest.precision) != (runtime, precision):
        raise UserError(
            f"{folder} is an export for {manifest.runtime} in {manifest.precision}, not for {runtime} in {precision}"
        )
    if folder != place and stale(place, folder):
        raise UserError(f"{folder} is of other weights than the run's last; export the run again")
    if threads is None:
        import torch

        threads = torch.get_num_threads()
    return ExportedTracker(folder, manifest, threads)


def graph_network(
    files: Mapping[str, bytes], runtime: Runtime, precision: Precision, threads: int, grid: int
) -> GraphNetwork:
    """The network of an export's files."""
    module = openvino if runtime == "openvino" else onnxruntime
    return GraphNetwork(module.calls(files, precision, threads), grid, runtime, precision, threads)
