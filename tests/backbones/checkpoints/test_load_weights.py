"""The load report accounts for every tensor, and only a whole trunk passes unasked."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file as load_safetensors

from backbones.checkpoints.load_weights import LoadReport, load_tensors, load_weight_file
from backbones.checkpoints.read_checkpoint import read_weights
from foundation.errors import CheckpointError
from results.records.record import LoadReportRecord as RecordedReport
from tests.backbones.checkpoints.weights import (
    FORMATS,
    mae_lite_d2_checkpoint,
    make_swin,
    make_vit,
    random_state,
    random_tensor,
    write_checkpoint,
)


def load(model: torch.nn.Module, state: dict[str, torch.Tensor], allow_partial: bool = False) -> LoadReport:
    return load_tensors(model, state, allow_partial=allow_partial, source="file.pth")


def test_the_record_has_the_same_fields() -> None:
    assert [field.name for field in fields(LoadReport)] == list(RecordedReport.model_fields)


@pytest.mark.parametrize("name", FORMATS)
def test_every_report_fits_the_record(name: str, tmp_path: Path) -> None:
    case = FORMATS[name]
    file = read_weights(write_checkpoint(case.make_content(), tmp_path / "w.pth", safetensors=case.safetensors))
    report = load_weight_file(case.make_model(), file, allow_partial=False)
    assert RecordedReport(**asdict(report)).matched_fraction == 1


def test_every_tensor_of_the_file_is_accounted_for(tmp_path: Path) -> None:
    content = mae_lite_d2_checkpoint()
    report = load_weight_file(
        make_vit(), read_weights(write_checkpoint(content, tmp_path / "w.pth")), allow_partial=False
    )
    assert report.matched + len(report.dropped) == len(content["model"])


def test_missing_tensor_raises_and_is_named_with_its_shape() -> None:
    state = random_state(make_vit())
    del state["blocks.1.mlp.fc1.weight"]
    with pytest.raises(CheckpointError, match=r"missing: blocks\.1\.mlp\.fc1\.weight 192x48; choose"):
        load(make_vit(), state)
    report = load(make_vit(), state, allow_partial=True)
    assert report.missing == ["blocks.1.mlp.fc1.weight 192x48"]
    total = sum(v.numel() for k, v in random_state(make_vit()).items() if not k.startswith("head."))
    assert report.matched_fraction == pytest.approx(1 - 192 * 48 / total)
    assert not report.is_complete


def test_more_blocks_than_the_model_is_another_model() -> None:
    with pytest.raises(CheckpointError, match=r"12 unexpected, 2 dropped\); unexpected: blocks\.3"):
        load(make_vit(), random_state(make_vit(depth=4)))
    report = load(make_vit(), random_state(make_vit(depth=4)), allow_partial=True)
    assert report.matched_fraction == 1
    assert not report.is_complete
    assert len(report.unexpected) == 12


def test_other_width_and_depth_raise() -> None:
    with pytest.raises(CheckpointError, match="the file has 1x1x96"):
        load(make_vit(), random_state(make_vit(embed_dim=96)))
    with pytest.raises(CheckpointError, match="12 missing"):
        load(make_vit(depth=4), random_state(make_vit()))


def test_nothing_loaded_raises_even_when_partial_is_allowed() -> None:
    with pytest.raises(CheckpointError, match=r"0\.0 %"):
        load(make_vit(), {"stranger.weight": random_tensor(3, 3)}, allow_partial=True)


def test_pooled_weights_say_how_to_use_them() -> None:
    state = random_state(make_vit(global_pool="avg"))
    with pytest.raises(CheckpointError, match="create the model with fc_norm"):
        load(make_vit(), state)
    assert load(make_vit(global_pool="avg"), state).is_complete


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_load_as_fp32(dtype: torch.dtype) -> None:
    state = {k: v.to(dtype) for k, v in random_state(make_vit()).items()}
    model = make_vit()
    assert load(model, state).matched_fraction == 1
    assert all(v.dtype == torch.float32 for v in model.state_dict().values())
    assert torch.equal(model.state_dict()["cls_token"], state["cls_token"].float())


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.uint8, torch.bool, torch.complex64])
def test_other_kinds_of_numbers_are_refused(dtype: torch.dtype) -> None:
    state = random_state(make_vit())
    state["blocks.0.attn.qkv.weight"] = state["blocks.0.attn.qkv.weight"].to(dtype)
    with pytest.raises(CheckpointError, match=r"holds blocks\.0\.attn\.qkv\.weight as"):
        load(make_vit(), state, allow_partial=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_not_finite_is_refused(value: float, dtype: torch.dtype) -> None:
    state = {k: v.to(dtype) for k, v in random_state(make_vit()).items()}
    state["blocks.0.norm1.bias"][3] = value
    with pytest.raises(CheckpointError, match=r"NaN or infinity in blocks\.0\.norm1\.bias"):
        load(make_vit(), state, allow_partial=True)


def test_batch_norm_counters_are_no_weights() -> None:
    model = timm.create_model("resnet10t", num_classes=2)
    assert load(model, dict(model.state_dict())).matched_fraction == 1


@pytest.mark.shared_data
def test_deit_tiny_equals_timms_own_load(deit_file: Path) -> None:
    ours, theirs = (timm.create_model("deit_tiny_patch16_224") for _ in range(2))
    report = load_weight_file(ours, read_weights(deit_file), allow_partial=False)
    theirs.load_state_dict(load_safetensors(deit_file), strict=True)
    assert report.matched_fraction == 1
    assert report.is_complete
    assert [line.split()[0] for line in report.dropped] == ["head.bias", "head.weight"]
    image = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = ours.eval().forward_features(image) - theirs.eval().forward_features(image)
    assert difference.abs().max() <= 1e-5


def test_tensors_that_the_caller_does_not_read_may_be_absent() -> None:
    """A tracker's file has position embeddings of its own and no classifier; its trunk is complete all the same."""
    state = random_state(make_vit())
    del state["pos_embed"], state["cls_token"]
    state["pos_embed_x"] = random_tensor(1, 256, 48)
    names = ("pos_embed", "cls_token", "reg_token")
    report = load_tensors(make_vit(), state, allow_partial=False, source="file", optional=names)
    assert report.is_complete
    assert report.matched_fraction == 1
    assert "pos_embed, cls_token: not in the file and not needed here" in report.notes
    del state["norm.bias"]
    with pytest.raises(CheckpointError, match=r"missing: norm\.bias"):
        load_tensors(make_vit(), state, allow_partial=False, source="file", optional=names)


