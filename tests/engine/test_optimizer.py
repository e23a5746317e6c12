from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from timm.models.swin_transformer import SwinTransformer
from torch import nn
from torch.nn import functional

from engine.optimizer import Bf16OptimWrapper, Fp32OptimWrapper, build_param_groups, create_optim_wrapper, get_layer_ids
from foundation.errors import UserError
from tests.engine.make import make_recipe


class Model(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.backbone = timm.create_model(name, num_classes=5)
        self.head = nn.Linear(3, 2)


def adamw(**changes: Any) -> dict[str, Any]:
    return {"name": "AdamW", "lr": 1.0, "weight_decay": 0.05, **changes}


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_efficientnet"])
def test_each_parameter_is_in_exactly_one_group(name: str) -> None:
    model = Model(name)
    names = [
        n for group in build_param_groups(model, make_recipe(optimizer=adamw(layer_decay=0.7))) for n in group["names"]
    ]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())


def test_vit_scales_are_by_hand() -> None:
    """Stem 0, block i at i + 1, norm with the last block, head on top (MAE-Lite's numbering)."""
    model = Model("test_vit")
    depth = len(model.backbone.blocks)
    groups = build_param_groups(model, make_recipe(optimizer=adamw(layer_decay=0.5)))
    rate = {name: group["lr"] for group in groups for name in group["names"]}
    top = depth + 1
    assert rate["backbone.pos_embed"] == rate["backbone.patch_embed.proj.weight"] == 0.5**top
    for block in range(depth):
        assert rate[f"backbone.blocks.{block}.mlp.fc1.weight"] == 0.5 ** (top - block - 1)
    assert rate["backbone.head.weight"] == rate["head.weight"] == 1.0


SWIN_LAYERS = {  # by hand, from MAE-Lite's get_swin_layer with num_layers = 5, for 1, 1, 2 and 1 blocks
    "patch_embed": 0,
    "layers.0.blocks.0": 1,
    "layers.1.downsample": 1,  # theirs: layers.0.downsample
    "layers.1.blocks.0": 2,
    "layers.2.downsample": 2,
    "layers.2.blocks.0": 3,
    "layers.2.blocks.1": 4,
    "layers.3.downsample": 4,
    "layers.3.blocks.0": 5,
    "norm": 4,  # theirs: num_layers - 1
    "head": 4,
}


