"""Changes that cannot change the number are refused: one number would have two ids."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from backbones.registry import get_card
from detection.data.checks import BOXES_ALONE
from detection.models.detector import build_detector
from detection.tasks import MINI_COCO
from foundation.errors import ConfigError
from tests.detection.make import load_recipe
from tests.detection.test_protocols import make_report, make_request

MINI = {"train": 48, "test": 24}


def plan_mini(backbone: str, *changes: str, notes: tuple[str, ...] = ()) -> object:
    return MINI_COCO.plan(make_request("vitdet", backbone, *changes), replace(make_report(**MINI), notes=notes))


@pytest.mark.parametrize("change", ["model.window=4", "model.rel_pos=false", "model.global_blocks=[1]"])
def test_windows_are_settings_of_plain_vits_alone(change: str) -> None:
    setting = re.escape(change.partition("=")[0])
    with pytest.raises(ConfigError, match=f"--set {setting} changes nothing, because timm/resnet18 is run as timm"):
        plan_mini("timm/resnet18", change)
    plan_mini("deit_tiny_12h", change)


def test_the_same_windows_have_one_spelling() -> None:
    """deit_tiny_12h has 12 blocks and patches of 16 px: 10 x 10 patches of images of 160 px."""
    backbone, default = "deit_tiny_12h", [2, 5, 8, 11]
    with pytest.raises(ConfigError, match="these blocks of deit_tiny_12h attend globally anyway"):
        plan_mini(backbone, f"model.global_blocks={default[::-1]}")
    with pytest.raises(ConfigError, match=r"names all 12 blocks of deit_tiny_12h; set model.window=0 instead"):
        plan_mini(backbone, f"model.global_blocks={list(range(12))}")
    with pytest.raises(ConfigError, match=r"model.window 10 is the whole image of 10 x 10 patches; set model.window=0"):
        plan_mini(backbone, "model.window=10")
    with pytest.raises(ConfigError, match=r"model.window changes nothing, because all 4 blocks of vit_nano attend"):
        plan_mini("vit_nano", "model.window=4")
    plan_mini("vit_nano", "model.window=4", "model.global_blocks=[3]")
    found = load_recipe("mini_coco_vitdet", "model.global_blocks=[3,0,3]").model.global_blocks
    assert found == [0, 3], "the order is no part of the id"


def test_a_window_of_the_whole_image_by_its_size() -> None:
    """The protocol's windows of 14 patches are the whole of images of 224 px: windows or none give one number."""
    whole = "is the whole image of {0} x {0} patches"
    own = load_recipe("mini_coco_vitdet").model.window
    side = f"size={16 * own}"
    with pytest.raises(ConfigError, match=f"model.window changes nothing, .* {whole.format(own)}"):
        plan_mini("deit_tiny_12h", side, "model.window=0")
    with pytest.raises(ConfigError, match=f"model.global_blocks changes nothing, .* {whole.format(own)}"):
        plan_mini("deit_tiny_12h", side, "model.global_blocks=[1]")
    plan_mini("deit_tiny_12h", side)
    plan_mini("deit_tiny_12h", "model.window=0")


def test_boxes_alone_have_no_mask_head() -> None:
    with pytest.raises(ConfigError, match=r"model.mask_convs changes nothing, because the data set has boxes alone"):
        plan_mini("vit_nano", "model.mask_convs=2", notes=(BOXES_ALONE,))
    plan_mini("vit_nano", "model.mask_convs=2")


def test_groups_of_losses_have_one_spelling() -> None:
    """mini_coco has batches of 4 in groups of 2."""
    with pytest.raises(ConfigError, match="a batch of 4 images has the same groups with 2; leave it out"):
        plan_mini("vit_nano", "norm_group=3")
    with pytest.raises(ConfigError, match="norm_group 8 makes the groups of a batch of 4 images that norm_group=4"):
        plan_mini("vit_nano", "norm_group=8")
    plan_mini("vit_nano", "norm_group=4")
    plan_mini("vit_nano", "norm_group=1")
    plan_mini("vit_nano", "batch_size=2")  # the file's own value may be what it is


def test_relative_positions_of_a_frozen_backbone_stay_zero() -> None:
    with pytest.raises(ConfigError, match=r"model.rel_pos changes nothing, because the backbone is frozen"):
        load_recipe("mini_coco_frozen", "model.rel_pos=true")
    # what the refusal says, measured: equal maps with and without tables that start at zero
    maps = []
    for rel_pos in (True, False):
        recipe = load_recipe("mini_coco_vitdet", "size=32")
        recipe = recipe.model_copy(
            update={"frozen": True, "model": recipe.model.model_copy(update={"rel_pos": rel_pos})}
        )
        torch.manual_seed(0)
        detector = build_detector(recipe, get_card("vit_nano"), 7, has_masks=False, checkpoint="random")
        maps.append(detector.backbone(torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32))[0])
    torch.testing.assert_close(maps[0], maps[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["optimizer.weight_decay=0", "optimizer.decay_rule=timm"], "decay_rule changes nothing"),
        (["optimizer.momentum=0.5"], "momentum changes nothing, because AdamW does not use it"),
        (["optimizer.name=SGD", "optimizer.betas=[0.8,0.9]"], "betas changes nothing, because SGD does not use it"),
        (["schedule.power=2"], "power changes nothing, because a schedule step does not use it"),
        (["schedule.end_lr=1e-6"], "end_lr changes nothing, because a schedule step does not use it"),
        (["schedule.name=cosine", "schedule.gamma=0.5"], "gamma changes nothing, because a schedule cosine does not"),
        (["schedule.warmup=0", "schedule.warmup_start=1e-6"], "warmup_start changes nothing, because there is no warm"),
    ],
)
def test_settings_of_other_optimizers_and_schedules(changes: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("coco_vitdet", *changes)


def test_settings_that_count_are_taken() -> None:
    assert load_recipe("coco_vitdet", "schedule.gamma=0.5", "optimizer.betas=[0.8,0.9]").schedule.gamma == 0.5
