"""A finished run's tracker, to use it on other sequences."""

from __future__ import annotations

from pathlib import Path

import torch

from deployment.formats import Precision
from tracking.data.readers.folder import read_folder_videos
from tracking.deployment.load import find_exported_tracker, require_tracker_runtime
from tracking.inference.options import Runtime, TrackingOptions
from tracking.inference.run_files import load_recipe, load_torch_factory
from tracking.inference.sequential import SequenceMetrics, score_result_files
from tracking.inference.test_set import track_test_set
from tracking.inference.tracker import Tracker
from tracking.inference.tracker_factory import TorchTrackerFactory, TrackerFactory


def load_tracker(
    run_dir: Path,
    device: str = "cpu",
    *,
    runtime: Runtime | None = None,
    precision: Precision | None = None,
    threads: int | None = None,
) -> Tracker:
    """The tracker that a run trained; arguments and errors of ``load_tracker_factory``. Sets torch's threads."""
    maker = load_tracker_factory(run_dir, device, runtime=runtime, precision=precision, threads=threads)
    if threads is not None and isinstance(maker, TorchTrackerFactory):
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
    """The tracker that a run trained, to be made in any process.

    Args:
        run_dir: the run's folder, with ``record.json`` and ``checkpoints``.
        device: ``cpu`` or ``cuda``; runtimes other than torch compute on the CPU.
        runtime: ``torch``, or what the run was exported for; default: what the run itself was tracked with.
        precision: of the runtime; default: as the run where the runtime is its own, else ``f32``.
        threads: for one frame; default: as many as torch takes. In torch they are the whole process's, and
            not set by a factory (``track_test_set`` takes one).

    Raises:
        UserError: no finished run of a tracking task, not exported so, or a runtime that does not compute as asked.
    """
    recipe = load_recipe(run_dir)
    if precision is None:
        precision = recipe.runtime_precision if runtime in (None, recipe.runtime) else "f32"
    runtime = runtime or recipe.runtime
    if runtime != "torch":
        return find_exported_tracker(run_dir, runtime, precision, threads)
    require_tracker_runtime(runtime, precision)
    return load_torch_factory(run_dir, device)


def evaluate_run(
    run_dir: Path, data_root: Path, out: Path, device: str = "cpu", options: TrackingOptions | None = None
) -> list[SequenceMetrics]:
    """Track a user's sequences with a finished run's tracker and score them; goes on where it was stopped.

    Args:
        run_dir: the run's folder.
        data_root: sequences as ``trackfolder`` takes them.
        out: where result files go, one folder a run.
        device: ``cpu`` or ``cuda``.
        options: one process where not given; for several the caller's main module must be guarded, as
            ``multiprocessing`` asks (``if __name__ == "__main__"``).

    Raises:
        UserError: no finished run, or sequences that are not sound.
    """
    videos = read_folder_videos(data_root)
    folder = out / run_dir.name
    track_test_set(
        load_tracker_factory(run_dir, device, threads=1),
        videos,
        folder,
        run_dir.name,
        options or TrackingOptions(num_processes=1),
    )
    return score_result_files(videos, folder)
