"""Plan a segmentation run: its recipe, and what belongs to the run's identity. Imports no torch in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backbones.norm_place import place_pooled_norm
from backbones.refusals import PatchSizeError
from backbones.weights import MEMORY_ARCHITECTURE
from engine.config import load_protocol
from engine.data.item_limits import apply_item_limit
from engine.device import get_dist_info, require_even_batch
from engine.lr_schedule import count_steps_per_epoch, list_schedule_fixes
from engine.task import DataReport, RunPlan, RunRequest
from engine.training_checks.batch_norm import count_pieces, describe_batch_norm
from foundation.errors import ConfigError
from segmentation.recipe import SegmentationRecipe


def resolve_protocol(config_file: Path, request: RunRequest, data_report: DataReport) -> RunPlan:
    """Read the protocol's config file and plan a request.

    Args:
        config_file: the protocol's file in ``configs/``.
        request: the backbone, tier, overrides and seed that were requested.
        data_report: the result of the data check; it tells whether there is a val split.

    Raises:
        ConfigError: invalid settings, or a batch that leaves batch norm a single image.
        UserError: a batch that the processes cannot share.
    """
    protocol = load_protocol(config_file, SegmentationRecipe, request.tier, request.overrides)
    recipe, data_report = apply_item_limit(protocol.recipe, data_report)
    require_even_batch(recipe.batch_size)
    processes = get_dist_info()[1]
    # batch norm sees one micro-batch, over all processes
    pieces = recipe.accumulate if processes == 1 else count_pieces(recipe.batch_size, recipe.accumulate, processes)
    together = recipe.batch_size // max(1, pieces)
    if together < 2:
        raise ConfigError(
            f"batch_size {recipe.batch_size} in {recipe.accumulate} micro-batches leaves batch norm {together} image "
            "to average over; it needs 2 or more, so lower accumulate or raise batch_size"
        )
    arguments = _choose_backbone_arguments(request, recipe)
    fixes = list_schedule_fixes(recipe, count_steps_per_epoch(recipe, data_report.splits["train"]))
    # neck and heads always have batch norm
    batch_norm = describe_batch_norm(True, recipe.batch_size, recipe.accumulate, processes)
    # ADE20K has no split besides the one that is reported, so nothing may be chosen there
    chosen = ("choose the iteration on val",) if "val" in data_report.splits else ("take the last weights",)
    return RunPlan(
        protocol_version=protocol.version,
        # norm_batch is the number of images that share batch-norm statistics; it changes the score, so it is part of
        # the identity. Where it is not the complete batch, so does how often the running statistics move (batch_norm)
        config={
            "recipe": recipe.identity_settings(),
            "norm_batch": together,
            **({"batch_norm": batch_norm} if batch_norm else {}),
            **({"fixes": fixes} if fixes else {}),
        },
        non_identity_settings={**recipe.non_identity_settings(), "norm": "BN"},
        backbone_kwargs=arguments,
        num_expected_items=data_report.splits["test"],
        steps=("train", *chosen, "test once"),
        notes=_describe_padding(request.card.name, recipe.crop, arguments["img_size"]),
        **protocol.plan_fields,
    )


def _choose_backbone_arguments(request: RunRequest, recipe: SegmentationRecipe) -> dict[str, Any]:
    """Return the arguments with which the backbone is created.

    Where the patch does not divide the crop, the input size is that of the padded crop. Where the drop path is 0 and
    the architecture has one unless told not to, it is told.
    """
    arguments: dict[str, Any] = {"img_size": recipe.crop, "num_classes": 0}
    if recipe.drop_path:
        arguments["drop_path_rate"] = recipe.drop_path
    try:
        arguments = place_pooled_norm(request.card, request.start, arguments)
        digest = request.describe_model(arguments)
    except PatchSizeError as error:
        # -(-a // b) rounds a / b up
        height, width = (-(-recipe.crop // step) * step for step in error.patch)
        arguments["img_size"] = height if height == width else (height, width)
        arguments = place_pooled_norm(request.card, request.start, arguments)
        digest = request.describe_model(arguments)
    # a module from memory is made already, and its drop path is its own
    is_made = request.card.architecture == MEMORY_ARCHITECTURE
    if digest.has_drop_path and not recipe.drop_path and not recipe.frozen and not is_made:
        arguments["drop_path_rate"] = 0.0
    return arguments


def _describe_padding(name: str, crop: int, img_size: int | tuple[int, int]) -> tuple[str, ...]:
    """Return a sentence about the padding of crops, if there is any."""
    if img_size == crop:
        return ()
    height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
    return (
        f"{name} gets crops of {crop} px padded at the right and bottom to {height} x {width}, the next multiple of "
        "its patch; the padding is neither trained on nor scored",
    )
