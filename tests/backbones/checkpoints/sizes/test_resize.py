"""Resampling on the way: parity with timm, identity, other windows, class-token rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from timm.layers import resample_abs_pos_embed, resample_patch_embed
from timm.layers.pos_embed_rel import resize_rel_pos_bias_table_simple

from backbones.checkpoints.load_weights import LoadReport, load_tensors
from backbones.checkpoints.sizes.position_tables import resize_rel_pos_table
from backbones.checkpoints.sizes.resize import resize_pos_embed
from foundation.errors import CheckpointError
from tests.backbones.checkpoints.weights import backbone_state, make_beit, make_vit, random_state


def load(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> LoadReport:
    return load_tensors(model, state, allow_partial=False, source="file")


@pytest.mark.parametrize("size", [(32, 32), (128, 128), (64, 96), (112, 48)])
def test_position_embedding_equals_timms(size: tuple[int, int]) -> None:
    state, model = backbone_state(make_vit()), make_vit(img_size=size)
    report = load(model, state)
    grid = [size[0] // 16, size[1] // 16]
    expected = resample_abs_pos_embed(state["pos_embed"], grid, num_prefix_tokens=1)
    assert torch.equal(model.state_dict()["pos_embed"], expected)
    rows = grid[0] * grid[1] + 1
    assert report.resized == [f"pos_embed 1x17x48 -> 1x{rows}x48"]
    assert report.matched_fraction == 1


def test_position_embedding_of_the_same_size_is_untouched() -> None:
    state, model = backbone_state(make_vit()), make_vit()
    assert load(model, state).resized == []
    assert torch.equal(model.state_dict()["pos_embed"], state["pos_embed"])


def test_own_non_square_grid_is_untouched() -> None:
    state, model = backbone_state(make_vit(img_size=(64, 96))), make_vit(img_size=(64, 96))
    load(model, state)
    assert torch.equal(model.state_dict()["pos_embed"], state["pos_embed"])


@pytest.mark.parametrize("size", [(32, 128), (128, 32), (16, 256)])
def test_own_grid_with_as_many_patches_as_a_square_is_untouched(size: tuple[int, int]) -> None:
    """16 patches are 2x8 in this model and could be 4x4: the report says how they were read."""
    state, model = backbone_state(make_vit(img_size=size)), make_vit(img_size=size)
    report = load(model, state)
    assert torch.equal(model.state_dict()["pos_embed"], state["pos_embed"])
    assert report.resized == []
    grid = f"{size[0] // 16}x{size[1] // 16}"
    assert any(f"read as a grid of {grid} like the model's" in note for note in report.notes)


@pytest.mark.parametrize("size", [(128, 512), (112, 448), (64, 1024)])
def test_weights_that_are_known_to_be_square_are_resampled(size: tuple[int, int]) -> None:
    side = (size[0] * size[1]) ** 0.5
    state, model = backbone_state(make_vit(img_size=int(side))), make_vit(img_size=size)
    by_card = load_tensors(model, state, allow_partial=False, source="file", card_size=(int(side), int(side)))
    grid = [size[0] // 16, size[1] // 16]
    expected = resample_abs_pos_embed(state["pos_embed"], grid, num_prefix_tokens=1)
    assert torch.equal(model.state_dict()["pos_embed"], expected)
    assert len(by_card.resized) == 1
    # the file itself counts before the card
    arguments = {"img_size": list(size)}
    load_tensors(
        model, state, allow_partial=False, source="file", arguments=arguments, card_size=(int(side), int(side))
    )
    assert torch.equal(model.state_dict()["pos_embed"], state["pos_embed"])


def test_deit_tiny_at_a_wide_size_is_read_as_a_square(deit_file: Path) -> None:
    """Its 196 positions are as many as 7x28; their structure says 14x14, whatever the file is called."""
    tensors = load_file(deit_file)
    model = timm.create_model("deit_tiny_patch16_224", img_size=(112, 448))
    report = load(model, tensors)
    expected = resample_abs_pos_embed(tensors["pos_embed"], [7, 28], num_prefix_tokens=1)
    assert torch.equal(model.state_dict()["pos_embed"], expected)
    assert any("read as a grid of 14x14: its neighbours are more alike than in 7x28" in note for note in report.notes)


def test_positions_without_class_row_keep_the_models_grid() -> None:
    """170 rows are 10x17 patches, and not a class token and 13x13 patches."""
    source, target = make_vit(img_size=(160, 272), no_embed_class=True), make_vit(img_size=(160, 272))
    state = random_state(source)
    load(target, state)
    assert torch.equal(target.state_dict()["pos_embed"][:, 1:], state["pos_embed"])


def test_unknown_non_square_grid_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not a square grid"):
        load(make_vit(), backbone_state(make_vit(img_size=(64, 112))))
    with pytest.raises(CheckpointError, match="not a square grid"):
        resize_pos_embed(torch.zeros(1, 29, 8), (4, 4), 1)


def test_class_row_missing_is_a_row_of_zeros() -> None:
    """timm's ``no_embed_class`` adds positions to patches only: a class row of 0 computes the same."""
    source, target = make_vit(no_embed_class=True), make_vit()
    source.load_state_dict(random_state(source))
    report = load(target, dict(source.state_dict()))
    assert any("class-token row" in note for note in report.notes)
    assert same_features(source, target)


