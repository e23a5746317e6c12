"""MAE against its formulas written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from backbones.create import create_backbone
from foundation.errors import UserError
from pretraining.models.patches import (
    Masking,
    count_visible_patches,
    gather_tokens,
    normalize_patches,
    patchify,
    sample_masking,
    scatter_tokens,
    unpatchify,
)
from pretraining.models.sincos_pos_embed import sincos_pos_embed
from pretraining.models.vit import embed_patches
from pretraining.recipe import DecoderShape
from tests.pretraining import naive
from tests.pretraining.make import compute_losses, make_batch, make_method


def test_loss_is_the_papers() -> None:
    """Mean over images of each image's loss; 1e-4, float32 against partly float64."""
    mae = make_method("mae")
    images, seeds = make_batch()
    order = sample_masking(seeds, 16, 4).permutation
    wanted = [naive.reference_mae_loss(mae, image, row.tolist(), 4) for image, row in zip(images, order, strict=True)]
    expected = torch.stack(wanted).mean().detach()
    found = compute_losses(mae, images, seeds)
    assert set(found) == {"loss_masked"}
    assert found["loss_masked"] == pytest.approx(float(expected), rel=1e-4)


def test_raw_targets_and_visible_loss() -> None:
    """norm_pix off changes the target; the visible loss is added with its weight."""
    images, seeds = make_batch()
    raw, both = make_method("mae", norm_pix=False), make_method("mae", visible_loss=0.5)
    plain = compute_losses(make_method("mae"), images, seeds)
    assert compute_losses(raw, images, seeds)["loss_masked"] != pytest.approx(plain["loss_masked"], rel=1e-3)
    found = compute_losses(both, images, seeds)
    assert found["loss_masked"] == pytest.approx(plain["loss_masked"], rel=1e-5)
    masking = sample_masking(seeds, 16, 4)
    patches = patchify(images, (8, 8))
    predicted = both.decoder(both.encode_visible(images, patches, masking), masking, predict_visible=True)[:, :4]
    expected = ((predicted - normalize_patches(gather_tokens(patches, masking.visible_indices))) ** 2).mean()
    assert found["loss_visible"] == pytest.approx(0.5 * float(expected.detach()), rel=1e-5)


def test_encoder_sees_visible_patches_only() -> None:
    mae = make_method("mae")
    images, seeds = make_batch()
    masking = sample_masking(seeds, 16, 4)
    patches = patchify(images, (8, 8))
    changed = scatter_tokens(
        torch.cat([gather_tokens(patches, masking.visible_indices), torch.randn(3, 12, 192)], dim=1),
        masking.permutation,
    )
    assert torch.equal(mae.encode_visible(images, patches, masking), mae.encode_visible(images, changed, masking))
    assert mae.encode_visible(images, patches, masking).shape == (3, 5, 64)


def test_masks_are_a_function_of_the_item_alone() -> None:
    """Each a permutation, all places equally often, whatever the batch they are drawn in."""
    seeds = torch.arange(20_000)
    whole = sample_masking(seeds, 16, 4)
    assert torch.equal(whole.permutation.sort(1).values, torch.arange(16).expand(20_000, -1))
    assert torch.equal(sample_masking(seeds[100:200], 16, 4).permutation, whole.permutation[100:200])
    shares = torch.bincount(whole.visible_indices.flatten(), minlength=16) / 20_000
    assert bool(((shares - 0.25).abs() < 0.02).all()), "0.25 each; four standard errors are 0.012"
    assert len({tuple(row) for row in whole.permutation[:1000].tolist()}) == 1000


def test_put_back_undoes_the_shuffle() -> None:
    tokens = torch.arange(2 * 6).reshape(2, 6, 1).float()
    order = torch.tensor([[3, 1, 0, 5, 4, 2], [0, 5, 1, 4, 2, 3]])
    shuffled = gather_tokens(tokens, order)
    assert shuffled[0, :, 0].tolist() == [3, 1, 0, 5, 4, 2]
    assert torch.equal(scatter_tokens(shuffled, order), tokens)
    masking = Masking(order, 2)
    assert masking.visible_indices[0].tolist() == [3, 1]
    assert masking.masked_indices[1].tolist() == [1, 4, 2, 3]


