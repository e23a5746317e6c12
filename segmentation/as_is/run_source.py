"""Open the model of a segmentation run: the weights that it tested, or another checkpoint in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmcv
import torch
from pydantic import ValidationError

from backbones.card import BackboneCard, replace_normalization
from backbones.create import create_backbone
from backbones.model_digest import identify_plugin_code
from backbones.registry import get_card
from backbones.weights import hash_weight_file, require_weight_file
from engine.checkpoints import read_checkpoint
from engine.evaluation.checkpoint_run import find_checkpoint_run
from engine.evaluation.model_source import ModelSource
from engine.training_checks.checkpoint_digests import CheckpointOwner, find_digest_fault
from foundation.errors import CheckpointError, ConfigError, RecordError, UserError
from results.records.identity import AS_IS
from results.records.record import BackboneRecord, Record, StartCheckpoint
from results.records.store import read_record
from results.records.strict_model import format_validation_errors
from segmentation.as_is.finished_model import FinishedSegmentor, PreparedImage
from segmentation.as_is.settings import SegmentationSettings, get_both_sides
from segmentation.data.ade20k_classes import get_ade20k_classes
from segmentation.data.dataset_layout import CAMVID_CLASSES
from segmentation.data.files import read_bgr_image
from segmentation.models.segmentor import Segmentor, build_segmentor, pad_to_patch
from segmentation.recipe import SegmentationRecipe
from segmentation.run import describe_test_mode

CLASSIFIER = "decode_head.conv_seg.weight"
"""The tensor whose first dimension is the number of classes."""


def open_run_segmentor(source: ModelSource, settings: SegmentationSettings, device: str) -> FinishedSegmentor:
    """Open the model of a run.

    Args:
        source: names the run, or a checkpoint in its folder.
        settings: how it is applied, where that differs from the run.
        device: where it is computed.

    Raises:
        UserError: no such run, not one of segmentation, or not complete.
        CheckpointError: its weights are missing or are not what was written.
    """
    record, path = find_run_weights(source)
    recipe = _make_recipe(record, settings)
    content = read_checkpoint(path)
    tensors = content.get("state_dict")
    if not isinstance(tensors, dict) or CLASSIFIER not in tensors:
        raise CheckpointError(f"{path} is not a checkpoint of a segmentation run; it has no {CLASSIFIER}")
    num_classes = len(tensors[CLASSIFIER])
    model = _build_model(record, recipe, num_classes)
    try:
        model.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights in {path} do not fit the model of its record ({str(error)[:200]})"
        ) from error
    # cost is counted on what the network gets: a window with its padding
    model = model.to(device).eval()
    height, width = pad_to_patch((recipe.crop, recipe.crop), model.backbone.trunk)
    return FinishedSegmentor(
        model=model,
        network=model,
        prepare=lambda file: _prepare_image(file, recipe.test.scale),
        normalize=model.normalize,
        windows=model.window_settings,
        align_corners=False,
        num_classes=num_classes,
        class_names=_find_class_names(record, num_classes),
        first_label=1 if record.task in ("ade20k", "mini_ade") else 0,
        input_size=(height, width),
        record=_describe_backbone(record, recipe, path),
        test_mode=describe_test_mode(model, recipe),
    )


def find_run_weights(source: ModelSource) -> tuple[Record, Path]:
    """Return a run's record and the file of the weights that it tested, or the checkpoint that the user named.

    Args:
        source: names the run, or a checkpoint in its folder.

    Raises:
        UserError: there is no such run, or it is not a complete one of segmentation.
        CheckpointError: the weights are missing, damaged or those of another run.
    """
    named = source.checkpoint
    if source.run is None and (named is None or source.backbone is not None):
        raise UserError(
            "a segmentation model is a run of bench (--run RUN, or --checkpoint RUN/checkpoints/FILE), or a config of "
            "mmsegmentation with its weights (--config FILE --checkpoint FILE); a backbone alone has no segmentation "
            "head"
        )
    if source.weights_key is not None:
        raise UserError("--weights-key names weights in a file of others; a run's checkpoint has only its own")
    folder = source.run if source.run is not None else find_checkpoint_run(require_weight_file(Path(str(named))))
    record = read_record(folder)
    if record.protocol == AS_IS:
        raise UserError(f"{folder} is an evaluation, which has no weights of its own; name the model that it evaluated")
    if record.domain != "segmentation":
        raise UserError(f"{folder} is a run of {record.task} ({record.domain}), which has no segmentation model")
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


def _make_recipe(record: Record, settings: SegmentationSettings) -> SegmentationRecipe:
    """Return the run's recipe, with the inference that the user asks for."""
    neutral = {key: value for key, value in record.non_identity_settings.items() if key != "norm"}
    # a logger that is not installed here, or training settings that are refused today, do not matter for a test
    content: dict[str, Any] = {**record.config["recipe"], **neutral, "loggers": []}
    test = dict(content["test"])
    if settings.mode is not None:
        test["mode"] = settings.mode
    for name, value in (("crop", settings.crop), ("stride", settings.stride)):
        if value is not None and test["mode"] == "whole":
            raise UserError(f"the run segments complete images, so {name} has no effect; add --set mode=slide")
        if value is not None and len(set(get_both_sides(value))) > 1:
            raise UserError(f"windows of a run of bench are square; give {name} one number, not {value}")
        if value is not None:
            (test if name == "stride" else content)[name] = get_both_sides(value)[0]
    try:
        return SegmentationRecipe.model_validate({**content, "test": test})
    except ValidationError as error:
        whose = "with --set, the" if settings.mode or settings.crop or settings.stride else "the"
        faults = format_validation_errors(error)
        raise ConfigError(f"{whose} settings of run {record.run_id} are invalid: {faults}") from error


