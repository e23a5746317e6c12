"""Fit a protocol's crops to a backbone whose patches do not divide them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import nn

from tracking.models.compatibility import find_patch_size
from tracking.recipe import TrackingRecipe


class FittedRecipe(NamedTuple):
    """A recipe whose crops fit a backbone.

    Attributes:
        recipe: the recipe.
        file_settings: the sizes of the protocol's file that were replaced, by name of the setting.
        notes: a sentence about it, if any was replaced.
    """

    recipe: TrackingRecipe
    file_settings: Mapping[str, int]
    notes: tuple[str, ...]


def fit_crop_sizes(recipe: TrackingRecipe, backbone: nn.Module, overrides: Sequence[str]) -> FittedRecipe:
    """Replace crop sizes that a backbone's patches do not divide by the nearest ones that they do.

    The template gets the nearest multiple of the patch size. The search region follows it, so that it stays the same
    number of times larger. A size that the user set stays as it is, whether or not it fits.

    Args:
        recipe: the recipe of the protocol with the user's settings.
        backbone: the model as ``create_backbone`` returns it.
        overrides: the user's settings as ``key=value``.

    Raises:
        UserError: the backbone does not fit into a one-stream tracker, whatever the sizes.
    """
    patch = find_patch_size(backbone)
    named = {word.partition("=")[0].strip() for word in overrides}
    before = {"template_size": recipe.template_size, "search_size": recipe.search_size}
    after = dict(before)
    if any(size % patch and name not in named for name, size in before.items()):
        ratio = recipe.search_size / recipe.template_size
        if "template_size" not in named:
            after["template_size"] = round_to_multiple(recipe.template_size, patch)
        if "search_size" not in named:
            after["search_size"] = round_to_multiple(ratio * after["template_size"], patch)
    replaced = {name: size for name, size in before.items() if after[name] != size}
    if not replaced:
        return FittedRecipe(recipe, {}, ())
    changes = " and ".join(f"{name}={after[name]} in place of {size}" for name, size in replaced.items())
    note = f"the backbone has patches of {patch} px, so the crops follow it: {changes}"
    return FittedRecipe(recipe.model_copy(update=after), replaced, (note,))


def round_to_multiple(size: float, step: int) -> int:
    """Return the multiple of a step, at least one, that is nearest to a size; the larger of two.

    Args:
        size: the size.
        step: the step.

    Example:
        >>> [round_to_multiple(size, 14) for size in (128, 64, 7, 1)]
        [126, 70, 14, 14]
    """
    return max(1, int(size / step + 0.5)) * step