def test_patches_are_row_by_row() -> None:
    image = torch.arange(3 * 4 * 6).reshape(1, 3, 4, 6).float()
    patches = patchify(image, (2, 2))
    for number in range(6):
        assert torch.equal(patches[0, number], naive.extract_patch(image[0], number, 2))
    assert torch.equal(unpatchify(patches, (2, 2), (2, 3)), image)


def test_targets_by_hand() -> None:
    """Of 1, 2, 3, 6: mean 3, unbiased variance 14/3."""
    found = normalize_patches(torch.tensor([[1.0, 2.0, 3.0, 6.0]]))
    expected = torch.tensor([[-2.0, -1.0, 0.0, 3.0]]) / (14 / 3 + 1e-6) ** 0.5
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_positions_entry_by_entry() -> None:
    torch.testing.assert_close(
        sincos_pos_embed(16, (5, 5), 1)[0].double(), naive.reference_pos_embed(16, 5), rtol=0, atol=1e-6
    )
    with pytest.raises(UserError, match="multiple of 4"):
        sincos_pos_embed(18, (2, 2), 1)


def test_parameters_of_the_papers() -> None:
    """ViT-Tiny's encoder and the decoders of table 1.1."""
    mae = make_method("mae", "vit_tiny", size=224)
    assert sum(value.numel() for value in mae.exported_encoder.parameters()) == 5_524_416
    assert sum(value.numel() for value in mae.decoder.parameters()) == 224_064
    assert mae.num_visible == 49
    small = make_method("mae", "vit_small", size=224)
    assert sum(value.numel() for value in small.decoder.parameters()) == 705_408


def test_initial_weights_are_those_of_maes_code() -> None:
    """Xavier-uniform matrices (the patch projection as one), zero biases but that of the patch projection, tokens 0.02.

    A uniform distribution within b has the deviation b / sqrt(3). The patch projection keeps the bias that torch gives
    a convolution: within 1 / sqrt(pixels per patch).
    """
    mae = make_method("mae", "vit_tiny", size=32)
    for name, value in mae.named_parameters():
        weight = value.detach().flatten(1) if value.ndim > 1 else value.detach()
        if "norm" in name:
            assert torch.equal(weight, torch.full_like(weight, float(name.endswith("weight")))), name
        elif name.endswith("token"):
            assert float(weight.std()) == pytest.approx(0.02, rel=0.3), name
        elif name == "backbone.patch_embed.proj.bias" or value.ndim > 1:
            if "pos_embed" in name:
                continue
            rows, columns = weight.shape if weight.ndim > 1 else (None, 3 * 16 * 16)
            bound = columns**-0.5 if rows is None else (6 / (rows + columns)) ** 0.5
            assert float(weight.abs().max()) <= bound, name
            assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.15 if rows is None else 0.03), name
        else:
            assert not weight.any(), name


def test_positions_are_fixed_or_learned() -> None:
    fixed, learned = make_method("mae"), make_method("mae", positions="learned")
    torch.testing.assert_close(
        fixed.backbone.pos_embed[0].double(), naive.reference_pos_embed(64, 4), rtol=0, atol=1e-6
    )
    for mae, trains in ((fixed, False), (learned, True)):
        assert mae.backbone.pos_embed.requires_grad is mae.decoder.pos_embed.requires_grad is trains
        images, seeds = make_batch()
        mae(images=images, seeds=seeds)["loss_masked"].backward()
        missing = [name for name, value in mae.named_parameters() if value.requires_grad and value.grad is None]
        assert not missing, "every trained weight has a gradient, as several processes need it"


@pytest.mark.parametrize(("backbone", "size"), [("vit_nano", 32), ("vit_cifar", 36)])
def test_all_patches_embedded_are_timms(backbone: str, size: int) -> None:
    """Class token or dummy patch, positions, projection as a matrix: what timm feeds to its blocks (1e-5)."""
    model: Any = create_backbone(backbone, checkpoint="random", num_classes=0).model
    images = make_batch(2, size)[0]
    patch = tuple(model.patch_embed.patch_size)
    expected = model._pos_embed(model.patch_embed(images))
    torch.testing.assert_close(embed_patches(model, patchify(images, patch), None), expected, rtol=1e-5, atol=1e-5)


