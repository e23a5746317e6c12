"""The network of a finished fine-tuning run: the weights that were tested, and what its record says of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from backbones.card import DISTILLATION_HEAD, BackboneCard
from backbones.registry import get_card
from classification.plan import PHOTO_RECIPE_TYPES, RECIPE_TYPES, expand_search
from classification.recipe import ClassificationRecipe
from engine.training_checks.checkpoint_digests import CheckpointOwner, find_digest_fault
from foundation.errors import CheckpointError, UserError
from results.records.record import Record
from results.records.store import read_record

DIGITS_TASK = "digits"
"""The task whose images are not photographs, and are neither cropped nor augmented as such."""

CLASS_NAMES_DETAIL = "class_names"
"""Entry of a result's details: the name of each class, in the order of the classifier's outputs."""


class FinishedRun(NamedTuple):
    """A complete fine-tuning run.

    Attributes:
        folder: its folder.
        record: its record.
        recipe: the settings of its training.
        card: the card of its backbone.
    """

    folder: Path
    record: Record
    recipe: ClassificationRecipe
    card: BackboneCard

    @property
    def batch_size(self) -> int:
        """Number of images in a batch of its test, which decides on the last bits."""
        # the size of a batch of the test, as engine.training computes it
        pieces = self.record.non_identity_settings.get("accumulate", self.recipe.accumulate)
        pieces = pieces if isinstance(pieces, int) and pieces > 0 else 1
        return max(1, self.recipe.batch_size // max(1, self.record.environment.processes) // pieces)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Name of each class in the order of the outputs; ``None`` if the record does not have them."""
        if self.record.task == DIGITS_TASK:
            return tuple(map(str, range(10)))
        names: Any = self.record.result.details.get(CLASS_NAMES_DETAIL) if self.record.result else None
        count = self.record.backbone.arguments.get("num_classes")
        is_list = isinstance(names, list) and all(isinstance(name, str) for name in names) and len(names) == count
        return tuple(names) if is_list else None


def read_finetuned_run(folder: Path) -> FinishedRun:
    """Read a complete fine-tuning run.

    Args:
        folder: the run's folder.

    Raises:
        UserError: it is no complete classification run, it trained no network, or its backbone cannot be made again.
        RecordError: the record cannot be read.
    """
    record = read_record(folder)
    if record.domain != "classification":
        raise UserError(f"{folder} is a run of {record.task} ({record.domain}), not of a classification task")
    if record.status != "complete" or record.result is None:
        raise UserError(
            f"the run in {folder} is {record.status}, so it has no tested weights; finish it with the command that "
            "started it"
        )
    # what is frozen has no classifier of its own: the linear layer of a probe is not kept
    kind = (RECIPE_TYPES if record.task == DIGITS_TASK else PHOTO_RECIPE_TYPES).get(record.protocol)
    if kind is None or not issubclass(kind, ClassificationRecipe):
        raise UserError(
            f"the run in {folder} has the protocol {record.protocol}, which trains no network and keeps no classifier; "
            "evaluate a fine-tuning run, or evaluate its backbone with a head of its own"
        )
    try:
        recipe = kind.model_validate(record.config["recipe"])
    except (ValidationError, KeyError, TypeError) as error:
        raise UserError(
            f"the settings of the run in {folder} are those of another version of bench; run it again"
        ) from error
    return FinishedRun(folder, record, recipe, _restore_card(folder, record))


def find_tested_weights(run: FinishedRun) -> Path:
    """Return the file with the weights that a run was tested with.

    A search has a folder for each of its trainings; the record says which one was chosen, and at which epoch.

    Args:
        run: the run.

    Raises:
        CheckpointError: the file is missing, damaged, or of another run.
    """
    record, recipe = run.record, run.recipe
    assert record.result is not None
    # the order of the search is not needed: its names are those of the folders
    trials = [name for name, _ in expand_search(recipe)]
    trial, _, chosen = record.result.selection.chosen.rpartition(", ")
    step = re.fullmatch(r"(?:epoch|iteration) (\d+)", chosen)
    if recipe.train_on == "train+val":
        subfolder, name = ("final" if len(trials) > 1 else ""), f"last_{recipe.length:08d}.pth"
    elif step is None or (trial not in trials):
        raise CheckpointError(f"the record in {run.folder} does not say which weights were tested; run it again")
    else:
        subfolder, name = trial, f"best_{int(step[1]):08d}.pth"
    path = run.folder / subfolder / "checkpoints" / name
    if not path.is_file():
        raise CheckpointError(
            f"the run in {run.folder} does not have its tested weights any more ({path} is missing); run it again"
        )
    # a file of the same name, copied from another run, would give a plausible wrong number
    owner = f"{record.run_id}/{subfolder}" if subfolder else record.run_id
    if fault := find_digest_fault(path, CheckpointOwner(owner, record.seed)):
        raise CheckpointError(fault)
    return path


def list_model_arguments(record: Record) -> dict[str, Any]:
    """Return the arguments of a run's backbone that its finished network has and its weight file does not show.

    Args:
        record: the run's record.
    """
    kept: Mapping[str, Any] = record.backbone.arguments
    # stochastic depth does nothing after the training, and the number of classes is counted in the file
    return {name: value for name, value in kept.items() if name in ("global_pool", DISTILLATION_HEAD)}


def _restore_card(folder: Path, record: Record) -> BackboneCard:
    """Return today's card of a run's backbone with the normalization of the run.

    A card is not made from the record: it names a module that is imported, and a record may be of anyone.

    Raises:
        UserError: the backbone is a module from memory, or its card has changed since.
    """
    backbone = record.backbone
    if backbone.init == "memory":
        raise UserError(
            f"the backbone of {folder} was a module from memory, of which the run keeps the weights and not the code; "
            "load its checkpoint into the module yourself"
        )
    own = get_card(backbone.name)
    # --mean and --std of the run are in the card of its record
    try:
        mean, std = (tuple(map(float, backbone.card[name])) for name in ("mean", "std"))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"the record in {folder} does not state the normalization of its images") from error
    card = replace(own, mean=mean, std=std)
    changed = [key for key, value in card.identity_dict().items() if backbone.card.get(key, value) != value]
    if changed:
        raise UserError(
            f"the card of {own.name} has changed since the run in {folder} ({', '.join(changed)}), so its network "
            "cannot be made again; use the version of bench that made it"
        )
    return card
