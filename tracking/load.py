"""A finished run's tracker, to use it on other sequences."""

from __future__ import annotations

from pathlib import Path

from backbones.create import create_backbone
from backbones.registry import get_card
from backbones.weights import RANDOM
from engine.checkpoints import load_safely
from foundation.errors import UserError
from results.store import read_record
from tracking.deploy.load import make_network
from tracking.deploy.manifest import Precision, Runtime
from tracking.evaluate import SequenceScore, score_all, track_all
from tracking.model import TrackerModel
from tracking.protocols import build_model
from tracking.readers.folder import folder_videos
from tracking.recipe import TrackingRecipe
from tracking.tracker import Tracker


def load_tracker(
    run: Path,
    device: str = "cpu",
    *,
    runtime: Runtime | None = None,
    precision: Precision | None = None,
    threads: int | None = None,
) -> Tracker:
    """The tracker that a run trained.

    Args:
        run: the run's folder, with ``record.json`` and ``checkpoints``.
        device: ``cpu`` or ``cuda``; runtimes other than torch compute on the CPU.
        runtime: ``torch``, or what the run was exported for; default: what the run itself was tracked with.
        precision: of the runtime; default: as the run where the runtime is its own, else ``f32``.
        threads: for one frame; default: as many as torch takes. In torch it is the whole process's.

    Raises:
        UserError: no finished run of a tracking task, not exported so, or a runtime that does not compute as asked.
    """
    recipe = load_recipe(run)
    if precision is None:
        precision = recipe.runtime_precision if runtime in (None, recipe.runtime) else "f32"
    network = make_network(run, runtime or recipe.runtime, precision, threads, device)
    return Tracker(network, recipe.crop_sizes(), read_record(run).backbone.name)


def load_recipe(run: Path, finished: bool = True) -> TrackingRecipe:
    """The recipe of a run.

    Raises:
        UserError: no tracking run, no weights yet, or (where it has to be) not finished.
    """
    record, files = read_record(run), weight_files(run)
    if record.domain != "tracking" or (finished and record.status != "complete") or not files:
        raise UserError(
            f"{run} is no finished run of a tracking task ({record.task}, {record.status}, {len(files)} weight files); "
            "finish it with the command it was started with"
        )
    return TrackingRecipe.model_validate({**record.config["recipe"], **record.neutral})


def load_model(run: Path, finished: bool = True) -> TrackerModel:
    """The network that a run trained, on the CPU; errors as ``load_recipe``."""
    recipe, record = load_recipe(run, finished), read_record(run)
    card = get_card(record.backbone.name)
    trunk = create_backbone(card, checkpoint=RANDOM, **record.backbone.arguments).model
    model = build_model(trunk, card, recipe)
    model.load_state_dict(load_safely(weight_files(run)[-1])["state_dict"], strict=True)
    model.eval()
    return model


def weight_files(run: Path) -> list[Path]:
    """The weights that a run has kept, the last ones last."""
    return sorted((run / "checkpoints").glob("last_*.pth"))


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
