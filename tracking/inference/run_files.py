"""The files of a finished tracking run: its recipe, its weights, and the tracker in PyTorch that they make."""

from __future__ import annotations

from pathlib import Path

from foundation.errors import UserError
from results.records.record import Record
from results.records.store import read_record
from tracking.inference.tracker_factory import TorchTrackerFactory
from tracking.recipe import TrackingRecipe


def list_weight_files(run_dir: Path) -> list[Path]:
    """The weights that a run has kept, the last ones last."""
    return sorted((run_dir / "checkpoints").glob("last_*.pth"))


def read_finished_run(run_dir: Path) -> Record:
    """The record of a tracking run that was trained to its end and has kept its weights.

    Raises:
        UserError: the folder holds no such run.
    """
    record, files = read_record(run_dir), list_weight_files(run_dir)
    if record.domain != "tracking" or record.status != "complete" or not files:
        raise UserError(
            f"{run_dir} is no finished run of a tracking task ({record.task}, {record.status}, {len(files)} weight "
            "files); finish it with the command it was started with"
        )
    return record


def load_recipe(run_dir: Path) -> TrackingRecipe:
    """The recipe of a run; errors as ``read_finished_run``."""
    record = read_finished_run(run_dir)
    return TrackingRecipe.model_validate({**record.config["recipe"], **record.non_identity_settings})


def load_torch_factory(run_dir: Path, device: str = "cpu") -> TorchTrackerFactory:
    """The tracker that a run trained, in PyTorch on a device; errors as ``read_finished_run``."""
    recipe, record = load_recipe(run_dir), read_record(run_dir)
    if record.backbone.init == "memory":
        raise UserError(
            f"the backbone of {run_dir} was a module from memory, of which the run keeps the weights and not the code; "
            "track with its export (bench run ... --set runtime=onnxruntime makes one)"
        )
    return TorchTrackerFactory(
        record.backbone.name, record.backbone.arguments, recipe, list_weight_files(run_dir)[-1], device
    )