def test_the_norm_after_pooling_is_loaded_where_the_file_has_one() -> None:
    tuned, model = make_vit(global_pool="avg"), make_vit(global_pool="avg", num_classes=0)
    state = random_state(tuned)
    report = load(model, state)
    assert report.is_complete
    assert torch.equal(model.state_dict()["fc_norm.weight"], state["fc_norm.weight"])
    assert [line.split()[0] for line in report.dropped] == ["head.weight", "head.bias"]
    assert not any("fc_norm" in note for note in report.notes)
    # a file without it still starts it anew, which is said
    model = make_vit(global_pool="avg", num_classes=0)
    report = load(model, random_state(make_vit()))
    assert report.is_complete
    assert torch.equal(model.state_dict()["fc_norm.weight"], torch.ones(48))
    assert "fc_norm, the norm after pooling, starts at 1 and 0: the file has none" in report.notes
    del state["fc_norm.bias"]
    with pytest.raises(CheckpointError, match=r"missing: fc_norm\.bias 48"):
        load(make_vit(global_pool="avg"), state)


def test_the_norm_of_an_earlier_stage_is_taken_from_simmim_only() -> None:
    """A SimMIM that decodes stage 2 has a norm of 4 x 24 channels; without its mask token the file is a damaged one."""
    state = {name: value for name, value in random_state(make_swin()).items() if not name.startswith("head.")}
    state |= {"norm.weight": random_tensor(96), "norm.bias": random_tensor(96)}
    with pytest.raises(CheckpointError, match=r"norm\.weight 192, the file has 96"):
        load(make_swin(), state)
    model = make_swin()
    report = load(model, {**state, "mask_token": random_tensor(1, 1, 24)})
    assert report.is_complete
    assert "the final norm starts at 1 and 0: the file's belongs to an earlier stage" in report.notes
    assert "norm.weight 96 (norm of the stage that the pre-training's decoder read)" in report.dropped
    assert torch.equal(model.norm.weight, torch.ones(192))
    state |= {"norm.weight": random_tensor(100), "norm.bias": random_tensor(100), "mask_token": random_tensor(1, 1, 24)}
    with pytest.raises(CheckpointError, match=r"norm\.weight 192, the file has 100"):
        load(make_swin(), state)


def test_a_norm_after_pooling_is_never_left_out_in_silence() -> None:
    """A model that pools the class token cannot use it; only beside the token's own norm may it be left out."""
    state = random_state(make_vit(global_pool="avg"))
    with pytest.raises(CheckpointError, match=r"2 missing, 2 unexpected"):
        load(make_vit(), state)
    report = load(make_vit(), {**state, "norm.weight": random_tensor(48), "norm.bias": random_tensor(48)})
    assert report.is_complete
    assert any("norm after pooling; the model norms its tokens instead" in line for line in report.dropped)


@pytest.mark.parametrize("allow_partial", [False, True])
def test_no_option_is_offered_that_does_not_help(allow_partial: bool) -> None:
    """Where nothing fits, ``--allow-partial`` is refused with the sentence that advised it."""
    with pytest.raises(CheckpointError, match=r"nothing of this file fits$") as caught:
        load(make_vit(), {"other": torch.zeros(3)}, allow_partial)
    assert "or accept" not in str(caught.value)
