"""Micro-batches that draw random numbers of their own give another number, so they have another id."""

from __future__ import annotations

import pytest

from classification.recipe import DigitsRecipe, ImageRecipe
from engine.config import load_protocol
from engine.recipe import TrainingRecipe
from segmentation.recipe import SegmentationRecipe
from tests.conftest import ROOT
from tracking.recipe import TrackingRecipe


@pytest.mark.parametrize(
    ("file", "recipe_type", "changes", "is_in_id"),
    [
        ("classification/configs/digits_finetune.py", DigitsRecipe, ["drop_path=0"], False),
        ("classification/configs/digits_finetune.py", DigitsRecipe, ["drop_path=0.1"], True),
        ("classification/configs/imagenet_finetune.py", ImageRecipe, ["drop_path=0"], True),  # it has mixup
        ("classification/configs/flowers_finetune.py", ImageRecipe, [], False),
        ("segmentation/configs/ade20k_semantic_fpn.py", SegmentationRecipe, ["drop_path=0"], True),  # it has dropout
        ("tracking/configs/fast128.py", TrackingRecipe, ["drop_path=0"], False),
        ("tracking/configs/ostrack256.py", TrackingRecipe, [], True),
    ],
)
def test_pieces_that_draw_for_themselves_are_in_the_id(
    file: str, recipe_type: type[TrainingRecipe], changes: list[str], is_in_id: bool
) -> None:
    whole, cut = (
        load_protocol(ROOT / file, recipe_type, "full", [*changes, f"accumulate={pieces}"]).recipe for pieces in (1, 2)
    )
    assert (whole.identity_settings() != cut.identity_settings()) is is_in_id
    assert "accumulate" not in whole.identity_settings(), "ids of runs without pieces stay"
    assert ("accumulate" in cut.non_identity_settings()) is not is_in_id
