from __future__ import annotations

import pytest
import timm
import torch
from timm.models.hiera import Hiera

from tests.backbones.architectures.checks import (
    assert_gradients_everywhere,
    count_gmacs,
    count_parameters,
    create_on_meta,
)


def test_counts() -> None:
    model = create_on_meta("hiera_lite")
    assert type(model) is Hiera
    assert count_parameters(model) == 6_694_966
    assert count_parameters(model) - model.pos_embed.numel() == 6_550_710
    assert count_gmacs(model, 224)[0] == pytest.approx(1.20, abs=2e-3)


def test_what_the_paper_fixes() -> None:
    model = create_on_meta("hiera_lite")
    assert model.pos_embed.shape == (1, 3136, 46)
    assert model.patch_embed.proj.kernel_size == (7, 7)
    assert [block.attn.heads for block in model.blocks] == [1] + [2] * 2 + [4] * 7 + [8] * 2
    assert {block.attn.head_dim for block in model.blocks} == {46}
    # attention within mask units in stages 1 and 2, and in the first block of stage 3, which still pools
    assert [i for i, block in enumerate(model.blocks) if block.attn.use_mask_unit_attn] == [0, 1, 2, 3]
    assert [i for i, block in enumerate(model.blocks) if block.attn.q_stride > 1] == [1, 3, 10]
    assert {module.eps for module in model.modules() if isinstance(module, torch.nn.LayerNorm)} == {1e-6}


def test_stages_are_a_pyramid() -> None:
    model = timm.create_model("hiera_lite", img_size=(64, 96), num_classes=0).eval()
    with torch.no_grad():
        taps = model.forward_intermediates(
            torch.randn(1, 3, 64, 96), indices=[0, 1, 2, 3], output_fmt="NCHW", intermediates_only=True
        )
    assert [tap.shape for tap in taps] == [(1, 46, 16, 24), (1, 92, 8, 12), (1, 184, 4, 6), (1, 368, 2, 3)]
    assert [(info["num_chs"], info["reduction"]) for info in model.feature_info] == [
        (46, 4),
        (92, 8),
        (184, 16),
        (368, 32),
    ]


def test_features_only() -> None:
    model = timm.create_model("hiera_lite", img_size=64, features_only=True)
    assert [feature.shape[-1] for feature in model(torch.randn(1, 3, 64, 64))] == [16, 8, 4, 2]


def test_gradients_reach_every_parameter() -> None:
    assert_gradients_everywhere(timm.create_model("hiera_lite", img_size=64, num_classes=5), torch.randn(2, 3, 64, 64))
