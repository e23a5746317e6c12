"""MAE on Hiera against timm's own masked forward pass and formulas written out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from engine.config import load_protocol
from engine.optimizer import group_by_depth
from foundation.errors import UserError
from pretraining.models.hiera import HieraMae, run_mask_units
from pretraining.models.patches import sample_masking
from pretraining.recipe import MaskedRecipe
from pretraining.task import CONFIG_DIR
from tests.pretraining import naive
from tests.pretraining.make import compute_losses, make_batch, make_method, make_teacher

HIERA = {
    "backbone": "hiera_lite",
    "size": 224,
    "mask_ratio": 0.4,
    "positions": "learned",
    "decoder": {"width": 96, "heads": 3},
}
POOLED = {"q_pool": 2}


@pytest.fixture(scope="module")
def hiera() -> Any:
    return make_method("mae", arguments=POOLED, **HIERA)


def test_visible_units(hiera: Any) -> None:
    """29 of 49 units, 4 tokens of 16 pixels each."""
    images, seeds = make_batch(2, 224)
    patches, masking = hiera.patchify_and_mask(images, seeds)
    assert (hiera.num_visible, hiera.num_units, masking.num_visible) == (29, 49, 116)
    assert patches.shape == (2, 196, 768)
    units = {(token // 14 // 2, token % 14 // 2) for token in masking.visible_indices[0].tolist()}
    assert len(units) == 29, "whole units"
    assert hiera.encode_visible(images, patches, masking).shape == (2, 116, 368)


def test_blocks_are_timms(hiera: Any) -> None:
    """Outputs of stages 1, 2 and 4 are those of timm's ``forward_features`` with a mask (1e-5)."""
    images, seeds = make_batch(2, 224)
    seen = sample_masking(seeds, 49, 29).visible_indices
    keep = torch.zeros(2, 49, dtype=torch.bool).scatter_(1, seen, True)
    _, stages = hiera.backbone.forward_features(images, mask=keep, return_intermediates=True)
    assert hiera.fused_blocks == [1, 3, 12]
    found = run_mask_units(hiera.backbone, images, seen, hiera.fused_blocks).features
    for block, stage in zip(hiera.fused_blocks, (stages[0], stages[1], stages[3]), strict=True):
        for image in range(2):
            rank = {unit: place for place, unit in enumerate(sorted(seen[image].tolist()))}
            expected = stage[image][[rank[unit] for unit in seen[image].tolist()]]
            torch.testing.assert_close(found[block][image], expected, rtol=1e-5, atol=1e-5)


