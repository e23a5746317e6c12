"""Crops that follow the patches of a backbone where the protocol's do not fit them."""

from __future__ import annotations

from typing import Any

import pytest

from backbones.create import create_backbone
from benchmarks.resolve_cell import CellRequest, ResolvedCell, resolve_cell
from foundation.errors import UserError
from tracking.fit_crops import fit_crop_sizes
from tracking.protocols import load_protocol_recipe

PATCH_14 = "timm/eva02_tiny_patch14_224"


@pytest.fixture(scope="module")
def backbone() -> Any:
    return create_backbone(PATCH_14, checkpoint="random", num_classes=0).model


@pytest.mark.parametrize(
    ("protocol", "sizes", "overrides"),
    [
        ("ostrack256_ce", (126, 252), ()),
        ("ostrack384", (196, 392), ()),
        ("fast128", (70, 140), ()),
        ("fast64", (28, 56), ()),
        ("fast128", (70, 112), ("search_size=112",)),
        ("fast128", (56, 126), ("template_size=56",)),
        ("fast128", (64, 128), ("template_size=64", "search_size=128")),
    ],
)
def test_sizes_of_the_file_follow_the_patch_and_those_of_the_user_do_not(
    backbone: Any, protocol: str, sizes: tuple[int, int], overrides: tuple[str, ...]
) -> None:
    """The template takes the nearest multiple of 14; the search region stays as many times larger, or takes its own."""
    fitted = fit_crop_sizes(load_protocol_recipe(protocol, overrides), backbone, overrides)
    assert (fitted.recipe.template_size, fitted.recipe.search_size) == sizes
    named = {word.partition("=")[0] for word in overrides}
    assert fitted.file_settings.keys() == {"template_size", "search_size"} - named
    assert len(fitted.notes) == bool(fitted.file_settings)


def test_crops_that_fit_stay() -> None:
    fitted = fit_crop_sizes(
        recipe := load_protocol_recipe("fast128"), create_backbone("vit_nano", checkpoint="random").model, ()
    )
    assert fitted.recipe is recipe and not fitted.file_settings and not fitted.notes


def resolve(*overrides: str) -> ResolvedCell:
    return resolve_cell(
        CellRequest("mini_lasot", PATCH_14, "fast64", checkpoint="random", tier="smoke", overrides=overrides)
    )


def test_a_run_that_follows_the_patch_is_the_run_that_sets_the_sizes() -> None:
    """The same id, so the same board; the plan says what it adapted, and what stands in the protocol's file."""
    adapted, explicit = resolve(), resolve("template_size=28", "search_size=56")
    assert adapted.identity.run_id == explicit.identity.run_id
    assert adapted.plan.config["recipe"] == explicit.plan.config["recipe"]
    assert adapted.plan.file_settings == {"template_size": 32, "search_size": 64} and not explicit.plan.file_settings
    assert adapted.plan.notes == (
        "the backbone has patches of 14 px, so the crops follow it: template_size=28 in place of 32 and search_size=56 "
        "in place of 64",
    )
    with pytest.raises(UserError, match="crops of 32 and 64 px cannot be divided into the 14 x 14 patches"):
        resolve("template_size=32", "search_size=64")
