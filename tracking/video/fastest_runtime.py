"""Choose what computes the tracker of a video where the user has not: the fastest of what is installed, in f32."""

from __future__ import annotations

from pathlib import Path

from deployment.export_folder import EXPORT_FOLDER
from deployment.formats import ExportRuntime
from deployment.runtimes import find_fastest_runtime
from engine.evaluation.model_source import Runtime
from engine.progress_bar import log_message
from foundation.errors import UserError
from tracking.deployment.load import find_exported_tracker

FRAMES_PER_EXPORT = 600
"""Number of frames after which an export has paid for itself. To export ViT-Tiny at 256 px and compare it with PyTorch
takes about 7 s on two cores, and saves about 12 ms of each frame; a larger ViT takes longer and saves more."""


def choose_runtime(device: str, num_frames: int | None, run_dir: Path | None = None) -> Runtime:
    """Choose the runtime of a tracker, and say which. Precisions below f32 are never chosen.

    Args:
        device: the device that PyTorch would use; a GPU is faster than any runtime on the CPU.
        num_frames: number of frames; ``None`` if unknown, as for a camera.
        run_dir: folder of the run, which may hold an export already.

    Returns:
        ``openvino``, ``onnxruntime`` or ``torch``.
    """
    is_short = num_frames is not None and num_frames < FRAMES_PER_EXPORT
    # looking for the runtimes imports them, which takes a second
    if device != "cpu" or (is_short and not _has_exports(run_dir)):
        return "torch"
    runtime = find_fastest_runtime()
    if runtime == "torch" or (is_short and not (run_dir and has_usable_export(run_dir, runtime))):
        return "torch"
    log_message(f"tracking with {runtime} in f32, the fastest that gives PyTorch's boxes; --runtime torch for PyTorch")
    return runtime


def _has_exports(run_dir: Path | None) -> bool:
    return run_dir is not None and (run_dir / EXPORT_FOLDER).is_dir()


def has_usable_export(run_dir: Path, runtime: ExportRuntime) -> bool:
    """Return whether a run holds an export of its last weights for a runtime in f32.

    Args:
        run_dir: folder of the run.
        runtime: ``onnxruntime`` or ``openvino``.
    """
    try:
        find_exported_tracker(run_dir, runtime, "f32")
    except UserError:  # none, or a damaged or outdated one
        return False
    return True
