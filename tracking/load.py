"""A finished run's tracker, to use it on other sequences."""

from __future__ import annotations

from pathlib import Path

from backbones.create import create_backbone
from backbones.registry import get_card
from backbones.weights import RANDOM
from engine.checkpoints import load_safely
from foundation.errors import UserError
from results.store import read_record
from tracking.evaluate import SequenceScore, score_all, track_all
from tracking.network import TorchNetwork
from tracking.protocols import build_model
from tracking.readers.folder import folder_videos
from tracking.recipe import TrackingRecipe
from tracking.tracker import Tracker


def load_tracker(run: Path, device: str = "cpu") -> Tracker:
    """The tracker that a run trained.

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
    card = get_card(record.backbone.name)
    trunk = create_backbone(card, checkpoint=RANDOM, **record.backbone.arguments).model
    model = build_model(trunk, card, recipe)
    model.load_state_dict(load_safely(files[-1])["state_dict"], strict=True)
    return Tracker(TorchNetwork(model.to(device)), recipe.crop_sizes(), record.backbone.name)


def evaluate_run(run: Path, root: Path, out: Path, device: str = "cpu") -> list[SequenceScore]:
    """Track a user's sequences with a finished run's tracker and score them; goes on where it was stopped.

    Args:
        run: the run's folder.
        root: sequences as ``trackfolder`` takes them.
        out: where result files go, one folder a run.
        device: ``cpu`` or ``cuda``.

    Raises:
        UserError: no finished run, or sequences that are not sound.
    """
    videos = folder_videos(root)
    folder = out / run.name
    track_all(load_tracker(run, device), videos, folder, run.name)
    return score_all(videos, folder)
