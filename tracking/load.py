"""A finished run's tracker, to use it on other sequences."""

from __future__ import annotations

from pathlib import Path

from foundation.errors import UserError
from results.store import read_record
from tracking.evaluate import SequenceScore, score_all
from tracking.readers.folder import folder_videos
from tracking.recipe import TrackingRecipe
from tracking.saved import SavedTracker
from tracking.settings import Ways
from tracking.testset import track_set
from tracking.tracker import Tracker


def load_tracker(run: Path, device: str = "cpu") -> Tracker:
    """The tracker that a run trained; see ``saved_tracker``."""
    return saved_tracker(run, device)()


def saved_tracker(run: Path, device: str = "cpu") -> SavedTracker:
    """The tracker that a run trained, to be made in any process.

    Args:
        run: the run's folder, with ``record.json`` and ``checkpoints``.
        device: ``cpu`` or ``cuda``.

    Raises:
        UserError: no finished run of a tracking task.
    """
    record = read_record(run)
    files = sorted((run / "checkpoints").glob("last_*.pth"))
    if record.domain != "tracking" or record.status != "complete" or not files:
        raise UserError(
            f"{run} is no finished run of a tracking task ({record.task}, {record.status}, {len(files)} weight files); "
            "finish it with the command it was started with"
        )
    recipe = TrackingRecipe.model_validate({**record.config["recipe"], **record.neutral})
    return SavedTracker(record.backbone.name, record.backbone.arguments, recipe, files[-1], device)


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
    track_set(saved_tracker(run, device), videos, folder, run.name, ways or Ways(processes=1))
    return score_all(videos, folder)
