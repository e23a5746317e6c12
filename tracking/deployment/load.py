"""Load exported trackers: as a network in a runtime, or as a factory for any process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployment.export_folder import is_export_outdated
from deployment.formats import FORMAT_BY_RUNTIME, ExportRuntime
from deployment.manifest import MANIFEST_FILENAME
from deployment.runtimes import require_runtime
from engine.evaluation.model_source import Precision, Runtime
from foundation.errors import UserError
from tracking.deployment.graph_network import build_exported_network
from tracking.deployment.manifest import TrackerManifest, read_tracker_export
from tracking.inference.backend import TrackerNetwork
from tracking.inference.tracker import Tracker


def require_tracker_runtime(runtime: Runtime, precision: Precision) -> None:
    """Check that a runtime is installed and can track in a precision.

    Args:
        runtime: ``torch``, ``onnxruntime`` or ``openvino``.
        precision: the precision.

    Raises:
        UserError: a package is missing, or the runtime does not have the precision.
    """
    if runtime != "torch":
        require_runtime(runtime, precision)
    elif precision != "f32":
        raise UserError(f"the runtime torch tracks in f32 only, not {precision}; choose another runtime for it")


def get_export_dir(run_dir: Path, runtime: ExportRuntime, precision: Precision) -> Path:
    """Return the folder of a run's export.

    Args:
        run_dir: folder of the run.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: precision of the export.
    """
    return run_dir / "export" / f"{FORMAT_BY_RUNTIME[runtime]}-{precision}"


def load_exported_network(
    path: Path, runtime: Runtime, precision: Precision = "f32", threads: int | None = None
) -> TrackerNetwork:
    """Load an exported network.

    Args:
        path: folder of an export, or of a run that was exported to its own folder ``export``.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: precision of the export.
        threads: number of threads for one call; by default as many as torch uses.

    Raises:
        UserError: there is no such export, its files were changed, or the runtime does not compute as requested.
    """
    # the factory checks the manifest, and loading checks it again
    return find_exported_tracker(path, runtime, precision, threads).load_network()


@dataclass(frozen=True)
class ExportedTrackerFactory:
    """A factory for an exported tracker. It is small, can be pickled, and creates the same tracker in every process.

    Attributes:
        folder: folder of the export.
        manifest: its manifest.
        threads: number of threads for one call.
        device: always ``cpu``.
    """

    folder: Path
    manifest: TrackerManifest
    threads: int
    device: str = "cpu"

    def load_network(self) -> TrackerNetwork:
        """Load the network after checking its files again.

        Raises:
            UserError: see ``load_exported_network``; also if the export was replaced in the meantime.
        """
        manifest, files = read_tracker_export(self.folder)
        # results of one test set must not come from two exports
        if manifest != self.manifest:
            raise UserError(f"{self.folder} was exported again in the meantime; start again")
        return build_exported_network(files, manifest.runtime, manifest.precision, self.threads, manifest.grid)

    def __call__(self) -> Tracker:
        """Create the tracker, ready for ``init``."""
        return Tracker(self.load_network(), self.manifest.sizes.to_crop_sizes(), self.manifest.origin.backbone)

    def describe_provenance(self) -> dict[str, Any]:
        """Return everything that the boxes depend on, as plain data."""
        manifest = self.manifest
        return {
            "weights": manifest.origin.checkpoint_sha256,
            # hashes of the files, so that an export by other package versions counts as another tracker
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
    """Return a factory for an exported tracker.

    Args:
        path: see ``load_exported_network``.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: precision of the export.
        threads: number of threads for one call; by default as many as torch uses.

    Raises:
        UserError: see ``load_exported_network``.
    """
    # imported here, because worker processes import this module for the factory and need no training code
    from tracking.inference.run_files import list_weight_files

    require_tracker_runtime(runtime, precision)
    if runtime == "torch":
        raise UserError("an exported model runs in onnxruntime or openvino; for torch name the run instead")
    folder = path if (path / MANIFEST_FILENAME).is_file() else get_export_dir(path, runtime, precision)
    if not (folder / MANIFEST_FILENAME).is_file():
        raise UserError(
            f"{path} is not exported for {runtime} in {precision}; export it first: bench export {path} "
            f"--format {FORMAT_BY_RUNTIME[runtime]} --precision {precision}"
        )
    manifest, _ = read_tracker_export(folder)
    if (manifest.runtime, manifest.precision) != (runtime, precision):
        raise UserError(
            f"{folder} is an export for {manifest.runtime} in {manifest.precision}, not for {runtime} in {precision}; "
            "name another one"
        )
    # only an export within its run's folder can be compared with the weights of the run
    if folder != path and is_export_outdated(manifest, list_weight_files(path)[-1]):
        raise UserError(f"{folder} has other weights than the run's last ones; export the run again")
    if threads is None:
        import torch

        threads = torch.get_num_threads()
    return ExportedTrackerFactory(folder, manifest, threads)
