"""The models of the shipped protocols: sizes, weights, freezing, what trains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from backbones.cost.flop_counter import compute_complexity
from backbones.create import create_backbone
from backbones.registry import get_card
from engine.optimizer import build_param_groups
from foundation.errors import UserError
from segmentation.models.necks import ScaledPyramid
from segmentation.models.segmentor import build_segmentor
from segmentation.tasks import CONFIG_DIR
from tests.segmentation.make import make_recipe

PROTOCOLS = sorted(path.stem for path in CONFIG_DIR.glob("[!_]*.py"))


def test_every_task_has_its_three_protocols() -> None:
    tasks = ("ade20k", "camvid", "mini_ade", "segfolder")
    assert sorted(f"{task}_{name}" for task in tasks for name in ("linear", "semantic_fpn", "upernet")) == PROTOCOLS


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("tier", ["smoke", "short", "full"])
def test_every_protocol_and_tier_holds(name: str, tier: str) -> None:
    setting = make_recipe(name, tier=tier)
    assert setting.schedule.warmup < setting.length
    assert setting.crop % 16 == 0


@pytest.mark.parametrize(
    ("protocol", "millions", "giga"), [("upernet", 10.97, 41.9), ("semantic_fpn", 7.04, 13.4), ("linear", 6.37, 10.6)]
)
def test_sizes_at_512_px(protocol: str, millions: float, giga: float) -> None:
    """With tables; mmseg's own models measure 11.0 M / 42 G and 7.05 M (LayerScale adds 4,608) / 13.5 G."""
    setting = make_recipe(f"ade20k_{protocol}")
    sizes = {}
    for card in ("vit_tiny_rpe", "vit_tiny"):
        model = build_segmentor(setting, get_card(card), 150, "BN")
        if model.with_auxiliary_head:
            del model.auxiliary_head  # for training only
        sizes[card] = compute_complexity(model, [torch.zeros(1, 3, 512, 512)])
    assert sizes["vit_tiny_rpe"].parameters / 1e6 == pytest.approx(millions, abs=0.005)
    assert sizes["vit_tiny_rpe"].macs / 1e9 == pytest.approx(giga, abs=0.1)
    tables = 12 * 12 * (63**2 + 3)
    assert sizes["vit_tiny_rpe"].parameters - sizes["vit_tiny"].parameters == tables


def test_scaled_pyramid() -> None:
    neck = ScaledPyramid(64, 0.25, {"type": "BN"}).eval()
    maps = neck([torch.randn(1, 64, 4, 6)] * 4)
    assert [tuple(each.shape[1:]) for each in maps] == [(16, 16, 24), (16, 8, 12), (16, 4, 6), (16, 2, 3)]


@pytest.mark.parametrize("card", ["vit_nano", "hiera_lite", "swin_lite", "timm/test_convnext"])
@pytest.mark.parametrize("protocol", ["upernet", "semantic_fpn", "linear"])
def test_plain_and_hierarchical_backbones(card: str, protocol: str) -> None:
    crop = 224 if card in ("hiera_lite", "swin_lite") else 64
    setting = make_recipe(f"mini_ade_{protocol}", f"crop={crop}")
    model = build_segmentor(setting, get_card(card), 150, "BN", checkpoint="random").eval()
    assert model.with_neck == (card == "vit_nano" and protocol != "linear")
    labels = model.classify_image(torch.randint(0, 255, (3, 50, 70), dtype=torch.uint8), (100, 140)).labels
    assert labels.shape == (100, 140)
    groups = build_param_groups(model, setting)
    trained = {name for group in groups for name in group["names"]}
    if protocol == "linear":
        assert not any(name.startswith("backbone.") for name in trained)
        assert not model.train().backbone.trunk.training
    else:
        model.train()
        model._forward(torch.randn(2, 3, crop, crop)).sum().backward()
        heads = ("backbone.", "neck.", "decode_head.")
        idle = [name for name, value in model.named_parameters() if name in trained and value.grad is None]
        assert not [name for name in idle if name.startswith(heads)], "distributed training would wait for these"


def test_loaded_weights_are_the_ones_that_train(deit_file: Path) -> None:
    setting = make_recipe("ade20k_semantic_fpn", "crop=224", "test.stride=149")
    card = get_card("deit_tiny")
    model = build_segmentor(setting, card, 150, "BN", checkpoint=str(deit_file))
    assert model.backbone.created_backbone.load_report is not None
    assert model.backbone.created_backbone.load_report.matched_fraction == 1.0
    plain = create_backbone(card, checkpoint=str(deit_file), num_classes=0).model.state_dict()
    ours = model.backbone.trunk.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in plain.items())
    assert model.decode_head.conv_seg.weight.detach().std() == pytest.approx(0.01, rel=0.1), (
        "mmseg's own start for the head"
    )


def test_position_embeddings_fit_the_crop(deit_file: Path) -> None:
    setting = make_recipe("ade20k_linear", "crop=64", "test.stride=43")
    model = build_segmentor(setting, get_card("deit_tiny"), 150, "BN", checkpoint=str(deit_file))
    assert model.backbone.trunk.pos_embed.shape[1] == 1 + 16
    assert model.backbone.created_backbone.load_report.resized


def test_a_backbone_with_too_few_depths_is_refused() -> None:
    with pytest.raises(UserError, match=r"gives maps at 3 depths .* the decode_head reads 4"):
        build_segmentor(make_recipe("mini_ade_semantic_fpn"), get_card("vit_pico"), 150, "BN")
