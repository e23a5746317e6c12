"""SimMIM against its formulas written out, and the decoupled distillation on it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from foundation.errors import UserError
from pretraining.methods.simmim import (
    compute_teacher_logits,
    compute_window_logits,
    expand_unit_masks,
    masked_l1_loss,
    sample_unit_masks,
)
from tests.pretraining import naive
from tests.pretraining.make import compute_losses, make_batch, make_method, make_teacher


@pytest.fixture(scope="module")
def simmim() -> Any:
    return make_method("simmim", "swin_lite", size=224)


@pytest.fixture(scope="module")
def student() -> Any:
    return make_method("simmim_d2", "swin_lite", make_teacher("swin_lite", 224, depths=(2, 2, 4, 2)), size=224)


def test_units_of_32_pixels() -> None:
    """30 of 49 (0.6 rounded up), as masks of pixels in blocks."""
    masks = sample_unit_masks(torch.arange(200), (7, 7), 0.6)
    assert masks.flatten(1).sum(1).tolist() == [30] * 200
    assert float(masks.float().mean(0).std()) < 0.06, "no place is preferred"
    hidden = expand_unit_masks(masks[:1], 32)
    assert hidden.shape == (1, 1, 224, 224)
    for y in range(7):
        for x in range(7):
            assert bool((hidden[0, 0, 32 * y : 32 * y + 32, 32 * x : 32 * x + 32] == masks[0, y, x]).all())
    with pytest.raises(UserError, match="masks all 49 units"):
        sample_unit_masks(torch.arange(1), (7, 7), 0.99)


def test_loss_by_hand() -> None:
    """Two of four pixels are masked, errors 1, 2, 3 and 4, 5, 6 over three channels."""
    predicted = torch.tensor([[1.0, 9, 4, 9], [2, 9, 5, 9], [3, 9, 6, 9]]).reshape(1, 3, 1, 4)
    hidden = torch.tensor([1, 0, 1, 0], dtype=torch.bool).reshape(1, 1, 1, 4)
    assert float(masked_l1_loss(predicted, torch.zeros(1, 3, 1, 4), hidden)) == pytest.approx(21 / 6, rel=1e-5)


def test_loss_is_written_out(simmim: Any) -> None:
    """Mask tokens in the masked units, a 1x1 convolution, pixels put in their places (1e-5)."""
    images, seeds = make_batch(1, 224)
    model = simmim.backbone
    masks = sample_unit_masks(seeds, (7, 7), 0.6)
    tokens = model.patch_embed(images)
    for y in range(56):
        for x in range(56):
            if masks[0, y // 8, x // 8]:
                tokens[0, y, x] = simmim.mask_token[0, 0, 0]
    features = model.norm(model.layers(tokens))[0]
    layer, total = simmim.decoder[0], 0.0
    assert layer.weight.shape == (3 * 32 * 32, 384, 1, 1)
    for y in range(7):
        for x in range(7):
            if masks[0, y, x]:
                predicted = (layer.weight[:, :, 0, 0] @ features[y, x] + layer.bias).reshape(3, 32, 32)
                truth = images[0, :, 32 * y : 32 * y + 32, 32 * x : 32 * x + 32]
                total += float((predicted - truth).abs().sum().detach())
    assert compute_losses(simmim, images, seeds)["loss_masked"] == pytest.approx(total / (30 * 32 * 32 * 3), rel=1e-5)


def test_all_weights_are_trained(simmim: Any, student: Any) -> None:
    """The decoupled one has a final norm that is never used, and so is frozen."""
    images, seeds = make_batch(1, 224)
    for method_ in (simmim, student):
        sum(method_(images=images, seeds=seeds).values()).backward()
        missing = [name for name, value in method_.named_parameters() if value.requires_grad and value.grad is None]
        assert not missing
        method_.zero_grad()
    frozen = [name for name, value in student.named_parameters() if not value.requires_grad]
    assert frozen == ["backbone.norm.weight", "backbone.norm.bias"]


def test_gradient_paths(student: Any) -> None:
    """Reconstruction ends with the merging after stage 2; the distillation reaches stage 1."""
    images, seeds = make_batch(1, 224)

    def stages(loss: torch.Tensor) -> list[bool]:
        student.zero_grad()
        loss.backward()
        return [
            any(value.grad is not None and bool(value.grad.any()) for value in stage.blocks.parameters())
            for stage in student.backbone.layers
        ]

    assert stages(student(images=images, seeds=seeds)["loss_masked"]) == [True, True, False, False]
    assert stages(student(images=images, seeds=seeds)["loss_attention"]) == [True] * 4


def test_logits_are_those_of_timm(student: Any) -> None:
    """With the position bias, before the softmax: what timm's attention multiplies the values with (1e-5)."""
    block = student.backbone.layers[-1].blocks[-1]
    tokens = torch.randn(2, 7, 7, 384)
    logits = compute_window_logits(block, tokens)
    assert logits.shape == (2, 24, 49, 49)
    normed = block.norm1(tokens).flatten(1, 2)
    value = block.attn.qkv(normed)[..., 768:].reshape(2, 49, 24, 16).transpose(1, 2)
    out = block.attn.proj((logits.softmax(-1) @ value).transpose(1, 2).reshape(2, 49, 384))
    torch.testing.assert_close(out, block.attn(normed), rtol=1e-5, atol=1e-5)
    q, k = block.attn.qkv(normed)[..., :768].reshape(2, 49, 2, 24, 16)[0, :, :, 3].unbind(1)
    bias = block.attn._get_rel_pos_bias()[0, 3]
    torch.testing.assert_close(logits[0, 3], q @ k.T / math.sqrt(16) + bias, rtol=1e-4, atol=1e-5)


def test_distillation_loss(student: Any) -> None:
    images, seeds = make_batch(1, 224)
    found = compute_losses(student, images, seeds)
    teacher = student.teacher
    goal = compute_teacher_logits(teacher.model, images)[0]
    whole = teacher.model.patch_embed(images)
    whole = teacher.model.layers[:3](whole)
    last = teacher.model.layers[3]
    expected_goal = compute_window_logits(last.blocks[1], last.blocks[0](last.downsample(whole)))[0]
    torch.testing.assert_close(goal, expected_goal)
    masks = sample_unit_masks(seeds, (7, 7), 0.6)
    own = compute_window_logits(
        student.extra_block, student.backbone.layers(student.embed_masked_patches(images, masks))
    )[0]
    weight = student.attn_adapter.proj.weight.flatten(1)
    assert weight.shape == (24, 24)
    expected = float(naive.reference_logits_loss(weight, own, goal).detach())
    assert found["loss_attention"] == pytest.approx(expected, rel=1e-4)


def test_what_does_not_fit_is_a_sentence() -> None:
    with pytest.raises(UserError, match="simmim is for Swin"):
        make_method("simmim", "vit_nano")
    with pytest.raises(UserError, match="units of 48 px"):
        make_method("simmim", "swin_lite", size=224, mask_patch_size=48)
    with pytest.raises(UserError, match="a Swin learns from a Swin"):
        make_method("simmim_d2", "swin_lite", make_teacher(), size=224)
