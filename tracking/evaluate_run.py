"""A finished run's tracker, to use it on other sequences."""

from __future__ import annotations

from pathlib import Path

import torch

from foundation.errors import UserError
from results.records.store import read_record
from tracking.data.readers.folder import folder_videos
from tracking.deployment.load import exported_tracker, require_runtime
from tracking.deployment.manifest import Precision, Runtime
from tracking.inference.sequential import SequenceScore, score_all
from tracking.inference.test_set import track_set
from tracking.inference.tracker import Tracker
from tracking.inference.tracker_factory import SavedTracker, TrackerMaker
from tracking.models.candidate_elimination import Ways
from tracking.recipe import TrackingRecipe


def load_tracker(
    run: Path,
    device: str = "cpu",
    *,
    runtime: Runtime | None = None,
    precision: Precision | None = None,
    threads: int | None = None,
) -> Tracker:
    """The tracker that a run trained; arguments and errors of ``tracker_maker``. Torch's threads are set here."""
    maker = tracker_maker(run, device, runtime=runtime, precision=precision, threads=threads)
    if threads is not None and isinstance(maker, SavedTracker):
        torch.set_num_threads(threads)
    return maker()


def tracker_maker(
    run: Path,
    device: str = "cpu",
    *,
    runtime: Runtime | None = None,
    precision: Precision | None = None,
    threads: int | None = None,
) -> TrackerMaker:
    """The tracker that a run trained, to be made in any process.

    Args:
        run: the run's folder, with ``record.json`` and ``checkpoints``.
        device: ``cpu`` or ``cuda``; runtimes other than torch compute on the CPU.
        runtime: ``torch``, or what the run was exported for; default: what the run itself was tracked with.
        precision: of the runtime; default: as the run where the runtime is its own, else ``f32``.
        threads: for one frame; default: as many as torch takes. In torch they are the whole process's, and
            not set by a maker (``track_set`` takes one).

    Raises:
        UserError: no finished run of a tracking task, not exported so, or a runtime that does not compute as asked.
    """
    recipe = load_recipe(run)
    if precision is None:
        precision = recipe.runtime_precision if runtime in (None, recipe.runtime) else "f32"
    runtime = runtime or recipe.runtime
    if runtime != "torch":
        return exported_tracker(run, runtime, precision, threads)
    require_runtime(runtime, precision)
    return saved_tracker(run, device)


def saved_tracker(run: Path, device: str = "cpu") -> SavedTracker:
    """The tracker that a run trained, in PyTorch; errors as ``load_recipe``."""
    recipe, record = load_recipe(run), read_record(run)
    return SavedTracker(record.backbone.name, record.backbone.arguments, recipe, weight_files(run)[-1], device)


def load_recipe(run: Path) -> TrackingRecipe:
    """The recipe of a run.

    Raises:
        UserError: no finished run of a tracking task.
    """
    record, files = read_record(run), weight_files(run)
    if record.domain != "tracking" or record.status != "complete" or not files:
        raise UserError(
            f"{run} is no finished run of a tracking task ({record.task}, {record.status}, {len(files)} weight files); "
            "finish it with the command it was started with"
        )
    return TrackingRecipe.model_validate({**record.config["recipe"], **record.neutral})


def weight_files(run: Path) -> list[Path]:
    """The weights that a run has kept, the last ones last."""
    return sorted((run / "checkpoints").glob("last_*.pth"))


def evaluate_run(
    run: Path, root: Path, out: Path, device: str = "cpu", ways: Ways | None = None
) -> list[SequenceScore]:
    """Track a user's sequences with a finished run's tracker and score them; goes on where it was stopped.

    Args:
        run: the run's folder.
        root: sequences as ``trackfolder`` takes them.
        out: where result files go, one folder a run.
        device: ``cpu`` or ``cuda``.
        ways: one process where not given; for several the caller's main module must be guarded, as
            ``multiprocessing`` asks (``if __name__ == "__main__"``).

    Raises:
        UserError: no finished run, or sequences that are not sound.
    """
    videos = folder_videos(root)
    folder = out / run.name
    track_set(tracker_maker(run, device, threads=1), videos, folder, run.name, ways or Ways(processes=1))
    return score_all(videos, folder)
