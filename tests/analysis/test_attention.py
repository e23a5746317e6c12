"""Attention distance and entropy in hand-computed cases, and the reading of fused attention."""

from __future__ import annotations

import math
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from analysis.attention import (
    AttentionAccumulator,
    compute_attention_logits,
    compute_grid_distances,
    find_attention_modules,
    get_patch_grid,
    mean_attention_distance,
    mean_attention_entropy,
    read_attention,
    softmax_over_patches,
)
from backbones.create import create_backbone
from foundation.errors import BenchError, UserError

FAR = -1e4


def delta(target: Tensor) -> Tensor:
    """Logits (1, 1, N, N) of queries that each look at one key."""
    logits = torch.full((len(target), len(target)), FAR)
    logits[torch.arange(len(target)), target] = 0.0
    return logits[None, None]


def test_uniform_attention() -> None:
    attention = softmax_over_patches(torch.zeros(2, 3, 17, 17), num_prefix_tokens=1)
    assert attention.shape == (2, 3, 16, 16)
    exact = -math.log(1 / 16 + 1e-6)
    torch.testing.assert_close(mean_attention_entropy(attention), torch.full((2, 3), exact))
    assert exact == pytest.approx(math.log(16), abs=2e-5)
    # 2 x 2 grid: to itself 0, twice the side, once the diagonal
    small = softmax_over_patches(torch.zeros(1, 1, 4, 4), num_prefix_tokens=0)
    expected = 16 * (2 + math.sqrt(2)) / 4
    assert float(mean_attention_distance(small, compute_grid_distances((2, 2), (16.0, 16.0)))) == pytest.approx(
        expected, rel=1e-6
    )


def test_identity_attention() -> None:
    attention = softmax_over_patches(delta(torch.arange(12)), num_prefix_tokens=0)
    assert float(mean_attention_distance(attention, compute_grid_distances((3, 4), (16.0, 16.0)))) == 0
    assert float(mean_attention_entropy(attention)) == pytest.approx(0, abs=2e-6)


def test_shifted_delta() -> None:
    """Each patch of a 3 x 4 grid looks one column to the right; the last column at its row's first, 3 columns off."""
    rows, columns = torch.meshgrid(torch.arange(3), torch.arange(4), indexing="ij")
    target = (rows * 4 + (columns + 1) % 4).flatten()
    attention = softmax_over_patches(delta(target), num_prefix_tokens=0)
    for step, factor in (((16.0, 16.0), 16), ((14.0, 14.0), 14), ((99.0, 8.0), 8)):
        far = float(mean_attention_distance(attention, compute_grid_distances((3, 4), step)))
        assert far == pytest.approx(factor * (1 + 1 + 1 + 3) / 4)


def test_prefix_tokens_are_dropped_before_the_softmax() -> None:
    logits = torch.zeros(1, 1, 5, 5)
    logits[..., 0] = 50.0  # all would look at the class token
    torch.testing.assert_close(softmax_over_patches(logits, 1), torch.full((1, 1, 4, 4), 0.25))


def test_sums_are_means_over_images() -> None:
    logits = torch.randn(7, 2, 10, 10, generator=torch.Generator().manual_seed(0))
    distances = compute_grid_distances((3, 3), (8.0, 8.0))
    sums = AttentionAccumulator(distances, 1)
    for part in (logits[:4], logits[4:]):
        sums.update(0, part)
    attention = softmax_over_patches(logits, 1)
    far, wide = sums.compute()
    assert far[0] == pytest.approx(mean_attention_distance(attention, distances).mean(0).tolist(), rel=1e-6)
    assert wide[0] == pytest.approx(mean_attention_entropy(attention).mean(0).tolist(), rel=1e-6)


def test_tokens_that_are_no_grid_are_refused() -> None:
    with pytest.raises(BenchError, match="block 3 has 9 tokens where 1 prefix and 9 patch tokens were expected"):
        AttentionAccumulator(compute_grid_distances((3, 3), (8.0, 8.0)), 1).update(3, torch.zeros(1, 1, 9, 9))


def test_patches_of_a_padded_image() -> None:
    model = create_backbone("vit_nano", checkpoint="random", num_classes=0, dynamic_img_pad=True).model
    assert get_patch_grid(model, 36) == ((8, 8), (5, 5))
    assert get_patch_grid(model, 32) == ((8, 8), (4, 4))


def made(name: str, size: int, **arguments: Any) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = create_backbone(name, checkpoint="random", img_size=size, num_classes=0, **arguments).model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model, torch.randn(2, 3, size, size)


@pytest.mark.parametrize(("name", "size"), [("vit_nano", 32), ("vit_tiny_rpe", 32), ("vit_cifar", 36)])
def test_reading_leaves_the_output_bit_for_bit(name: str, size: int) -> None:
    model, images = made(name, size)
    assert all(module.fused_attn for module in find_attention_modules(model))
    with torch.inference_mode():
        plain = model.forward_features(images)  # type: ignore[operator]
    seen: list[Tensor] = []
    output = read_attention(model, images, lambda _, logits: seen.append(logits))
    assert torch.equal(output, plain)
    assert len(seen) == len(model.blocks)  # type: ignore[arg-type]
    assert not any(module._forward_hooks for module in model.modules())


def test_logits_are_those_of_unfused_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm's own plain path gives its softmax to ``attn_drop``; the bias of relative positions is in it."""
    model, images = made("vit_tiny_rpe", 32)
    kept: list[Tensor] = []
    for module in find_attention_modules(model):
        monkeypatch.setattr(module, "fused_attn", False)
        assert float(module.compute_bias().detach().std()) > 0.1  # type: ignore[operator]
        module.attn_drop.register_forward_hook(lambda _m, inputs, _o: kept.append(inputs[0]))
    seen: list[Tensor] = []
    read_attention(model, images, lambda _, logits: seen.append(logits))
    assert len(kept) == len(seen) == 12
    for mine, timms in zip(seen, kept, strict=True):
        torch.testing.assert_close(mine.softmax(-1), timms, rtol=1e-4, atol=1e-5)


def test_attention_that_is_more_than_its_logits_is_refused() -> None:
    model, images = made("vit_nano", 32)
    module = find_attention_modules(model)[1]
    right = compute_attention_logits(module, torch.randn(1, 17, 64))
    assert right.shape == (1, 4, 17, 17)
    module.register_forward_hook(lambda _m, _i, output: 1.5 * output)
    with pytest.raises(BenchError, match="attention of block 1 of VisionTransformer is not softmax"):
        read_attention(model, images, lambda *_: None)


@pytest.mark.parametrize("name", ["swin_lite", "hiera_lite", "timm/resnet18"])
def test_hierarchies_are_refused_in_a_sentence(name: str) -> None:
    model = create_backbone(name, checkpoint="random", num_classes=0).model
    with pytest.raises(UserError, match=r"hierarchical.*; cka, layers, data-scale, .* work with it"):
        find_attention_modules(model)


def test_attention_of_another_class_is_refused() -> None:
    model = timm.create_model("beit_base_patch16_224", depth=1, embed_dim=48, num_heads=2)
    with pytest.raises(UserError, match=r"its own attention class \(Attention\).* cka"):
        find_attention_modules(model)
