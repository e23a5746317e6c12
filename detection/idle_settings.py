"""Refuse changes of settings that have no effect on this backbone or these data: one number would have two ids."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, NamedTuple

from backbones.weights import MEMORY_ARCHITECTURE
from detection.data.checks import BOXES_ALONE
from detection.recipe import DetectionRecipe
from engine.config import load_protocol
from engine.settings.setting_text import split_override
from engine.task import DataReport, RunRequest
from engine.training_checks.batch_norm import count_norm_groups
from foundation.errors import ConfigError

_WINDOW_SETTINGS = frozenset({"model.window", "model.global_blocks", "model.rel_pos"})


class SettingChanges(NamedTuple):
    """What a user changed: the protocol's file, the request, the settings with all changes, and their dotted names."""

    config_file: Path
    request: RunRequest
    recipe: DetectionRecipe
    changed: Set[str]


def require_effects(changes: SettingChanges, backbone_kwargs: Mapping[str, Any], data: DataReport) -> None:
    """Refuse changes of settings that this backbone, batch or data set does not heed.

    Args:
        changes: what the user changed.
        backbone_kwargs: arguments with which the backbone is created.
        data: what was found in the data set.

    Raises:
        ConfigError: such a setting was changed; the message says why it has no effect.
    """
    changed, request = changes.changed, changes.request
    # a plan from a record alone does not know the weights, and the record was made before
    if changed & _WINDOW_SETTINGS and request.reads_weights:
        _require_window_effects(changes, backbone_kwargs)
    if "model.mask_convs" in changed and BOXES_ALONE in data.notes:
        _refuse("model.mask_convs", "the data set has boxes alone, and so no mask head")
    if "norm_group" in changed:
        _require_other_groups(changes.recipe, _load_other(changes, "norm_group").norm_group)


def _load_other(changes: SettingChanges, setting: str) -> DetectionRecipe:
    """Return the recipe with all changes but that of one setting."""
    others = [each for each in changes.request.overrides if split_override(each)[0] != setting]
    return load_protocol(changes.config_file, DetectionRecipe, changes.request.tier, others).recipe


def _require_window_effects(changes: SettingChanges, backbone_kwargs: Mapping[str, Any]) -> None:
    from detection.models.plain_vit import choose_global_blocks, takes_windows

    _, request, recipe, changed = changes
    name, settings = request.card.name, recipe.model
    trunk = _make_trunk(request, backbone_kwargs)
    if not takes_windows(trunk):
        first = sorted(changed & _WINDOW_SETTINGS)[0]
        _refuse(first, f"{name} is run as timm runs it: only the blocks of a plain ViT have windows here")
    depth, patch = len(trunk.blocks), int(trunk.patch_embed.patch_size[0])
    own, every = choose_global_blocks(depth), list(range(depth))
    if "model.global_blocks" in changed and settings.global_blocks == own:
        _refuse("model.global_blocks", f"these blocks of {name} attend globally anyway")
    # with four blocks or fewer the last of each quarter are all of them
    if "model.window" in changed and (settings.global_blocks or own) == every:
        _refuse("model.window", f"all {depth} blocks of {name} attend globally (model.global_blocks names others)")
    # two more ways to say that all blocks attend globally
    grid = -(-recipe.size // patch)
    if "model.window" not in changed and settings.window == grid and "model.global_blocks" in changed:
        _refuse("model.global_blocks", f"a window of {grid} is the whole image of {grid} x {grid} patches")
    if "model.window" in changed and settings.window == 0 and _load_other(changes, "model.window").model.window == grid:
        _refuse("model.window", f"the protocol's window is the whole image of {grid} x {grid} patches")
    if "model.window" in changed and settings.window == grid:
        raise ConfigError(f"model.window {grid} is the whole image of {grid} x {grid} patches; set model.window=0")
    if "model.global_blocks" in changed and settings.global_blocks == every:
        raise ConfigError(f"model.global_blocks names all {depth} blocks of {name}; set model.window=0 instead")


def _make_trunk(request: RunRequest, backbone_kwargs: Mapping[str, Any]) -> Any:
    """Return the backbone without memory for its weights, or the module of the user's that it is."""
    import torch

    from backbones.build_model import build_model

    card = request.card
    if card.architecture == MEMORY_ARCHITECTURE:
        return request.prepare_backbone(backbone_kwargs).model
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return build_model(card, (card.input_size[1], card.input_size[2]), {"num_classes": 0})


def _require_other_groups(recipe: DetectionRecipe, own: int) -> None:
    """Require that groups of losses are others than the protocol's, and that their size is the smallest that says so.

    A batch of 4 is one group with any ``norm_group`` from 4 on, and two groups with 2 or 3.
    """
    batch = recipe.batch_size
    groups = count_norm_groups(batch, recipe.norm_group)
    if groups == count_norm_groups(batch, own):
        _refuse("norm_group", f"a batch of {batch} images has the same groups with {own}")
    smallest = -(-batch // groups)  # rounded up
    if recipe.norm_group != smallest:
        raise ConfigError(
            f"norm_group {recipe.norm_group} makes the groups of a batch of {batch} images that norm_group={smallest} "
            "makes, and one number would have two ids; set that"
        )


def _refuse(setting: str, reason: str) -> None:
    raise ConfigError(f"--set {setting} changes nothing, because {reason}; leave it out")
