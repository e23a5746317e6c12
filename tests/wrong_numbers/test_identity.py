"""Point 9: what an id covers is listed; a setting that is added later leaves the ids of earlier runs alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from engine.recipe import OptimizerConfig, StrictConfig, TrainingRecipe
from results.records.identity import RunIdentity, make_run_identity

SETTINGS: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 8,
    "optimizer": {"name": "AdamW", "lr": 1e-3},
    "schedule": {"name": "cosine"},
    "loggers": [],
}


class LaterOptimizer(OptimizerConfig):
    """The optimizer of a later version of bench."""

    LATER_SETTINGS: ClassVar[Mapping[str, Any]] = {"amsgrad": False}
    amsgrad: bool = False


class LaterRecipe(TrainingRecipe):
    """The recipe of a later version: it has gained a setting and a group of settings."""

    LATER_SETTINGS: ClassVar[Mapping[str, Any]] = {"mix": None, "ema": 0.0}
    optimizer: LaterOptimizer
    ema: float = 0.0
    mix: StrictConfig | None = None


def identify(settings: Mapping[str, Any], **changes: Any) -> RunIdentity:
    fields: dict[str, Any] = {
        "task": "digits",
        "protocol": "finetune",
        "protocol_version": 1,
        "config": {"recipe": dict(settings)},
        "data_fingerprint": "0" * 64,
        "data_options": {},
        "tier": "full",
        "task_source": None,
        "card": {"name": "vit_nano"},
        "arguments": {},
        "init": "random",
        "checkpoint_sha256": None,
        "weights_key": None,
        "loading_fixes": (),
        "allow_partial": False,
        "seed": 0,
        "model": {"structure": "a" * 64},
    }
    return make_run_identity(**fields | changes)


def test_a_setting_that_is_added_later_leaves_ids_alone_at_its_default() -> None:
    before = TrainingRecipe.model_validate(SETTINGS).identity_settings()
    after = LaterRecipe.model_validate(SETTINGS).identity_settings()
    assert after == before
    assert identify(after) == identify(before)


@pytest.mark.parametrize("change", [{"ema": 0.9}, {"optimizer": {"name": "AdamW", "lr": 1e-3, "amsgrad": True}}])
def test_any_other_value_of_it_is_another_run(change: dict[str, Any]) -> None:
    before = TrainingRecipe.model_validate(SETTINGS).identity_settings()
    after = LaterRecipe.model_validate(SETTINGS | change).identity_settings()
    assert identify(after).run_id != identify(before).run_id
    # and what the record holds gives the same recipe again
    assert LaterRecipe.model_validate(after | {"loggers": []}) == LaterRecipe.model_validate(SETTINGS | change)


def test_a_recipe_reads_its_own_identity_settings_back() -> None:
    recipe = LaterRecipe.model_validate(SETTINGS)
    assert LaterRecipe.model_validate(recipe.identity_settings() | recipe.non_identity_settings()) == recipe


@pytest.mark.parametrize(
    "change",
    [
        {"task": "x"},
        {"protocol": "x"},
        {"protocol_version": 2},
        {"config": {}},
        {"data_fingerprint": "1" * 64},
        {"data_options": {"exclude": ["raw"]}},
        {"tier": "smoke"},
        {"task_source": "b" * 64},
    ],
)
def test_what_is_measured_and_how_makes_another_board(change: dict[str, Any]) -> None:
    first, second = identify(SETTINGS), identify(SETTINGS, **change)
    assert first.comparability != second.comparability and first.run_id != second.run_id


@pytest.mark.parametrize(
    "change",
    [
        {"card": {"name": "vit_pico"}},
        {"arguments": {"depth": 2}},
        {"init": "card"},
        {"checkpoint_sha256": "c" * 64},
        {"allow_partial": True},
        {"seed": 1},
        {"model": {"structure": "d" * 64}},
    ],
)
def test_what_is_compared_makes_another_run_on_the_same_board(change: dict[str, Any]) -> None:
    first, second = identify(SETTINGS), identify(SETTINGS, **change)
    assert first.comparability == second.comparability and first.run_id != second.run_id


def test_records_without_a_digest_of_the_model_keep_their_ids() -> None:
    assert "model" not in identify(SETTINGS, model=None).candidate_fields
    assert "task_source" not in identify(SETTINGS).protocol_fields


def test_without_options_of_the_data_the_id_is_that_of_earlier_versions() -> None:
    assert "data_options" not in identify(SETTINGS).protocol_fields


def test_a_file_that_an_option_names_counts_by_its_content_and_not_by_its_path() -> None:
    assert identify(SETTINGS, data_options={"labels": "here.csv"}) == identify(SETTINGS)
