"""Open the model of a detection run: the weights that it tested, or another checkpoint in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from backbones.create import create_backbone
from backbones.model_digest import identify_plugin_code
from backbones.weights import hash_weight_file
from detection.as_is.finished_detector import FinishedDetector
from detection.as_is.settings import DetectionSettings
from detection.data.coco_layout import COCO_CATEGORIES
from detection.data.ground_truth import Category
from detection.models.detector import Detector, build_detector
from detection.recipe import DetectionRecipe
from detection.run import describe_test_mode
from detection.scored_run import CATEGORIES_ENTRY
from engine.checkpoints import read_checkpoint
from engine.evaluation import run_model
from engine.evaluation.model_source import ModelSource
from foundation.errors import CheckpointError, ConfigError, RecordError, UserError
from results.records.record import BackboneRecord, Record, StartCheckpoint
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
    run_model.load_run_weights(model, tensors, path)
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
    if source.config is not None or source.module is not None or source.backbone is not None:
        raise UserError(
            "a detector is a run of bench (--run RUN, or --checkpoint RUN/checkpoints/FILE); a backbone alone has no "
            "detection heads. The detections of any other detector are scored with bench score coco --results FILE"
        )
    return run_model.find_run_weights(source, "detection", "detector")


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
    card = run_model.find_run_card(record)
    # the weights and not the record say it: a checkpoint of an unfinished run has no result yet
    num_classes, has_masks = len(tensors[CLASSIFIER]) - 1, MASK_CLASSIFIER in tensors
    with torch.random.fork_rng(devices=[]):  # the random weights are replaced, and nobody's random numbers move
        created = create_backbone(card, checkpoint="random", **run_model.list_creation_arguments(record))
        return build_detector(recipe, card, num_classes, has_masks, created=created)


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
    code = identify_plugin_code(run_model.find_run_card(record), run_model.list_creation_arguments(record))
    return BackboneRecord(
        name=record.backbone.name,
        label=record.backbone.label,
        card=record.backbone.card,
        arguments=arguments,
        init="checkpoint",
        checkpoint=checkpoint,
        model=code.get("model", record.backbone.model),
    )
