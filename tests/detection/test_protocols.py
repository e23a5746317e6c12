"""The settings of the protocols: optimizer groups, learning rates, plans, and what is refused before a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

from backbones.registry import get_card
from backbones.weights import InitialWeights
from detection.models.detector import build_detector
from detection.recipe import DetectionRecipe
from detection.tasks import COCO, COCOFOLDER, CONFIG_DIR, MINI_COCO
from engine.config import load_protocol
from engine.lr_schedule import build_lr_schedulers
from engine.optimizer import build_param_groups
from engine.task import DataReport, RunRequest
from foundation.errors import ConfigError, UserError
from tests.detection.make import load_recipe

COCO_SPLITS = {"train": 118_287, "test": 5_000}


def make_request(protocol: str = "vitdet", backbone: str = "deit_tiny_12h", *overrides: str) -> RunRequest:
    start = InitialWeights("random", None, None)
    return RunRequest(get_card(backbone), start, protocol, "full", 0, overrides, Path("nowhere"), "cpu")


def make_report(**splits: int) -> DataReport:
    return DataReport(fingerprint="0" * 64, splits=splits or COCO_SPLITS)


# the optimizer


def test_every_tensor_has_the_decay_of_detectron2s_configuration() -> None:
    """Its rule again, from the names of layers: norms of blocks and positions have none, everything else 0.05."""
    recipe = load_recipe("coco_vitdet")
    with torch.device("meta"):
        model = build_detector(recipe, get_card("deit_tiny_12h"), 80, has_masks=True, checkpoint="random")
    groups = build_param_groups(model, recipe)
    found = {name: (group["lr"], group["weight_decay"]) for group in groups for name in group["names"]}
    assert found.keys() == dict(model.named_parameters()).keys(), "each tensor once"
    blocks = [f"backbone.body.trunk.blocks.{index}" for index in range(12)]
    undecayed = {f"{block}.norm{k}.{part}" for block in blocks for k in (1, 2) for part in ("weight", "bias")}
    undecayed.add("backbone.body.trunk.pos_embed")
    assert {name for name, (_, decay) in found.items() if decay == 0} == undecayed
    assert set(found.values()) == {(1e-4, 0.05), (1e-4, 0.0)}, "without layer decay all have one rate"
    # what a rule by shape would leave out: biases, relative positions are decayed, and the channel norms of the parts
    one_dimensional = {name for name, value in model.named_parameters() if value.ndim == 1} - undecayed
    assert {name.split(".")[0] for name in one_dimensional} == {
        *("backbone", "pyramid", "proposal_network", "box_head", "mask_head")
    }
    assert len(undecayed) == 49 and sum(".rel_pos." in name for name in found) == 24


@pytest.mark.parametrize(
    ("protocol", "length", "milestones"),
    [
        ("coco_vitdet", 184_375, (163_888, 177_546)),
        ("coco_vitdet_short", 22_125, (19_666, 21_305)),
        ("coco_frozen", 11_062, (9_832, 10_652)),
    ],
)
def test_each_step_has_the_rate_of_detectron2s_formula(protocol: str, length: int, milestones: tuple[int, int]) -> None:
    recipe = load_recipe(protocol)
    # MAE-Lite's configuration: int(epochs * 118,000 / 64) iterations, milestones at 24/27 and 26/27 of them
    assert recipe.iterations == length
    assert milestones == (length * 24 // 27, length * 26 // 27)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=recipe.optimizer.lr)
    schedulers = [
        PARAM_SCHEDULERS.build(config, default_args={"optimizer": optimizer})
        for config in build_lr_schedulers(recipe, 1)
    ]
    optimizer.step()
    worst = 0.0
    for step in range(length):
        # WarmupParamScheduler over MultiStepParamScheduler: linear from 0.001 to 1, which step 250 has
        factor = 0.1 ** sum(step >= each for each in milestones)
        factor *= 0.001 + (1 - 0.001) * min(step / 250, 1)
        worst = max(worst, abs(optimizer.param_groups[0]["lr"] / (1e-4 * factor) - 1))
        for scheduler in schedulers:
            # a scheduler of mmengine that has nothing to change takes 20 us a step
            if step < 252 or any(abs(step - each) < 3 for each in milestones):
                scheduler.step()
            else:
                scheduler.last_step += 1
                scheduler._global_step += 1
    assert worst < 1e-9


def test_the_decay_rule_is_in_the_id_where_it_counts() -> None:
    assert load_recipe("coco_vitdet").identity_settings()["optimizer"]["decay_rule"] == "detectron2"
    other = load_recipe("coco_vitdet", "optimizer.decay_rule=timm").identity_settings()["optimizer"]
    assert "decay_rule" not in other, "earlier ids stay"
    with pytest.raises(ConfigError, match="decay_rule detectron2 says by itself what is decayed"):
        load_recipe("coco_vitdet", "optimizer.decay_all=true")


# the protocols


def test_the_protocol_is_the_papers() -> None:
    recipe = load_recipe("coco_vitdet")
    assert (recipe.batch_size, recipe.norm_group, recipe.precision, recipe.size) == (64, 8, "fp16", 640)
    assert (recipe.train.flip, recipe.train.scale, recipe.drop_path) == (0.5, [0.1, 2.0], 0.0)
    assert (recipe.test.min_score, recipe.test.nms_iou, recipe.test.per_image) == (0.05, 0.5, 100)
    proposals = recipe.model.proposals
    assert (proposals.per_level, proposals.per_image, proposals.nms_iou) == ([2000, 1000], [1000, 1000], 0.7)
    assert (proposals.sampled_anchors, proposals.sampled_regions) == (256, 512)


@pytest.mark.parametrize("tier", ["smoke", "short", "full"])
@pytest.mark.parametrize("task", [COCO, MINI_COCO, COCOFOLDER], ids=lambda task: task.name)
def test_every_tier_of_every_protocol_has_its_milestones_inside(task: Any, tier: str) -> None:
    for protocol in task.protocols:
        recipe = load_recipe(f"{task.name}_{protocol}", tier=tier)
        assert recipe.schedule.warmup < min(recipe.schedule.milestones, default=recipe.length)
        assert max(recipe.schedule.milestones, default=0) < recipe.length
        assert recipe.batch_size % recipe.norm_group == 0, "whole groups"
        assert recipe.frozen == (protocol == "frozen")
    assert {path.stem for path in CONFIG_DIR.glob(f"{task.name}_*.py")} == {
        f"{task.name}_{protocol}" for protocol in task.protocols
    }


# plans


def test_a_plan_keeps_the_positions_of_the_pre_training() -> None:
    plan = COCO.plan(make_request(), make_report())
    assert plan.backbone_kwargs["img_size"] == 224, "the positions are resized in each forward pass"
    assert plan.config["recipe"]["precision"] == "fp16"
    assert plan.num_expected_items == 5_000
    assert plan.steps == ("train", "take the last weights", "test once")
    staged = COCO.plan(make_request("vitdet", "mae_hiera"), make_report())
    assert staged.backbone_kwargs["img_size"] == 640
    with_val = COCOFOLDER.plan(make_request(), make_report(train=30, val=4, test=7))
    assert with_val.steps == ("train", "choose the iteration on val", "test once")
    assert with_val.num_expected_items == 7


def test_groups_of_losses_are_whole_or_the_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match="accumulate 16 would tear apart the 8 groups of at most 8 images that losses"
    ):
        COCO.plan(make_request("vitdet", "deit_tiny_12h", "accumulate=16"), make_report())
    monkeypatch.setenv("WORLD_SIZE", "16")
    with pytest.raises(ConfigError, match="a batch of 64 images is 8 groups of at most 8 that losses normalize"):
        COCO.plan(make_request(), make_report())
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UserError, match="cannot be split evenly over 3 processes"):
        COCO.plan(make_request(), make_report())


def test_pieces_and_processes_leave_the_id_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = COCO.plan(make_request(), make_report())
    pieces = COCO.plan(make_request("vitdet", "deit_tiny_12h", "accumulate=8"), make_report())
    assert pieces.config == whole.config and pieces.non_identity_settings["accumulate"] == 8
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert COCO.plan(make_request(), make_report()).config == whole.config
    monkeypatch.delenv("WORLD_SIZE")
    smaller = COCO.plan(make_request("vitdet", "deit_tiny_12h", "norm_group=4"), make_report())
    assert smaller.config != whole.config


def test_a_drop_path_of_its_own_is_told_to_be_off() -> None:
    asked = make_request("vitdet", "mae_hiera")
    assert COCO.plan(asked, make_report()).backbone_kwargs.get("drop_path_rate", 0.0) == 0.0
    changed = COCO.plan(replace(asked, overrides=("drop_path=0.2",)), make_report())
    assert changed.backbone_kwargs["drop_path_rate"] == 0.2
    assert changed.config["recipe"]["drop_path"] == 0.2


@pytest.mark.parametrize(
    ("protocol", "overrides", "reason"),
    [
        ("frozen", ["drop_path=0.2"], "drop_path changes nothing, because the backbone is frozen"),
        ("frozen", ["optimizer.layer_decay=0.5"], "optimizer.layer_decay changes nothing"),
        ("frozen", ["optimizer.backbone_scale=0.1"], "optimizer.backbone_scale changes nothing"),
        ("vitdet", ["model.window=0", "model.global_blocks=[1]"], "model.global_blocks changes nothing"),
    ],
)
def test_changes_without_effect_are_refused(protocol: str, overrides: list[str], reason: str) -> None:
    """One number would have two ids; the detections of a frozen run with the first three are byte by byte the same."""
    with pytest.raises(ConfigError, match=reason):
        load_protocol(CONFIG_DIR / f"coco_{protocol}.py", DetectionRecipe, "full", overrides)
    load_protocol(CONFIG_DIR / "coco_vitdet.py", DetectionRecipe, "full", ["drop_path=0.2", "model.global_blocks=[1]"])


def test_a_length_in_epochs_is_refused() -> None:
    """The data report counts all images, and a training leaves out those without objects."""
    overrides = ["iterations=None", "epochs=3", "schedule.milestones=[2]", "schedule.warmup=1"]
    with pytest.raises(ConfigError, match="counted in iterations; set iterations and not epochs"):
        load_protocol(CONFIG_DIR / "coco_vitdet.py", DetectionRecipe, "full", overrides)