def test_class_row_too_many_goes_into_the_token() -> None:
    source, target = make_vit(), make_vit(no_embed_class=True)
    source.load_state_dict(random_state(source))
    load(target, dict(source.state_dict()))
    assert same_features(source, target)


def test_class_row_without_a_class_token_is_refused() -> None:
    with pytest.raises(CheckpointError, match="class-token row"):
        load(make_vit(class_token=False, global_pool="avg"), backbone_state(make_vit()))


@pytest.mark.parametrize("patch", [8, 32])
def test_patch_embedding_equals_timms(patch: int) -> None:
    state, model = backbone_state(make_vit()), make_vit(patch_size=patch)
    report = load(model, state)
    expected = resample_patch_embed(state["patch_embed.proj.weight"], [patch, patch])
    assert torch.allclose(model.state_dict()["patch_embed.proj.weight"], expected)
    assert any(line.startswith("patch_embed.proj.weight 48x3x16x16 -> ") for line in report.resized)


@pytest.mark.parametrize("extra", [0, 3])
def test_table_14_to_32(extra: int) -> None:
    table = torch.randn(27 * 27 + extra, 12)
    out = resize_rel_pos_table(table, (32, 32), 63 * 63 + extra)
    assert out.shape == (63 * 63 + extra, 12)
    assert torch.equal(out[63 * 63 :], table[27 * 27 :]), "the class-token entries are carried over"
    assert torch.allclose(out, resize_rel_pos_bias_table_simple(table, (32, 32), tuple(out.shape)), atol=1e-6)
    middle, centre = 31 * 63 + 31, 13 * 27 + 13
    assert torch.allclose(out[middle], table[centre], atol=1e-6), "offset 0 stays offset 0"


def test_table_is_identity_at_its_own_size() -> None:
    table = torch.randn(27 * 27 + 3, 12)
    assert resize_rel_pos_table(table, (14, 14), 27 * 27 + 3) is table


def test_table_to_a_non_square_window() -> None:
    out = resize_rel_pos_table(torch.ones(27 * 27 + 3, 2), (8, 16), 15 * 31 + 3)
    assert out.shape == (15 * 31 + 3, 2)
    assert torch.allclose(out, torch.ones_like(out), atol=1e-5)


@pytest.mark.parametrize("rows", [27 * 27 + 2, 28 * 28 + 3, 3, 1])
def test_table_of_no_window_is_refused(rows: int) -> None:
    with pytest.raises(CheckpointError, match="no square window"):
        resize_rel_pos_table(torch.zeros(rows, 2), (32, 32), 63 * 63 + 3)


def test_tables_in_a_model() -> None:
    state, model = backbone_state(make_beit()), make_beit(img_size=128)
    report = load(model, state)
    assert report.resized == [f"blocks.{i}.attn.relative_position_bias_table 52x3 -> 228x3" for i in range(3)]


def test_tables_of_another_head_count_are_refused_by_name() -> None:
    with pytest.raises(CheckpointError, match=r"3 attention heads .* has 6"):
        load(make_beit(num_heads=6), backbone_state(make_beit()))


def same_features(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        return torch.allclose(one.eval().forward_features(image), other.eval().forward_features(image), atol=1e-5)
