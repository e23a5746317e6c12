from __future__ import annotations

import pytest
import timm
import torch
from timm.layers import DropPath
from timm.models.swin_transformer import SwinTransformer

from tests.backbones.architectures.checks import assert_gradients_everywhere, count_parameters, create_on_meta


def test_counts() -> None:
    model = create_on_meta("swin_lite")
    assert type(model) is SwinTransformer
    assert count_parameters(model) == 7_299_634


def test_what_the_paper_fixes() -> None:
    model = create_on_meta("swin_lite")
    attentions = [[block.attn for block in stage.blocks] for stage in model.layers]
    assert [len(stage) for stage in attentions] == [2, 2, 6, 2]
    assert [stage[0].num_heads for stage in attentions] == [3, 6, 12, 24]
    assert {tuple(attention.window_size) for stage in attentions for attention in stage} == {(7, 7)}


def test_drop_path_is_the_protocols_choice() -> None:
    assert not any(isinstance(module, DropPath) for module in create_on_meta("swin_lite").modules())
    assert any(isinstance(module, DropPath) for module in create_on_meta("swin_lite", drop_path_rate=0.1).modules())


def test_stages_are_a_pyramid_at_a_size_set_later() -> None:
    model = timm.create_model("swin_lite", num_classes=0).eval()
    model.set_input_size((64, 96), window_size=7)
    with torch.no_grad():
        taps = model.forward_intermediates(
            torch.randn(1, 3, 64, 96), indices=[0, 1, 2, 3], output_fmt="NCHW", intermediates_only=True
        )
    assert [tap.shape for tap in taps] == [(1, 48, 16, 24), (1, 96, 8, 12), (1, 192, 4, 6), (1, 384, 2, 3)]
    assert [info["num_chs"] for info in model.feature_info] == [48, 96, 192, 384]


@pytest.mark.parametrize("size", [(56, 56), (64, 96)])
def test_made_at_another_size(size: tuple[int, int]) -> None:
    model = timm.create_model("swin_lite", img_size=size, num_classes=5).eval()
    assert model(torch.randn(1, 3, *size)).shape == (1, 5)


def test_features_only() -> None:
    model = timm.create_model("swin_lite", img_size=64, features_only=True)
    assert [feature.shape[1] for feature in model(torch.randn(1, 3, 64, 64))] == [16, 8, 4, 2]


def test_gradients_reach_every_parameter() -> None:
    assert_gradients_everywhere(
        timm.create_model("swin_lite", img_size=112, num_classes=5), torch.randn(2, 3, 112, 112)
    )
