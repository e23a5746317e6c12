"""The files of a finished tracking run: its settings, its weights, and the tracker in PyTorch."""

from __future__ import annotations

from pathlib import Path

from foundation.errors import UserError
from results.records.record import Record
from results.records.store import read_record
from tracking.inference.tracker_factory import GIVEN_NORMALIZATION, Normalization, TorchTrackerFactory
from tracking.recipe import TrackingRecipe


def list_weight_files(run_dir: Path) -> list[Path]:
    """Return the weights files of a run, sorted, the newest last.

    Args:
        run_dir: folder of the run.
    """
    # the numbers in the names have leading zeros, so that sorting by name sorts by time
    return sorted((run_dir / "checkpoints").glob("last_*.pth"))


def read_finished_run(run_dir: Path) -> Record:
    """Read the record of a tracking run that is complete and still has its weights.

    Args:
        run_dir: folder of the run.

    Raises:
        UserError: the folder does not hold such a run.
    """
    record, files = read_record(run_dir), list_weight_files(run_dir)
    if record.domain != "tracking" or record.is_evaluation:
        raise UserError(
            f"{run_dir} is a run of {record.task} {record.protocol} ({record.domain}), which trained no tracker, so it "
            "is not a finished run of a tracking task; name one, or a checkpoint with --backbone and --checkpoint"
        )
    if record.status != "complete" or not files:
        raise UserError(
            f"{run_dir} is not a finished run of a tracking task ({record.task}, {record.status}, {len(files)} weights "
            "files); finish it with the command that started it"
        )
    return record


def load_recipe(run_dir: Path) -> TrackingRecipe:
    """Return the settings of a run.

    Args:
        run_dir: folder of the run.

    Raises:
        UserError: see ``read_finished_run``.
    """
    record = read_finished_run(run_dir)
    # the record stores settings that can change the number apart from those that cannot
    return TrackingRecipe.model_validate({**record.config["recipe"], **record.non_identity_settings})


def load_torch_factory(run_dir: Path, device: str = "cpu") -> TorchTrackerFactory:
    """Return a factory of the trained tracker in PyTorch.

    Args:
        run_dir: folder of the run.
        device: ``cpu``, ``cuda`` or ``mps``.

    Raises:
        UserError: see ``read_finished_run``; also if the backbone was a module from memory, whose code the run lacks.
    """
    recipe, record = load_recipe(run_dir), read_record(run_dir)
    if record.backbone.init == "memory":
        raise UserError(
            f"the backbone of {run_dir} was a module from memory, of which the run keeps the weights and not the code; "
            "track with its export (bench run ... --set runtime=onnxruntime makes one)"
        )
    return TorchTrackerFactory(
        record.backbone.name,
        record.backbone.arguments,
        recipe,
        list_weight_files(run_dir)[-1],
        device,
        normalization=_read_normalization(record),
    )


def _read_normalization(record: Record) -> Normalization | None:
    """Return the normalization that a run was given and tracked with; runs before that correction tracked with the
    registry's."""
    start = record.backbone.checkpoint
    if start is None or GIVEN_NORMALIZATION not in start.loading_fixes:
        return None
    mean, std = (_read_numbers(record, name) for name in ("mean", "std"))
    return mean, std


def _read_numbers(record: Record, name: str) -> tuple[float, ...]:
    """Return numbers of the card in a record, which may be anybody's."""
    values = record.backbone.card.get(name)
    if not isinstance(values, list) or not all(type(value) is float for value in values):
        raise UserError(f"the record of run {record.run_id} has no {name} of its backbone; restore it")
    return tuple(values)
