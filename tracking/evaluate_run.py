"""Load the tracker of a finished run and apply it to other sequences."""

from __future__ import annotations

from pathlib import Path

import torch

from engine.evaluation.model_source import Precision, Runtime
from foundation.errors import UserError
from tracking.correlation.shipped import load_shipped_tracker
from tracking.data.readers.folder import read_folder_videos
from tracking.deployment.load import find_exported_tracker, require_tracker_runtime
from tracking.inference.options import TrackingOptions
from tracking.inference.run_files import load_recipe, load_torch_factory
from tracking.inference.sequential import SequenceMetrics, score_result_files
from tracking.inference.test_set import track_test_set
from tracking.inference.tracker import Tracker
from tracking.inference.tracker_factory import TorchTrackerFactory, TrackerFactory


def load_tracker(
    run_dir: Path | None = None,
    device: str = "cpu",
    *,
    runtime: Runtime | None = None,
    precision: Precision | None = None,
    threads: int | None = None,
) -> Tracker:
    """Load the tracker that a run trained, or the one that bench ships.

    With ``threads`` and the runtime ``torch``, torch's number of threads is changed for the entire process.

    Args:
        run_dir: folder of the run, with ``record.json`` and ``checkpoints``; ``None``: the shipped tracker.
        device: ``cpu``, ``cuda`` or ``mps``; runtimes other than torch compute on the CPU.
        runtime: see ``load_tracker_factory``.
        precision: see ``load_tracker_factory``.
        threads: number of threads for one frame; default: as many as torch uses.

    Raises:
        UserError: see ``load_tracker_factory``; or the shipped tracker in another runtime than torch.
    """
    if run_dir is None:
        if (runtime or "torch", precision or "f32") != ("torch", "f32"):
            raise UserError("the shipped tracker runs in torch in f32 only; name the folder of a run of yours")
        if threads is not None:
            torch.set_num_threads(threads)
        return load_shipped_tracker(device)
    maker = load_tracker_factory(run_dir, device, runtime=runtime, precision=precision, threads=threads)
    if threads is not None and isinstance(maker, TorchTrackerFactory):
        # an exported network has got its threads from the factory already
        torch.set_num_threads(threads)
    return maker()


def load_tracker_factory(
    run_dir: Path,
    device: str = "cpu",
    *,
    runtime: Runtime | None = None,
    precision: Precision | None = None,
    threads: int | None = None,
) -> TrackerFactory:
    """Return a factory that creates the tracker of a run in any process.

    Args:
        run_dir: folder of the run, with ``record.json`` and ``checkpoints``.
        device: ``cpu``, ``cuda`` or ``mps``; runtimes other than torch compute on the CPU.
        runtime: ``torch``, or a runtime that the run was exported for; default: the runtime that the run itself used.
        precision: precision of the runtime; default: the run's own precision with the run's own runtime, else ``f32``.
        threads: number of threads for one frame; default: as many as torch uses. A factory for torch ignores it, since
            torch's threads belong to the entire process; ``track_test_set`` sets one thread there.

    Raises:
        UserError: the folder holds no finished run of a tracking task, the run was not exported for this runtime and
            precision, or the runtime does not offer the precision.
    """
    recipe = load_recipe(run_dir)
    if precision is None:
        # the run's precision belongs to its runtime: bf16 of OpenVINO, for example, does not exist in torch
        precision = recipe.runtime_precision if runtime in (None, recipe.runtime) else "f32"
    runtime = runtime or recipe.runtime
    if runtime != "torch":
        return find_exported_tracker(run_dir, runtime, precision, threads)
    require_tracker_runtime(runtime, precision)
    return load_torch_factory(run_dir, device)


def evaluate_run(
    run_dir: Path, data_root: Path, out: Path, device: str = "cpu", options: TrackingOptions | None = None
) -> list[SequenceMetrics]:
    """Track a user's own sequences with the tracker of a finished run and score them; continues after an interruption.

    Args:
        run_dir: folder of the run.
        data_root: folder of the sequences, laid out as for the task ``trackfolder``.
        out: folder for the result files, which go into a subfolder named after the run.
        device: ``cpu``, ``cuda`` or ``mps``.
        options: how the work is divided; one process by default. With several processes, the main module of the caller
            must be guarded by ``if __name__ == "__main__"``, as ``multiprocessing`` requires.

    Returns:
        The metrics of each sequence, in percent.

    Raises:
        UserError: the folder holds no finished run, or a sequence is damaged.
    """
    videos = read_folder_videos(data_root)
    # one folder per run: track_test_set discards result files of other weights
    folder = out / run_dir.name
    track_test_set(
        load_tracker_factory(run_dir, device, threads=1),
        videos,
        folder,
        run_dir.name,
        options or TrackingOptions(num_processes=1),
    )
    return score_result_files(videos, folder)