def _build_model(record: Record, recipe: SegmentationRecipe, num_classes: int) -> Segmentor:
    card = _find_card(record)
    arguments = _list_creation_arguments(record)
    with torch.random.fork_rng(devices=[]):  # the random weights are replaced, and nobody's random numbers move
        created = create_backbone(card, checkpoint="random", **arguments)
        return build_segmentor(recipe, card, num_classes, norm_type="BN", created=created)


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


def _find_class_names(record: Record, num_classes: int) -> Sequence[str]:
    """Return the names of the classes, as far as the record and its task say them."""
    if record.task in ("ade20k", "mini_ade"):
        return get_ade20k_classes()
    if record.task == "camvid":
        return CAMVID_CLASSES
    details: Any = record.result.details if record.result else {}
    names = details.get("iou_by_class")
    # in the order of the classes; those that no pixel has are left out
    return tuple(names) if isinstance(names, dict) and len(names) == num_classes else ()


def _prepare_image(path: Path, scale: Sequence[int] | None) -> PreparedImage:
    image = read_bgr_image(path)
    size = (image.shape[0], image.shape[1])
    if scale is not None:
        image = mmcv.imrescale(image, (scale[0], scale[1]))
    return PreparedImage(torch.from_numpy(image).permute(2, 0, 1).contiguous(), size)


def _describe_backbone(record: Record, recipe: SegmentationRecipe, path: Path) -> BackboneRecord:
    # in mode whole a crop and a stride change nothing, so they must not change the id
    windows = {"crop": recipe.crop, "stride": recipe.test.stride} if recipe.test.mode == "slide" else {}
    arguments = {
        **record.backbone.arguments,
        "protocol": record.protocol,
        "out_indices": recipe.out_indices,
        "model": recipe.model,
        "mode": recipe.test.mode,
        "scale": recipe.test.scale,
        **windows,
    }
    checkpoint = StartCheckpoint(
        uri=str(path), sha256=hash_weight_file(path), bytes=path.stat().st_size, format="a segmentation run of bench"
    )
    return BackboneRecord(
        name=record.backbone.name,
        label=record.backbone.label,
        card=record.backbone.card,
        arguments=arguments,
        init="checkpoint",
        checkpoint=checkpoint,
        # of a plug-in the code of today, which computes the number
        model=identify_plugin_code(_find_card(record), _list_creation_arguments(record)).get(
            "model", record.backbone.model
        ),
    )
