"""Each format's checkpoint loads whole under its name, and one renamed tensor makes it fail."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from backbones.checkpoints.load_weights import load_tensors, load_weight_file
from backbones.checkpoints.read_checkpoint import read_weights
from foundation.errors import CheckpointError
from tests.backbones.checkpoints.weights import (
    FORMATS,
    beit_checkpoint,
    block_state,
    mae_checkpoint,
    mae_lite_d2_checkpoint,
    make_norm_beit,
    make_vit,
    random_tensor,
    write_checkpoint,
)


@pytest.mark.parametrize("name", FORMATS)
def test_loads_whole(name: str, tmp_path: Path) -> None:
    case = FORMATS[name]
    file = read_weights(write_checkpoint(case.make_content(), tmp_path / "w.pth", safetensors=case.safetensors))
    assert file.format.split(" (")[0] == case.family
    model = case.make_model()
    report = load_weight_file(model, file, allow_partial=False)
    assert report.matched_fraction == 1
    assert not report.missing and not report.unexpected and not report.resized
    assert any(line.startswith(case.dropped) for line in report.dropped) or not case.dropped
    assert all(line.endswith(")") for line in report.dropped), "each dropped tensor carries its reason"


@pytest.mark.parametrize("name", FORMATS)
def test_one_renamed_key_fails(name: str, tmp_path: Path) -> None:
    case = FORMATS[name]
    file = read_weights(
        write_checkpoint(case.make_content(), tmp_path / "w.pth", safetensors=case.safetensors, rename=case.renamed)
    )
    model = case.make_model()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_weight_file(model, file, allow_partial=False)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items()), "the model is left as it was"


@pytest.mark.parametrize("name", FORMATS)
def test_values_arrive(name: str, tmp_path: Path) -> None:
    """Every tensor of the trunk is one of the file's, so nothing keeps its random start."""
    case = FORMATS[name]
    file = read_weights(write_checkpoint(case.make_content(), tmp_path / "w.pth", safetensors=case.safetensors))
    model = case.make_model()
    load_weight_file(model, file, allow_partial=False)
    sums = {round(float(v.double().sum()), 6) for v in file.tensors.values()}
    for key, value in model.state_dict().items():
        if not key.startswith(("head.weight", "head.bias", "head.fc", "fc_norm")):
            assert round(float(value.double().sum()), 6) in sums, key


def test_student_not_teacher_is_taken(tmp_path: Path) -> None:
    content = mae_lite_d2_checkpoint()
    model = make_vit()
    load_weight_file(model, read_weights(write_checkpoint(content, tmp_path / "w.pth")), allow_partial=False)
    assert torch.equal(model.state_dict()["blocks.0.norm1.bias"], content["model"]["module.model.blocks.0.norm1.bias"])


def test_a_whole_13th_block_is_another_model(tmp_path: Path) -> None:
    content = mae_checkpoint()
    content["model"] |= block_state("blocks.3", 48)
    with pytest.raises(CheckpointError, match=r"unexpected: blocks\.3"):
        load_weight_file(make_vit(), read_weights(write_checkpoint(content, tmp_path / "w.pth")), allow_partial=False)


def test_stranger_beside_the_trunk_is_unexpected(tmp_path: Path) -> None:
    content = mae_lite_d2_checkpoint()
    content["model"]["module.stranger.weight"] = random_tensor(3)
    with pytest.raises(CheckpointError, match="stranger"):
        load_weight_file(make_vit(), read_weights(write_checkpoint(content, tmp_path / "w.pth")), allow_partial=False)


def test_beit_without_its_tables_is_refused(tmp_path: Path) -> None:
    """A plain ViT has no place for relative-position tables; leaving them out would change the function."""
    with pytest.raises(CheckpointError, match="relative_position_bias_table"):
        load_weight_file(
            make_vit(), read_weights(write_checkpoint(beit_checkpoint(), tmp_path / "w.pth")), allow_partial=False
        )


