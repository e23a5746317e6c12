"""Open the model of a segmentation run: the weights that it tested, or another checkpoint in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmcv
import torch
from pydantic import ValidationError

from backbones.create import create_backbone
from backbones.model_digest import identify_plugin_code
from backbones.weights import hash_weight_file
from engine.checkpoints import read_checkpoint
from engine.evaluation import run_model
from engine.evaluation.model_source import ModelSource
from foundation.errors import CheckpointError, ConfigError, UserError
from results.records.record import BackboneRecord, Record, StartCheckpoint
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
    run_model.load_run_weights(model, tensors, path)
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
    return run_model.find_run_weights(source, "segmentation", "segmentation model")


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
    card = run_model.find_run_card(record)
    arguments = run_model.list_creation_arguments(record)
    with torch.random.fork_rng(devices=[]):  # the random weights are replaced, and nobody's random numbers move
        created = create_backbone(card, checkpoint="random", **arguments)
        return build_segmentor(recipe, card, num_classes, norm_type="BN", created=created)


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
        model=identify_plugin_code(run_model.find_run_card(record), run_model.list_creation_arguments(record)).get(
            "model", record.backbone.model
        ),
    )
