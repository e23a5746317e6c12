"""Exported trackers, loaded: a network behind a runtime, for this process or any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.errors import UserError
from foundation.files import sha256_file
from tracking.deployment import onnxruntime, openvino
from tracking.deployment.graph_network import ExportedNetwork
from tracking.deployment.manifest import (
    FORMAT_BY_RUNTIME,
    MANIFEST_FILENAME,
    ExportManifest,
    Precision,
    Runtime,
    read_export,
)
from tracking.deployment.packages import import_package
from tracking.inference.backend import TrackerNetwork
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
        import_package(name)  # both are written through ONNX
    module = openvino if runtime == "openvino" else onnxruntime
    module.require_runtime_precision(precision)


def get_export_dir(run_dir: Path, runtime: Runtime, precision: Precision) -> Path:
    """Where a run's export lies."""
    return run_dir / "export" / f"{FORMAT_BY_RUNTIME[runtime]}-{precision}"


def is_export_outdated(run_dir: Path, folder: Path) -> bool:
    """Whether an export in a run's folder is of other weights than the run's last."""
    from tracking.evaluate_run import list_weight_files

    return read_export(folder)[0].origin.checkpoint_sha256 != sha256_file(list_weight_files(run_dir)[-1])


def load_exported_network(
    path: Path, runtime: Runtime, precision: Precision = "f32", threads: int | None = None
) -> TrackerNetwork:
    """An exported network.

    Args:
        path: an export's folder, or a run's folder that has been exported to its own ``export``.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: of the export.
        threads: for one pass; default: as many as torch takes.

    Raises:
        UserError: not exported so, changed files, or a runtime that does not compute as asked.
    """
    return find_exported_tracker(path, runtime, precision, threads).load_network()


@dataclass(frozen=True)
class ExportedTrackerFactory:
    """A tracker by its export's folder: small, may be pickled, and makes the same tracker in every process.

    Attributes:
        folder: the export.
        manifest: what stands in it.
        threads: for one pass.
        device: exports compute on the CPU.
    """

    folder: Path
    manifest: ExportManifest
    threads: int
    device: str = "cpu"

    def load_network(self) -> TrackerNetwork:
        """The network, its files checked once more.

        Raises:
            UserError: see ``load_exported_network``.
        """
        manifest, files = read_export(self.folder)
        if manifest != self.manifest:
            raise UserError(f"{self.folder} was exported anew in the meantime; start again")
        return build_exported_network(files, manifest.runtime, manifest.precision, self.threads, manifest.grid)

    def __call__(self) -> Tracker:
        """The tracker, ready to ``init``."""
        return Tracker(self.load_network(), self.manifest.sizes.to_crop_sizes(), self.manifest.origin.backbone)

    def describe_provenance(self) -> dict[str, Any]:
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


def find_exported_tracker(
    path: Path, runtime: Runtime, precision: Precision = "f32", threads: int | None = None
) -> ExportedTrackerFactory:
    """An export as what any process can make a tracker of; arguments and errors of ``load_exported_network``."""
    require_runtime(runtime, precision)
    if runtime == "torch":
        raise UserError("an exported model runs in onnxruntime or openvino; torch takes the run itself")
    folder = path if (path / MANIFEST_FILENAME).is_file() else get_export_dir(path, runtime, precision)
    if not (folder / MANIFEST_FILENAME).is_file():
        raise UserError(
            f"{path} is not exported for {runtime} in {precision}; first: bench export {path} "
            f"--format {FORMAT_BY_RUNTIME[runtime]} --precision {precision}"
        )
    manifest, _ = read_export(folder)
    if (manifest.runtime, manifest.precision) != (runtime, precision):
        raise UserError(
            f"{folder} is an export for {manifest.runtime} in {manifest.precision}, not for {runtime} in {precision}"
        )
    if folder != path and is_export_outdated(path, folder):
        raise UserError(f"{folder} is of other weights than the run's last; export the run again")
    if threads is None:
        import torch

        threads = torch.get_num_threads()
    return ExportedTrackerFactory(folder, manifest, threads)


def build_exported_network(
    files: Mapping[str, bytes], runtime: Runtime, precision: Precision, threads: int, grid: int
) -> ExportedNetwork:
    """The network of an export's files."""
    module = openvino if runtime == "openvino" else onnxruntime
    return ExportedNetwork(module.load_graphs(files, precision, threads), grid, runtime, precision, threads)
