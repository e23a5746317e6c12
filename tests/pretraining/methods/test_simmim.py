"""SimMIM against its formulas written out: masks, decoders, initial weights, stochastic depth."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from timm.layers import DropPath
from torch import nn

from foundation.errors import UserError
from pretraining.methods.simmim import expand_unit_masks, masked_l1_loss, sample_unit_masks
from pretraining.models.swin import compute_window_logits
from pretraining.recipe import SimmimRecipe
from tests.pretraining.make import MINIMAL_RECIPE, compute_losses, make_batch, make_method

SMALL = {"embed_dim": 24, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 2, 2)}
"""A Swin for images of 64 px, whose last map has 2 x 2 cells."""


@pytest.fixture(scope="module")
def simmim() -> Any:
    return make_method("simmim", "swin_lite", size=224, decoder="block", drop_path=0.1).eval()


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


@torch.no_grad()
def test_loss_is_written_out(simmim: Any) -> None:
    """Mask tokens in the masked units, norm, 96 channels, a block, a 1x1 convolution, pixels in their places (1e-5)."""
    images, seeds = make_batch(1, 224)
    model = simmim.backbone
    masks = sample_unit_masks(seeds, (7, 7), 0.6)
    tokens = model.patch_embed(images)
    for y in range(56):
        for x in range(56):
            if masks[0, y // 8, x // 8]:
                tokens[0, y, x] = simmim.mask_token[0, 0, 0]
    features = model.layers(tokens)
    spread = (features.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    features = (features - features.mean(-1, keepdim=True)) / spread  # weight 1 and bias 0 at the start
    narrow = features @ simmim.decoder.embed.weight.T + simmim.decoder.embed.bias
    mixed = write_out_block(simmim.decoder.block, narrow)[0]
    layer, total = simmim.decoder.head[0], 0.0
    assert layer.weight.shape == (3 * 32 * 32, 96, 1, 1)
    for y in range(7):
        for x in range(7):
            if masks[0, y, x]:
                predicted = (layer.weight[:, :, 0, 0] @ mixed[y, x] + layer.bias).reshape(3, 32, 32)
                truth = images[0, :, 32 * y : 32 * y + 32, 32 * x : 32 * x + 32]
                total += float((predicted - truth).abs().sum())
    assert compute_losses(simmim, images, seeds)["loss_masked"] == pytest.approx(total / (30 * 32 * 32 * 3), rel=1e-5)


def write_out_block(block: Any, tokens: torch.Tensor) -> torch.Tensor:
    """A Swin block whose only window is the map of 7 x 7: softmax(q k / sqrt(32) + bias) v in three heads, then MLP."""
    flat = tokens.flatten(1, 2)
    normed = nn.functional.layer_norm(flat, (96,), block.norm1.weight, block.norm1.bias, 1e-5)
    qkv = (normed @ block.attn.qkv.weight.T + block.attn.qkv.bias).reshape(-1, 49, 3, 3, 32).permute(2, 0, 3, 1, 4)
    table, bias = block.attn.relative_position_bias_table, torch.empty(3, 49, 49)
    for a in range(49):
        for b in range(49):
            bias[:, a, b] = table[(a // 7 - b // 7 + 6) * 13 + a % 7 - b % 7 + 6]
    weights = (qkv[0] @ qkv[1].transpose(-1, -2) / math.sqrt(32) + bias).softmax(-1)
    mixed = (weights @ qkv[2]).transpose(1, 2).reshape(-1, 49, 96)
    flat = flat + mixed @ block.attn.proj.weight.T + block.attn.proj.bias
    normed = nn.functional.layer_norm(flat, (96,), block.norm2.weight, block.norm2.bias, 1e-5)
    hidden = nn.functional.gelu(normed @ block.mlp.fc1.weight.T + block.mlp.fc1.bias)
    return (flat + hidden @ block.mlp.fc2.weight.T + block.mlp.fc2.bias).view_as(tokens)


def test_the_decoder_has_the_papers_weights(simmim: Any) -> None:
    """384 x 96 + 96, a block of 12 x 96 x 96 weights, 13 x 96 biases and norms, 169 x 3 positions, then 96 x 3,072."""
    linear, block = 384 * 96 + 96, 12 * 96**2 + 13 * 96 + 169 * 3
    assert sum(value.numel() for value in simmim.decoder.parameters()) == linear + block + 96 * 3072 + 3072 == 447_291


def test_simmims_own_decoder_is_one_convolution() -> None:
    method = make_method("simmim", "swin_lite", size=64, arguments=SMALL)
    assert SimmimRecipe.model_validate(MINIMAL_RECIPE).decoder == "conv", "what records of version 1 say"
    (weight, bias) = method.decoder.parameters()
    assert (weight.shape, bias.shape) == ((3072, 192, 1, 1), (3072,))
    images, seeds = make_batch(1, 64)
    masks = sample_unit_masks(seeds, (2, 2), 0.6)
    predicted = method.predict_pixels(images, masks)
    tokens = method.backbone.norm(method.backbone.layers(method.backbone.patch_embed(images) * 0 + method.mask_token))
    all_masked = method.predict_pixels(images, torch.ones_like(masks))
    pixels = (tokens[0, 1, 0] @ weight[:, :, 0, 0].T + bias).reshape(3, 32, 32)
    torch.testing.assert_close(all_masked[0, :, 32:, :32], pixels, rtol=1e-4, atol=1e-5)
    assert predicted.shape == images.shape


@torch.no_grad()
def test_initial_weights(simmim: Any) -> None:
    """Swin's: linear layers and position tables with deviation 0.02 (cut at 2), biases 0; convolutions as torch's."""
    for name, part in simmim.named_modules():
        if isinstance(part, nn.Linear) and part.weight.numel() > 2000:
            assert float(part.weight.std()) == pytest.approx(0.02, rel=0.15), name
            assert part.bias is None or not bool(part.bias.any()), name
    assert float(simmim.decoder.block.attn.relative_position_bias_table.std()) == pytest.approx(0.02, rel=0.15)
    bound = 1 / math.sqrt(96)  # of torch's convolutions, uniform
    assert float(simmim.decoder.head[0].weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)


def test_stochastic_depth_rises_over_the_encoder(simmim: Any) -> None:
    """0 to 0.1 over 12 blocks; the block of the decoder has none."""
    blocks = [block for stage in simmim.backbone.layers for block in stage.blocks]
    rates = [[getattr(part, "drop_prob", 0.0) for part in (block.drop_path1, block.drop_path2)] for block in blocks]
    assert rates == [[pytest.approx(0.1 * number / 11)] * 2 for number in range(12)]
    assert not any(isinstance(part, DropPath) for part in simmim.decoder.modules())
    recipe = SimmimRecipe.model_validate({**MINIMAL_RECIPE, "accumulate": 2})
    assert "accumulate" not in recipe.identity_settings()
    assert recipe.model_copy(update={"drop_path": 0.1}).identity_settings()["accumulate"] == 2, "pieces draw anew"


def test_all_weights_are_trained() -> None:
    images, seeds = make_batch(1, 64)
    method = make_method("simmim", "swin_lite", size=64, decoder="block", arguments=SMALL)
    method(images=images, seeds=seeds)["loss_masked"].backward()
    assert not [name for name, value in method.named_parameters() if value.grad is None]


def test_logits_are_those_of_timm(simmim: Any) -> None:
    """With the position bias, before the softmax: what timm's attention multiplies the values with (1e-5)."""
    block = simmim.backbone.layers[-1].blocks[-1]
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


def test_what_does_not_fit_is_a_sentence() -> None:
    with pytest.raises(UserError, match="simmim is for Swin"):
        make_method("simmim", "vit_nano")
    with pytest.raises(UserError, match="units of 48 px"):
        make_method("simmim", "swin_lite", size=224, mask_patch_size=48)
