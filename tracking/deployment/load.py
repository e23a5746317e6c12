"""Exported trackers, loaded: a network behind a runtime, for this process or any other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployment.export_folder import is_export_outdated
from deployment.formats import FORMAT_BY_RUNTIME, ExportRuntime, Precision
from deployment.manifest import MANIFEST_FILENAME
from deployment.runtimes import require_runtime
from foundation.errors import UserError
from tracking.deployment.graph_network import build_exported_network
from tracking.deployment.manifest import TrackerManifest, read_tracker_export
from tracking.inference.backend import TrackerNetwork
from tracking.inference.options import Runtime
from tracking.inference.tracker import Tracker


def require_tracker_runtime(runtime: Runtime, precision: Precision) -> None:
    """Pass what is installed here and can track in a precision.

    Raises:
        UserError: a package is missing, or the runtime has no such precision.
    """
    if runtime != "torch":
        require_runtime(runtime, precision)
    elif precision != "f32":
        raise UserError(f"the runtime torch tracks in f32 only, not {precision}; choose another runtime for it")


def get_export_dir(run_dir: Path, runtime: ExportRuntime, precision: Precision) -> Path:
    """Where a run's export lies."""
    return run_dir / "export" / f"{FORMAT_BY_RUNTIME[runtime]}-{precision}"


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
    manifest: TrackerManifest
    threads: int
    device: str = "cpu"

    def load_network(self) -> TrackerNetwork:
        """The network, its files checked once more.

        Raises:
            UserError: see ``load_exported_network``.
        """
        manifest, files = read_tracker_export(self.folder)
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
    # not at the top: processes that track import this module for the factory alone, and need no training code
    from tracking.inference.run_files import list_weight_files

    require_tracker_runtime(runtime, precision)
    if runtime == "torch":
        raise UserError("an exported model runs in onnxruntime or openvino; torch takes the run itself")
    folder = path if (path / MANIFEST_FILENAME).is_file() else get_export_dir(path, runtime, precision)
    if not (folder / MANIFEST_FILENAME).is_file():
        raise UserError(
            f"{path} is not exported for {runtime} in {precision}; first: bench export {path} "
            f"--format {FORMAT_BY_RUNTIME[runtime]} --precision {precision}"
        )
    manifest, _ = read_tracker_export(folder)
    if (manifest.runtime, manifest.precision) != (runtime, precision):
        raise UserError(
            f"{folder} is an export for {manifest.runtime} in {manifest.precision}, not for {runtime} in {precision}"
        )
    if folder != path and is_export_outdated(manifest, list_weight_files(path)[-1]):
        raise UserError(f"{folder} is of other weights than the run's last; export the run again")
    if threads is None:
        import torch

        threads = torch.get_num_threads()
    return ExportedTrackerFactory(folder, manifest, threads)
