"""Plan a detection run: its recipe, and what belongs to the run's identity. Imports no torch in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backbones.norm_place import place_pooled_norm
from backbones.refusals import PatchSizeError
from backbones.weights import MEMORY_ARCHITECTURE
from detection.idle_settings import SettingChanges, require_effects
from detection.recipe import DetectionRecipe
from engine.config import load_protocol
from engine.data.item_limits import apply_item_limit
from engine.device import get_dist_info, require_even_batch
from engine.lr_schedule import count_steps_per_epoch, list_schedule_fixes
from engine.task import DataReport, RunPlan, RunRequest
from engine.training_checks.norm_groups import NormWords, require_whole_groups

IMAGE_WORDS = NormWords("images", "losses")
"""For refusals of ``engine.training_checks.norm_groups``."""


def resolve_protocol(config_file: Path, request: RunRequest, data_report: DataReport) -> RunPlan:
    """Read the protocol's config file and plan a request.

    Args:
        config_file: the protocol's file in ``configs/``.
        request: the backbone, tier, overrides and seed that were requested.
        data_report: the result of the data check; it tells whether there is a val split.

    Raises:
        ConfigError: invalid settings, changes without effect on this backbone, batch or data set, or pieces or
            processes that would tear apart images whose losses are normalized together.
        UserError: a batch that the processes cannot share.
    """
    protocol = load_protocol(config_file, DetectionRecipe, request.tier, request.overrides)
    recipe, data_report = apply_item_limit(protocol.recipe, data_report)
    # refused now, because a training would otherwise end after the data were read
    require_even_batch(recipe.batch_size)
    require_whole_groups(recipe, recipe.norm_group, data_report.splits["train"], get_dist_info()[1], IMAGE_WORDS)
    arguments = _choose_backbone_arguments(request, recipe)
    require_effects(SettingChanges(config_file, request, recipe, protocol.changed), arguments, data_report)
    fixes = list_schedule_fixes(recipe, count_steps_per_epoch(recipe, data_report.splits["train"]))
    # val2017 is the split that is reported, so nothing may be chosen there
    chosen = "choose the iteration on val" if "val" in data_report.splits else "take the last weights"
    return RunPlan(
        protocol_version=protocol.version,
        # the precision is a setting of the recipe, so that a run in fp32 on a CPU has another id than one in fp16
        config={"recipe": recipe.identity_settings(), **({"fixes": fixes} if fixes else {})},
        non_identity_settings=recipe.non_identity_settings(),
        backbone_kwargs=arguments,
        num_expected_items=data_report.splits["test"],
        steps=("train", chosen, "test once"),
        **protocol.plan_fields,
    )


def _choose_backbone_arguments(request: RunRequest, recipe: DetectionRecipe) -> dict[str, Any]:
    """Return the arguments with which the backbone is created.

    Where the patch does not divide the input, the size is that of the padded input. Where the drop path is 0 and the
    architecture has one unless told not to, it is told.
    """
    from detection.models.backbone import choose_backbone_kwargs

    # a plain ViT keeps the size of its pre-training, whose positions are resized in every pass
    arguments = choose_backbone_kwargs(recipe, request.card)
    try:
        arguments = place_pooled_norm(request.card, request.start, arguments)
        digest = request.describe_model(arguments)
    except PatchSizeError as error:
        # -(-a // b) rounds a / b up
        height, width = (-(-recipe.size // step) * step for step in error.patch)
        arguments["img_size"] = height if height == width else (height, width)
        arguments = place_pooled_norm(request.card, request.start, arguments)
        digest = request.describe_model(arguments)
    # a module from memory is made already, and its drop path is its own
    is_made = request.card.architecture == MEMORY_ARCHITECTURE
    if digest.has_drop_path and not recipe.drop_path and not recipe.frozen and not is_made:
        arguments["drop_path_rate"] = 0.0
    return arguments