class Around(nn.Module):
    """A module around a backbone, as dense tasks have it."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def group_matcher(self, coarse: bool = False) -> Any:
        ids = get_layer_ids(self.trunk)
        return lambda name: ids[name.removeprefix("trunk.")]


@pytest.mark.parametrize("inside", ["", "trunk."])
def test_layers_of_a_swin_as_mae_lite_counts_them(inside: str) -> None:
    """Theirs are ``decay ** (5 + 1 - layer)``; a head outside has the full rate."""
    swin = SwinTransformer(64, depths=(1, 1, 2, 1), num_heads=(1, 1, 1, 1), embed_dim=8, num_classes=0 if inside else 3)
    model = nn.Module()
    model.backbone, model.outside = Around(swin) if inside else swin, nn.Linear(2, 2)
    rates = {}
    for counting in ("timm", "mae_lite"):
        recipe = make_recipe(optimizer=adamw(layer_decay=0.5, swin_layers=counting))
        groups = build_param_groups(model, recipe)
        rates[counting] = {name: group["lr"] for group in groups for name in group["names"]}
        assert rates[counting]["outside.weight"] == 1.0
    for name, _ in swin.named_parameters():
        depth = next(depth for part, depth in SWIN_LAYERS.items() if name.startswith(f"{part}."))
        assert rates["mae_lite"][f"backbone.{inside}{name}"] == 0.5 ** (6 - depth), name
    merging = f"backbone.{inside}layers.1.downsample.reduction.weight"
    assert rates["timm"][merging] == 2 * rates["mae_lite"][merging], "timm has it one level higher"
    assert (
        "swin_layers"
        not in recipe.model_copy(
            update={"optimizer": recipe.optimizer.model_copy(update={"swin_layers": "timm"})}
        ).identity_settings()["optimizer"]
    ), "earlier ids stay"


def test_a_head_outside_is_one_layer_above_a_trunk_without_its_own() -> None:
    """As mmseg's layer-wise decay has it: the last block is not at the head's full rate."""
    model = Model("test_vit")
    model.backbone.reset_classifier(0)
    groups = build_param_groups(model, make_recipe(optimizer=adamw(layer_decay=0.5)))
    rate = {name: group["lr"] for group in groups for name in group["names"]}
    last = len(model.backbone.blocks) - 1
    assert rate["head.weight"] == 1.0
    assert rate[f"backbone.blocks.{last}.mlp.fc1.weight"] == rate["backbone.norm.weight"] == 0.5


def test_no_decay_on_one_dimensional_and_embeddings() -> None:
    groups = build_param_groups(Model("test_vit"), make_recipe(optimizer=adamw()))
    decay = {name: group["weight_decay"] for group in groups for name in group["names"]}
    assert decay["backbone.pos_embed"] == decay["backbone.cls_token"] == decay["backbone.head.bias"] == 0
    assert decay["backbone.head.weight"] == decay["backbone.patch_embed.proj.weight"] == 0.05


def test_embeddings_are_decayed_where_the_recipe_says_so() -> None:
    """MAE's code gives timm's optimizer no list of tensors to leave out, only one-dimensional ones are."""
    model = Model("test_vit")
    groups = build_param_groups(model, make_recipe(optimizer=adamw(decay_embeddings=True)))
    decay = {name: group["weight_decay"] for group in groups for name in group["names"]}
    assert decay == {name: 0.05 if value.ndim > 1 else 0.0 for name, value in model.named_parameters()}
    assert decay["backbone.cls_token"] == 0.05


def test_frozen_parameters_are_left_out() -> None:
    model = Model("test_vit")
    model.backbone.requires_grad_(False)
    names = [n for group in build_param_groups(model, make_recipe(optimizer=adamw())) for n in group["names"]]
    assert sorted(names) == ["head.bias", "head.weight"]


def test_layer_decay_without_a_matcher_is_refused_with_the_mend() -> None:
    with pytest.raises(UserError, match=r"Linear has no group_matcher.*optimizer\.layer_decay=1"):
        get_layer_ids(nn.Linear(1, 1))


def test_clipping_is_by_the_norm_of_the_gradient() -> None:
    model = Model("test_vit")
    chosen = make_recipe(optimizer={"name": "SGD", "lr": 1.0, "momentum": 0.0, "nesterov": False}, clip_grad=0.5)
    wrapper = create_optim_wrapper(model, chosen, "cpu")
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    loss = 100 * (model.backbone(torch.randn(2, 3, 160, 160)) ** 2).sum() + model.head(torch.ones(1, 3)).sum()
    wrapper.update_params(loss)
    moved = torch.cat([(value.detach() - before[name]).flatten() for name, value in model.named_parameters()])
    assert float(moved.norm()) == pytest.approx(0.5, rel=1e-4)


def test_precision() -> None:
    model = Model("test_vit")
    assert type(create_optim_wrapper(model, make_recipe(), "cpu")) is Fp32OptimWrapper
    wrapper = create_optim_wrapper(model, make_recipe(precision="bf16"), "cpu")
    assert isinstance(wrapper, Bf16OptimWrapper)
    with wrapper.optim_context(model):
        assert model.backbone(torch.randn(1, 3, 160, 160)).dtype == torch.bfloat16
    with pytest.raises(UserError, match="precision fp16 needs a GPU"):
        create_optim_wrapper(model, make_recipe(precision="fp16"), "cpu")


def test_attention_under_bf16_is_fp32s_of_the_rounded_numbers() -> None:
    wrapper = create_optim_wrapper(Model("test_vit"), make_recipe(precision="bf16"), "cpu")
    q, k, v = torch.randn(3, 2, 3, 20, 8, generator=torch.Generator().manual_seed(0)).bfloat16().unbind(0)
    mask = torch.zeros(20, 20, dtype=torch.bfloat16)
    expected = ((q.float() @ k.float().mT / 8**0.5).softmax(-1) @ v.float()).bfloat16()
    with wrapper.optim_context(nn.Identity()):
        for found in (
            functional.scaled_dot_product_attention(q, k, v),
            functional.scaled_dot_product_attention(query=q, key=k.float(), value=v, attn_mask=mask),
        ):
            assert found.dtype == torch.bfloat16
            torch.testing.assert_close(found, expected, rtol=2**-7, atol=1e-6)  # one bf16 step
        with torch.autocast("cpu", enabled=False):  # a layer that asks for fp32 gets it
            assert functional.scaled_dot_product_attention(q.float(), k.float(), v.float()).dtype == torch.float32


def test_the_backbones_rate_is_scaled_and_everything_may_decay() -> None:
    model = nn.Module()
    model.backbone, model.head = nn.Linear(3, 3), nn.Linear(3, 3)
    setting = {"name": "AdamW", "lr": 1e-2, "weight_decay": 0.1, "backbone_scale": 0.1, "decay_all": True}
    groups = build_param_groups(model, make_recipe(optimizer=setting))
    found = {name: (group["lr"], group["weight_decay"]) for group in groups for name in group["names"]}
    expected = {"backbone.weight": 1e-3, "backbone.bias": 1e-3, "head.weight": 1e-2, "head.bias": 1e-2}
    assert found == {name: (pytest.approx(lr), 0.1) for name, lr in expected.items()}