def test_loss_is_written_out(hiera: Any) -> None:
    """Fusion, decoding in the order of the image, targets of the dropped 16-pixel cells (1e-4)."""
    images, seeds = make_batch(1, 224)
    order = sample_masking(seeds, 49, 29).permutation[0].tolist()
    seen = order[:29]
    stages = run_mask_units(hiera.backbone, images, torch.tensor([seen]), hiera.fused_blocks).features
    full: list[Any] = [hiera.decoder.mask_token[0, 0]] * 196
    for place, unit in enumerate(seen):
        fused = stages[12][0, place].clone()
        for head, block, size in zip(hiera.multi_scale_fusion_heads, (1, 3), (4, 2), strict=True):
            assert head.kernel_size == (size, size)
            for y in range(2):
                for x in range(2):
                    window = stages[block][0, place, y * size : (y + 1) * size, x * size : (x + 1) * size]
                    fused[y, x] += torch.einsum("oiyx,yxi->o", head.weight, window) + head.bias
        embedded = hiera.decoder.embed(hiera.backbone.head.norm(fused))
        for y in range(2):
            for x in range(2):
                full[(unit // 7 * 2 + y) * 14 + unit % 7 * 2 + x] = embedded[y, x]
    values = torch.stack(full)[None] + hiera.decoder.pos_embed
    for block in hiera.decoder.blocks:
        values = naive.run_block(block, values)
    predicted = hiera.decoder.pred(hiera.decoder.norm(values))[0]
    errors = []
    for unit in order[29:]:
        for y in range(2):
            for x in range(2):
                cell = (unit // 7 * 2 + y) * 14 + unit % 7 * 2 + x
                errors.append(
                    ((predicted[cell] - naive.normalize_patch(naive.extract_patch(images[0], cell, 16))) ** 2).mean()
                )
    expected = float(torch.stack(errors).mean().detach())
    assert compute_losses(hiera, images, seeds)["loss_masked"] == pytest.approx(expected, rel=1e-4)


def test_start_is_the_authors(hiera: Any) -> None:
    """Linear layers and the stem by Xavier, biases zero; convolutions with a bias of their own as torch starts them."""
    stem, heads = hiera.backbone.patch_embed.proj, hiera.multi_scale_fusion_heads
    for name, parameter in hiera.named_parameters():
        value = parameter.detach()
        owner = hiera.get_submodule(name.rpartition(".")[0])
        largest = float(value.abs().max())
        if isinstance(owner, torch.nn.LayerNorm):
            assert set(value.tolist()) == {float(name.endswith("weight"))}
        elif isinstance(owner, torch.nn.Linear) and name.endswith("bias"):
            assert largest == 0
        elif isinstance(owner, torch.nn.Linear):
            limit = math.sqrt(6 / (owner.in_features + owner.out_features))
            assert 0.97 * limit < largest <= limit
            assert float(value.std()) == pytest.approx(limit / math.sqrt(3), rel=0.05)
        elif owner is stem and name.endswith("weight"):
            limit = math.sqrt(6 / (3 * 7 * 7 + 46))
            assert 0.97 * limit < largest <= limit
        elif owner is stem or owner in heads:  # torch: up to 1 / sqrt(fan-in), weights and biases
            limit = 1 / math.sqrt(owner.weight[0].numel())
            assert 0.85 * limit < largest <= limit
        else:  # positions and mask token
            assert float(value.std()) == pytest.approx(0.02, rel=0.25), name


def test_decay_is_the_authors(hiera: Any) -> None:
    """Matrices, kernels, positions and the mask token decay; biases and norms do not."""
    config = load_protocol(CONFIG_DIR / "mae_hiera_lite.py", MaskedRecipe, "full")
    groups = group_by_depth(hiera, config.recipe.optimizer)
    decayed = {name for group in groups if group["weight_decay"] > 0 for name in group["names"]}
    assert decayed == {name for name, value in hiera.named_parameters() if value.ndim > 1}
    assert {"backbone.pos_embed", "decoder.pos_embed", "decoder.mask_token"} <= decayed


def test_loaded_weights_stay() -> None:
    """Only random weights are initialized again."""
    made = make_method("mae", arguments=POOLED, **HIERA)
    with torch.no_grad():
        for value in made.backbone.parameters():
            value.fill_(0.5)
    parts = (made.data_preprocessor, made.recipe, "hiera_lite")
    loaded = HieraMae(made.backbone, *parts, random_init=False)
    assert all(bool((value == 0.5).all()) for value in loaded.backbone.parameters())


def test_all_weights_are_trained(hiera: Any) -> None:
    images, seeds = make_batch(2, 224)
    hiera.zero_grad()
    hiera(images=images, seeds=seeds)["loss_masked"].backward()
    assert not [name for name, value in hiera.named_parameters() if value.grad is None]


def test_distillation_is_written_out() -> None:
    """Last block with last block, over all visible tokens; the teacher's last block gives logits only."""
    teacher = make_teacher("hiera_lite", 224, stages=(1, 1, 3, 1), **POOLED)
    student = make_method("mae_distill", arguments=POOLED, teacher=teacher, **HIERA)
    assert student.layer_pairs == [(12, 6)]
    ran: list[str] = []
    teacher.model.blocks[-1].mlp.register_forward_hook(lambda *_: ran.append("mlp"))
    images, seeds = make_batch(1, 224)
    found = compute_losses(student, images, seeds)
    assert not ran
    seen = sample_masking(seeds, 49, 29).visible_indices
    logits = []
    for model in (student.backbone, teacher.model):
        block = model.blocks[-1]
        keep = torch.zeros(1, 49, dtype=torch.bool).scatter_(1, seen, True)
        caught: list[torch.Tensor] = []
        handle = block.attn.register_forward_pre_hook(lambda _, inputs, caught=caught: caught.append(inputs[0]))
        model.forward_features(images, mask=keep)
        handle.remove()
        q, k, _ = (part.reshape(116, 8, 46) for part in block.attn.qkv(caught[0])[0].chunk(3, dim=-1))
        logits.append(torch.einsum("qhc,khc->hqk", q, k) / math.sqrt(46))
    # timm keeps units in rising order: the mean over pairs of tokens does not mind
    expected = naive.reference_logits_loss(student.attn_adapter[0].proj.weight.flatten(1), *logits)
    assert found["loss_attention"] == pytest.approx(float(expected.detach()), rel=1e-4)


def test_what_cannot_be_matched_is_a_sentence() -> None:
    teacher = make_teacher("hiera_lite", 224, **POOLED)
    with pytest.raises(UserError, match="does not attend to all units"):
        make_method("mae_distill", arguments=POOLED, teacher=teacher, distill={"attention_layers": [1]}, **HIERA)
    with pytest.raises(UserError, match="a Hiera learns from a Hiera"):
        make_method("mae_distill", arguments=POOLED, teacher=make_teacher(), **HIERA)
    with pytest.raises(UserError, match="positions=learned"):
        make_method("mae", arguments=POOLED, **(HIERA | {"positions": "fixed"}))