def test_tans_method() -> None:
    """145 tokens of which 37 are seen, the dummy patch among them; positions of both parts are learned."""
    tan = make_method("mae_cifar", "vit_cifar", size=36, positions="learned", visible_loss=0.1)
    images, seeds = make_batch(2, 36)
    patches, masking = tan.patchify_and_mask(images, seeds)
    assert patches.shape == (2, 144, 27)
    assert embed_patches(tan.backbone, patches, masking).shape == (2, 37, 192)
    found = tan(images=images, seeds=seeds)
    assert set(found) == {"loss_masked", "loss_visible"}
    sum(found.values()).backward()
    trained = [positions.grad.abs().sum(2)[0] > 0 for positions in (tan.backbone.pos_embed, tan.decoder.pos_embed)]
    seen = {0, *(1 + masking.visible_indices).flatten().tolist()}
    assert set(trained[0].nonzero().flatten().tolist()) == seen, "the dummy patch and what is visible"
    assert bool(trained[1].all())


def test_decoder_shape_follows_the_recipe() -> None:
    mae = make_method("mae", decoder=DecoderShape(width=48, depth=2, heads=4).model_dump())
    assert len(mae.decoder.blocks) == 2
    assert mae.decoder.blocks[0].attn.num_heads == 4
    with pytest.raises(UserError, match="cannot be split over 5 heads"):
        make_method("mae", decoder={"width": 48, "heads": 5})


@pytest.mark.parametrize(("backbone", "words"), [("vit_tiny_rpe", "without _rpe"), ("swin_lite", "plain ViTs")])
def test_other_architectures_are_refused(backbone: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        make_method("mae", backbone, size=224)


@pytest.mark.parametrize(("patches", "ratio"), [(16, 0.99), (16, 0.0)])
def test_a_mask_hides_some_and_not_all(patches: int, ratio: float) -> None:
    with pytest.raises(UserError, match="patches visible"):
        count_visible_patches(patches, ratio)


def test_reconstruction_keeps_the_visible() -> None:
    mae = make_method("mae").eval()
    images, seeds = make_batch()
    drawn = mae.reconstruct_images(images, seeds)
    kept = drawn.masked != 0
    assert float(kept.float().mean()) == pytest.approx(0.25, abs=1e-3)
    assert torch.equal(drawn.reconstructed[kept], images[kept])
    assert drawn.reconstructed.shape == images.shape


def test_average_follows_the_backbone() -> None:
    mae = make_method("mae")
    mae.enable_ema(0.9)
    before = mae.ema_model.blocks[0].mlp.fc1.weight.clone()
    with torch.no_grad():
        mae.backbone.blocks[0].mlp.fc1.weight += 1
    mae.after_step()
    torch.testing.assert_close(mae.ema_model.blocks[0].mlp.fc1.weight, before + 0.1, rtol=0, atol=1e-6)
    assert mae.exported_encoder is mae.ema_model
    assert any(name.startswith("ema_model.") for name in mae.state_dict())


def test_start_weights_are_kept() -> None:
    """Only a random backbone is initialised anew."""
    from pretraining.data.gpu_augmentation import BatchPreprocessor
    from pretraining.methods.mae import Mae
    from tests.pretraining.make import HALF_MEAN, MINIMAL_RECIPE, make_pool

    model = create_backbone("vit_nano", checkpoint="random", num_classes=0).model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    from pretraining.recipe import MaskedRecipe

    recipe = MaskedRecipe.model_validate(MINIMAL_RECIPE)
    mae = Mae(
        model, BatchPreprocessor(make_pool(), recipe, 32, HALF_MEAN, HALF_MEAN), recipe, "vit_nano", random_init=False
    )
    assert all(torch.equal(value, before[name]) for name, value in mae.backbone.state_dict().items())