def test_q_and_v_bias_and_layer_scale_are_folded_exactly(tmp_path: Path) -> None:
    """The same numbers in BEiT's form and in a plain ViT's give the same features."""
    source = make_norm_beit()
    state = {k: v for k, v in beit_checkpoint()["model"].items() if k in source.state_dict()}
    for name in state:
        if name.endswith("relative_position_bias_table"):
            state[name] = torch.zeros_like(state[name])  # then a plain ViT computes the same
        if "gamma" in name or ("norm" in name and name.endswith("weight")):
            state[name] = state[name] + 0.7
    source.load_state_dict(state, strict=False)
    source.head.reset_parameters()
    plain = {k: v for k, v in source.state_dict().items() if "table" not in k and "index" not in k}
    target = make_vit(pos_embed="none")
    report = load_weight_file(
        target, read_weights(write_checkpoint({"model": plain}, tmp_path / "w.pth")), allow_partial=False
    )
    assert sum("folded" in note for note in report.notes) == 2
    assert any("key bias of 0" in note for note in report.notes)
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        ours, theirs = target.eval().forward_features(image), source.eval().forward_features(image)
    assert torch.allclose(ours, theirs, atol=2e-5)


def test_full_bias_is_split_exactly(tmp_path: Path) -> None:
    """A key bias has no effect on softmax, so a model without one gives the same features."""
    source = make_vit(pos_embed="none", init_values=0.1)
    for value in source.parameters():
        value.data.add_(torch.randn_like(value) * 0.05)
    state = source.state_dict()
    for i in range(3):
        state[f"blocks.{i}.attn.relative_position_bias_table"] = torch.zeros(7 * 7 + 3, 3)
    target = make_norm_beit()
    report = load_weight_file(
        target, read_weights(write_checkpoint({"model": state}, tmp_path / "w.pth")), allow_partial=False
    )
    assert sum("without effect on softmax" in line for line in report.dropped) == 3
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        ours, theirs = target.eval().forward_features(image), source.eval().forward_features(image)
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_a_key_bias_counts_where_keys_are_rotated() -> None:
    """The rotation differs from key to key, so that leaving out the bias would change the attention."""
    model = timm.create_model("eva02_tiny_patch14_224", num_classes=0, img_size=56, depth=1)
    state = dict(model.state_dict())
    query, value = (state.pop(f"blocks.0.attn.{part}_bias") for part in "qv")
    state["blocks.0.attn.qkv.bias"] = torch.cat([query, torch.zeros_like(query), value])
    assert load_tensors(model, state, allow_partial=False, source="x").is_complete
    state["blocks.0.attn.qkv.bias"] = torch.cat([query, torch.ones_like(query), value])
    with pytest.raises(CheckpointError, match=r"unexpected: blocks\.0\.attn\.qkv\.bias"):
        load_tensors(model, state, allow_partial=False, source="x")


def test_shared_table_goes_to_every_block(tmp_path: Path) -> None:
    content = beit_checkpoint()
    state = {k: v for k, v in content["model"].items() if not k.endswith("table")}
    state["rel_pos_bias.relative_position_bias_table"] = random_tensor(7 * 7 + 3, 3)
    model = make_norm_beit()
    load_weight_file(model, read_weights(write_checkpoint({"model": state}, tmp_path / "w.pth")), allow_partial=False)
    tables = [v for k, v in model.state_dict().items() if k.endswith("table")]
    assert len(tables) == 3
    assert all(torch.equal(table, state["rel_pos_bias.relative_position_bias_table"]) for table in tables)


def test_plain_pretraining_into_a_relative_variant_starts_the_tables_at_zero(tmp_path: Path) -> None:
    model = make_norm_beit()
    model_with_both = _with_absolute(model)
    content = mae_checkpoint()
    report = load_weight_file(
        model_with_both, read_weights(write_checkpoint(content, tmp_path / "w.pth")), allow_partial=False
    )
    assert any("start at 0" in note for note in report.notes)
    assert not any("fixed by the shape" in note for note in report.notes), "tables of our own filling say nothing"
    assert all(not v.any() for k, v in model_with_both.state_dict().items() if k.endswith("table"))


def _with_absolute(model: torch.nn.Module) -> torch.nn.Module:
    """BEiT with an absolute embedding too, as MAE-Lite's relative variants are."""
    model.pos_embed = torch.nn.Parameter(torch.zeros(1, 17, 48))
    return model
