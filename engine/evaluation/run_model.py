"""What a finished run says of its model: the file of its weights, its backbone's card and how it was created.

For tasks whose runs are counted in iterations. Imports no model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from backbones.card import BackboneCard, replace_normalization
from backbones.registry import get_card
from backbones.weights import require_weight_file
from engine.evaluation.checkpoint_run import find_checkpoint_run
from engine.evaluation.model_source import ModelSource
from engine.training_checks.checkpoint_digests import CheckpointOwner, find_digest_fault
from foundation.errors import CheckpointError, RecordError, UserError
from results.records.identity import AS_IS
from results.records.record import Record
from results.records.store import read_record


def find_run_weights(source: ModelSource, domain: str, model_noun: str) -> tuple[Record, Path]:
    """Return a run's record and the file of the weights that it tested, or the checkpoint that the user named.

    Args:
        source: names the run, or a checkpoint in its folder.
        domain: of the run.
        model_noun: what such a run has, for messages, such as ``detector``.

    Raises:
        UserError: there is no such run, or it is not a complete one of this domain.
        CheckpointError: the weights are missing, damaged or those of another run.
    """
    named = source.checkpoint
    if source.weights_key is not None:
        raise UserError("--weights-key names weights in a file of others; a run's checkpoint has only its own")
    folder = source.run if source.run is not None else find_checkpoint_run(require_weight_file(Path(str(named))))
    record = read_record(folder)
    if record.protocol == AS_IS:
        raise UserError(f"{folder} is an evaluation, which has no weights of its own; name the model that it evaluated")
    if record.domain != domain:
        raise UserError(f"{folder} is a run of {record.task} ({record.domain}), which has no {model_noun}")
    if named is None and (record.status != "complete" or record.result is None):
        raise UserError(
            f"the run {folder} is {record.status}, so it has no tested weights; finish it, or name a checkpoint of it"
        )
    path = named or _find_tested_weights(folder, record)
    if fault := find_digest_fault(path, CheckpointOwner(record.run_id, record.seed)):
        raise CheckpointError(fault)
    return record, path


def _find_tested_weights(folder: Path, record: Record) -> Path:
    assert record.result is not None
    # a file may be newer than the record's run, so the record says which one was tested
    kind = "last" if record.result.selection.split == "none" else "best"
    # "iteration 200, the last", or "iteration 800"
    step = record.result.selection.chosen.removeprefix("iteration ").partition(",")[0]
    path = folder / "checkpoints" / f"{kind}_{step:0>8}.pth"
    if not step.isdigit() or not path.is_file():
        raise CheckpointError(
            f"the weights that the run {folder} tested are not there ({path.name}); run it again with --fresh, or "
            "restore its checkpoints"
        )
    return path


def load_run_weights(model: nn.Module, tensors: dict[str, Any], path: Path) -> None:
    """Load all weights of a run into its model.

    Args:
        model: the model of the run.
        tensors: the weights by name.
        path: their file, for the message.

    Raises:
        CheckpointError: they do not fit.
    """
    try:
        model.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights in {path} do not fit the model of its record ({str(error)[:200]})"
        ) from error


def list_creation_arguments(record: Record) -> dict[str, Any]:
    """Return the arguments that the backbone of a run was created with, pairs of sides as tuples again."""
    return {
        name: tuple(value) if name == "img_size" and isinstance(value, list) else value
        for name, value in record.backbone.arguments.items()
    }


def find_run_card(record: Record) -> BackboneCard:
    """Return the card of a run's backbone, with the normalization of the run.

    Args:
        record: of the run.

    Raises:
        RecordError: today's card says something else than the card of the run, or the record has no normalization.
    """
    card, stated = get_card(record.backbone.name), record.backbone.card
    # --mean and --std of the run are in the card of its record
    try:
        mean, std = (tuple(map(float, stated[name])) for name in ("mean", "std"))
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"run {record.run_id} does not state the normalization of its images") from error
    card = replace_normalization(card, mean, std)
    changed = [key for key, value in card.identity_dict().items() if key in stated and stated[key] != value]
    if changed:
        raise RecordError(f"the card of {card.name} has changed since run {record.run_id} ({', '.join(changed)})")
    return card
