"""The decoupled distillation on SimMIM against its formulas written out, and what its teacher sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from backbones.create import create_backbone
from backbones.registry import get_card
from backbones.weights import InitialWeights
from foundation.errors import UserError
from pretraining.export import export_encoder
from pretraining.methods.simmim import expand_unit_masks, masked_l1_loss, sample_unit_masks
from pretraining.methods.teacher import Teacher, TeacherWeights
from pretraining.models.swin import compute_window_logits
from tests.pretraining import naive
from tests.pretraining.make import compute_losses, make_batch, make_method, make_teacher
from tests.pretraining.methods.test_simmim import SMALL


@pytest.fixture(scope="module")
def student() -> Any:
    teacher = make_teacher("swin_lite", 224, depths=(2, 2, 4, 2))
    return make_method("simmim_d2", "swin_lite", teacher, size=224, drop_path=0.1).eval()


def put_tokens(patches: torch.Tensor, masks: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
    """Write a mask token into the patches of the masked units, one by one."""
    placed, per_unit = patches.clone(), patches.shape[1] // masks.shape[1]
    for y in range(patches.shape[1]):
        for x in range(patches.shape[2]):
            if masks[0, y // per_unit, x // per_unit]:
                placed[0, y, x] = token.flatten()
    return placed


def test_reconstruction_is_written_out(student: Any) -> None:
    """Stages 1 and 2, the merging, the norm of 192 channels, then the decoder at stride 16."""
    images, seeds = make_batch(1, 224)
    model, masks = student.backbone, sample_unit_masks(seeds, (7, 7), 0.6)
    tokens = put_tokens(model.patch_embed(images), masks, student.mask_token)
    with torch.no_grad():
        for block in [*model.layers[0].blocks, model.layers[1].downsample, *model.layers[1].blocks]:
            tokens = block(tokens)
        merged = model.layers[2].downsample(tokens)
        assert merged.shape == (1, 14, 14, 192)
        spread = (merged.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        normed = (merged - merged.mean(-1, keepdim=True)) / spread  # weight 1 and bias 0 at the start
        pixels = student.decoder(normed)
    loss = float(masked_l1_loss(pixels, images, expand_unit_masks(masks, 32)))
    assert compute_losses(student, images, seeds)["loss_masked"] == pytest.approx(loss, rel=1e-6)
    assert [type(part) for part in (student.decoder_norm, student.extra_block.norm1)] == [nn.LayerNorm] * 2
    assert {student.decoder_norm.eps, student.extra_block.norm1.eps, student.decoder.block.norm1.eps} == {1e-5}


def test_the_teacher_sees_the_masked_image_with_its_own_token(student: Any) -> None:
    images, seeds = make_batch(1, 224)
    found = compute_losses(student, images, seeds)
    masks, teacher = sample_unit_masks(seeds, (7, 7), 0.6), student.teacher.model
    with torch.no_grad():
        tokens = put_tokens(teacher.patch_embed(images), masks, student.teacher.mask_token)
        last = teacher.layers[3]
        goal = compute_window_logits(last.blocks[1], last.blocks[0](last.downsample(teacher.layers[:3](tokens))))[0]
        seen = put_tokens(student.backbone.patch_embed(images), masks, student.mask_token)
        own = compute_window_logits(student.extra_block, student.backbone.layers(seen))[0]
    weight = student.attn_adapter.proj.weight.flatten(1)
    assert weight.shape == (24, 24)
    expected = float(naive.reference_logits_loss(weight, own, goal).detach())
    assert found["loss_attention"] == pytest.approx(expected, rel=1e-4)


def test_gradient_paths(student: Any) -> None:
    """Reconstruction ends with the merging after stage 2, distillation reaches stage 1; the final norm is frozen."""
    images, seeds = make_batch(1, 224)

    def stages(loss: torch.Tensor) -> list[bool]:
        student.zero_grad()
        loss.backward(retain_graph=True)
        return [
            any(value.grad is not None and bool(value.grad.any()) for value in stage.blocks.parameters())
            for stage in student.backbone.layers
        ]

    losses = student(images=images, seeds=seeds)
    assert stages(losses["loss_masked"]) == [True, True, False, False]
    assert stages(losses["loss_attention"]) == [True] * 4
    student.zero_grad()
    sum(losses.values()).backward()
    missing = [name for name, value in student.named_parameters() if value.requires_grad and value.grad is None]
    frozen = [name for name, value in student.named_parameters() if not value.requires_grad]
    assert (missing, frozen) == ([], ["backbone.norm.weight", "backbone.norm.bias"])


def test_extra_block_starts_as_a_block_of_the_encoder(student: Any) -> None:
    """The encoder's rule (deviation 0.02, bias 0), and stochastic depth that rises over 13 blocks."""
    qkv = student.extra_block.attn.qkv
    assert float(qkv.weight.std()) == pytest.approx(0.02, rel=0.05)
    assert not bool(qkv.bias.any())
    blocks = [block for stage in student.backbone.layers for block in stage.blocks]
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in blocks]
    assert rates == [pytest.approx(0.1 * number / 12) for number in range(12)]


def test_an_exported_encoder_brings_its_mask_token_as_a_teacher(tmp_path: Path) -> None:
    """It is loaded with the weights, and left out where the encoder is used; without one, no teacher."""
    card = replace(get_card("swin_lite"), arguments=SMALL, input_size=(3, 64, 64))
    method = make_method("simmim", "swin_lite", size=64, decoder="block", arguments=SMALL)
    path = export_encoder(method.backbone, card, 64, tmp_path, {}, method.exported_tokens)
    report = create_backbone(card, checkpoint=str(path), num_classes=0).load_report
    assert report is not None
    assert report.is_complete
    assert report.dropped == ["mask_token 1x1x24 (mask token of the pre-training)"]
    weights = TeacherWeights(card, InitialWeights("checkpoint", path, str(path)), "0" * 64)
    teacher = Teacher(weights, 64, card.mean, card.std, {})
    assert teacher.mask_token is not None
    torch.testing.assert_close(teacher.mask_token.flatten(), method.mask_token.detach().flatten())
    make_method("simmim_d2", "swin_lite", teacher, size=64, arguments=SMALL)
    broken = torch.full((24,), torch.nan)
    faults = (
        (None, "no mask token"),
        (torch.zeros(512), "a mask token of 512 channels, not 24"),
        (broken, "a mask token with values that are not finite"),
    )
    for token, words in faults:
        teacher.mask_token = token
        with pytest.raises(UserError, match=f"teacher swin_lite have {words}.*--teacher-checkpoint"):
            make_method("simmim_d2", "swin_lite", teacher, size=64, arguments=SMALL)


def test_what_does_not_fit_is_a_sentence() -> None:
    with pytest.raises(UserError, match="a Swin learns from a Swin"):
        make_method("simmim_d2", "swin_lite", make_teacher(), size=64, arguments=SMALL)
