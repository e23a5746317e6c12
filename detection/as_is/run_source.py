"""Open the model of a detection run: the weights that it tested, or another checkpoint in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from backbones.card import BackboneCard, replace_normalization
from backbones.create import create_backbone
from backbones.model_digest import identify_plugin_code
from backbones.registry import get_card
from backbones.weights import hash_weight_file, require_weight_file
from detection.as_is.finished_detector import FinishedDetector
from detection.as_is.settings import DetectionSettings
from detection.data.coco_layout import COCO_CATEGORIES
from detection.data.ground_truth import Category
from detection.models.detector import Detector, build_detector
from detection.recipe import DetectionRecipe
from detection.run import describe_test_mode
from detection.scored_run import CATEGORIES_ENTRY
from engine.checkpoints import read_checkpoint
from engine.evaluation.checkpoint_run import find_checkpoint_run
from engine.evaluation.model_source import ModelSource
from engine.training_checks.checkpoint_digests import CheckpointOwner, find_digest_fault
from foundation.errors import CheckpointError, ConfigError, RecordError, UserError
from results.records.identity import AS_IS
from results.records.record import BackboneRecord, Record, StartCheckpoint
from results.records.store import read_record
from results.records.strict_model import format_validation_errors

CLASSIFIER, MASK_CLASSIFIER = "box_head.classes.weight", "mask_head.masks.weight"
"""Tensors of a checkpoint: the first has one row per class and one for background, the second is there with masks."""


def open_run_detector(source: ModelSource, settings: DetectionSettings, device: str) -> FinishedDetector:
    """Open the model of a run.

    Args:
        source: names the run, or a checkpoint in its folder.
        settings: how it is applied, where that differs from the run.
        device: where it is computed.

    Raises:
        UserError: no such run, not one of detection, or not complete.
        CheckpointError: its weights are missing or are not what was written.
    """
    record, path = find_run_weights(source)
    recipe = _make_recipe(record, settings)
    tensors = read_checkpoint(path).get("state_dict")
    if not isinstance(tensors, dict) or CLASSIFIER not in tensors:
        raise CheckpointError(f"{path} is not a checkpoint of a detection run; it has no {CLASSIFIER}")
    model = _build_model(record, recipe, tensors)
    categories = _find_categories(record, model.num_classes)
    try:
        model.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights in {path} do not fit the model of its record ({str(error)[:200]})"
        ) from error
    model = model.to(device).eval()
    return FinishedDetector(
        model=model,
        network=model,
        categories=categories,
        record=_describe_model(record, recipe, path),
        test_mode=describe_test_mode(recipe),
    )


def find_run_weights(source: ModelSource) -> tuple[Record, Path]:
    """Return a run's record and the file of the weights that it tested, or the checkpoint that the user named.

    Args:
        source: names the run, or a checkpoint in its folder.

    Raises:
        UserError: there is no such run, or it is not a complete one of detection.
        CheckpointError: the weights are missing, damaged or those of another run.
    """
    named = source.checkpoint
    if source.config is not None or source.module is not None or source.backbone is not None:
        raise UserError(
            "a detector is a run of bench (--run RUN, or --checkpoint RUN/checkpoints/FILE); a backbone alone has no "
            "detection heads. The detections of any other detector are scored with bench score coco --results FILE"
        )
    if source.weights_key is not None:
        raise UserError("--weights-key names weights in a file of others; a run's checkpoint has only its own")
    folder = source.run if source.run is not None else find_checkpoint_run(require_weight_file(Path(str(named))))
    record = read_record(folder)
    if record.protocol == AS_IS:
        raise UserError(f"{folder} is an evaluation, which has no weights of its own; name the model that it evaluated")
    if record.domain != "detection":
        raise UserError(f"{folder} is a run of {record.task} ({record.domain}), which has no detector")
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


def _make_recipe(record: Record, settings: DetectionSettings) -> DetectionRecipe:
    """Return the run's recipe, with the inference that the user asks for."""
    # a logger that is not installed here does not matter for a test
    content: dict[str, Any] = {**record.config["recipe"], **record.non_identity_settings, "loggers": []}
    try:
        recipe = DetectionRecipe.model_validate(content)
    except ValidationError as error:
        faults = format_validation_errors(error)
        raise ConfigError(f"the settings of run {record.run_id} are invalid: {faults}") from error
    return recipe.model_copy(update={"test": settings.change_inference(recipe.test)})


def _build_model(record: Record, recipe: DetectionRecipe, tensors: Mapping[str, Any]) -> Detector:
    card = _find_card(record)
    # the weights and not the record say it: a checkpoint of an unfinished run has no result yet
    num_classes, has_masks = len(tensors[CLASSIFIER]) - 1, MASK_CLASSIFIER in tensors
    with torch.random.fork_rng(devices=[]):  # the random weights are replaced, and nobody's random numbers move
        created = create_backbone(card, checkpoint="random", **_list_creation_arguments(record))
        return build_detector(recipe, card, num_classes, has_masks, created=created)


def _list_creation_arguments(record: Record) -> dict[str, Any]:
    """Return the arguments that the backbone of a run was created with, pairs of sides as tuples again."""
    return {
        name: tuple(value) if name == "img_size" and isinstance(value, list) else value
        for name, value in record.backbone.arguments.items()
    }


def _find_card(record: Record) -> BackboneCard:
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


def _find_categories(record: Record, num_classes: int) -> Sequence[Category]:
    """Return ids and names of the classes, as far as the record and its task say them.

    Raises:
        RecordError: the record states others than the weights have.
    """
    stated: Any = record.result.details.get(CATEGORIES_ENTRY) if record.result else None
    if stated is None:
        # an unfinished run has no result yet
        return COCO_CATEGORIES if record.task == "coco" and num_classes == len(COCO_CATEGORIES) else ()
    try:
        found = tuple(Category(int(number), str(name)) for number, name in stated)
    except (TypeError, ValueError) as error:
        raise RecordError(f"the record of run {record.run_id} has no list of its classes; restore it") from error
    if len(found) != num_classes:
        raise RecordError(
            f"the record of run {record.run_id} states {len(found)} classes, and its weights have {num_classes}; "
            "restore the run"
        )
    return found


def _describe_model(record: Record, recipe: DetectionRecipe, path: Path) -> BackboneRecord:
    """Describe the model for a record: everything that can change its number is in the arguments."""
    arguments = {
        **record.backbone.arguments,
        "protocol": record.protocol,
        "size": recipe.size,
        "model": recipe.model.model_dump(mode="json"),
        "test": recipe.test.model_dump(mode="json"),
    }
    checkpoint = StartCheckpoint(
        uri=str(path), sha256=hash_weight_file(path), bytes=path.stat().st_size, format="a detection run of bench"
    )
    # of a plug-in the code of today, which computes the number
    code = identify_plugin_code(_find_card(record), _list_creation_arguments(record))
    return BackboneRecord(
        name=record.backbone.name,
        label=record.backbone.label,
        card=record.backbone.card,
        arguments=arguments,
        init="checkpoint",
        checkpoint=checkpoint,
        model=code.get("model", record.backbone.model),
    )
