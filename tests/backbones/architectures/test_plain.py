from __future__ import annotations

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer

from foundation.errors import UserError
from tests.backbones.architectures.checks import (
    assert_gradients_everywhere,
    count_gmacs,
    count_parameters,
    create_on_meta,
)


@pytest.mark.parametrize(
    ("name", "count", "total", "without_products"),
    [
        ("vit_tiny_12h", 5_717_416, 1.254, 1.075),
        ("vit_small_12h", 22_050_664, 4.599, 4.241),
        ("vit_base", 86_567_656, 17.564, 16.848),
    ],
)
def test_counts(name: str, count: int, total: float, without_products: float) -> None:
    model = create_on_meta(name)
    assert count_parameters(model) == count
    assert count_gmacs(model, 224) == pytest.approx((total, without_products), abs=6e-4)


@pytest.mark.parametrize(
    ("name", "count"),
    [("vit_nano_patch8_32", 214_218), ("vit_pico_patch8_32", 45_258), ("vit_micro_patch4_32", 683_242)],
)
def test_counts_of_the_small_ones(name: str, count: int) -> None:
    assert count_parameters(create_on_meta(name, num_classes=10)) == count


@pytest.mark.parametrize("name", ["vit_tiny_12h", "vit_small_12h", "vit_base"])
def test_what_the_papers_fix(name: str) -> None:
    model = create_on_meta(name)
    assert type(model) is VisionTransformer
    assert {block.attn.num_heads for block in model.blocks} == {12}
    assert {module.eps for module in model.modules() if isinstance(module, torch.nn.LayerNorm)} == {1e-6}
    assert all(block.attn.qkv.bias is not None for block in model.blocks)
    assert model.cls_token.shape == (1, 1, model.embed_dim)
    assert model.pos_embed.shape == (1, 197, model.embed_dim)


def test_average_pooling_moves_the_norm_behind_it() -> None:
    model = create_on_meta("vit_tiny_12h", global_pool="avg")
    assert isinstance(model.norm, torch.nn.Identity)
    assert model.fc_norm.weight.shape == (192,)
    assert count_parameters(model) == 5_717_416


def test_intermediates_at_another_and_not_square_size() -> None:
    model = timm.create_model("vit_tiny_12h", dynamic_img_size=True, num_classes=0).eval()
    with torch.no_grad():
        final, taps = model.forward_intermediates(torch.randn(1, 3, 64, 96), indices=[3, 5, 7, 11], output_fmt="NCHW")
    assert [tap.shape for tap in taps] == [(1, 192, 4, 6)] * 4
    assert final.shape == (1, 25, 192)
    assert [info["num_chs"] for info in model.feature_info] == [192] * 12


def test_features_only() -> None:
    model = timm.create_model("vit_nano_patch8_32", features_only=True, out_indices=(1, 3))
    assert [feature.shape for feature in model(torch.randn(1, 3, 32, 32))] == [(1, 64, 4, 4)] * 2


def test_gradients_reach_every_parameter() -> None:
    assert_gradients_everywhere(
        timm.create_model("vit_tiny_12h", img_size=32, num_classes=5), torch.randn(2, 3, 32, 32)
    )


def test_timm_is_not_asked_for_weights() -> None:
    with pytest.raises(UserError, match="create_backbone"):
        timm.create_model("vit_tiny_12h", pretrained=True)
