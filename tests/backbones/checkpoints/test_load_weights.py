"""The load report accounts for every tensor, and only a whole trunk passes unasked."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file as load_safetensors

from backbones.checkpoints.load_weights import LoadReport, load_file, load_into
from backbones.checkpoints.read_checkpoint import read_weights
from foundation.errors import CheckpointError
from results.records.record import LoadReport as RecordedReport
from tests.backbones.checkpoints.weights import FORMATS, filled, mae_lite_d2, r, vit, write


def load(model: torch.nn.Module, state: dict[str, torch.Tensor], allow_partial: bool = False) -> LoadReport:
    return load_into(model, state, allow_partial=allow_partial, source="file.pth")


def test_the_record_has_the_same_fields() -> None:
    assert [field.name for field in fields(LoadReport)] == list(RecordedReport.model_fields)


@pytest.mark.parametrize("name", FORMATS)
def test_every_report_fits_the_record(name: str, tmp_path: Path) -> None:
    case = FORMATS[name]
    file = read_weights(write(case.content(), tmp_path / "w.pth", safetensors=case.safetensors))
    report = load_file(case.model(), file, allow_partial=False)
    assert RecordedReport(**asdict(report)).share == 1


def test_every_tensor_of_the_file_is_accounted_for(tmp_path: Path) -> None:
    content = mae_lite_d2()
    report = load_file(vit(), read_weights(write(content, tmp_path / "w.pth")), allow_partial=False)
    assert report.matched + len(report.dropped) == len(content["model"])


def test_missing_tensor_raises_and_is_named_with_its_shape() -> None:
    state = filled(vit())
    del state["blocks.1.mlp.fc1.weight"]
    with pytest.raises(CheckpointError, match=r"missing: blocks\.1\.mlp\.fc1\.weight 192x48; choose"):
        load(vit(), state)
    report = load(vit(), state, allow_partial=True)
    assert report.missing == ["blocks.1.mlp.fc1.weight 192x48"]
    total = sum(v.numel() for k, v in filled(vit()).items() if not k.startswith("head."))
    assert report.share == pytest.approx(1 - 192 * 48 / total)
    assert not report.whole


def test_more_blocks_than_the_model_is_another_model() -> None:
    with pytest.raises(CheckpointError, match=r"12 unexpected, 2 dropped\); unexpected: blocks\.3"):
        load(vit(), filled(vit(depth=4)))
    report = load(vit(), filled(vit(depth=4)), allow_partial=True)
    assert report.share == 1
    assert not report.whole
    assert len(report.unexpected) == 12


def test_other_width_and_depth_raise() -> None:
    with pytest.raises(CheckpointError, match="the file has 1x1x96"):
        load(vit(), filled(vit(embed_dim=96)))
    with pytest.raises(CheckpointError, match="12 missing"):
        load(vit(depth=4), filled(vit()))


def test_nothing_loaded_raises_even_when_partial_is_allowed() -> None:
    with pytest.raises(CheckpointError, match=r"0\.0 %"):
        load(vit(), {"stranger.weight": r(3, 3)}, allow_partial=True)


def test_pooled_weights_say_how_to_use_them() -> None:
    state = filled(vit(global_pool="avg"))
    with pytest.raises(CheckpointError, match="make the model with fc_norm"):
        load(vit(), state)
    assert load(vit(global_pool="avg"), state).whole


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_load_as_fp32(dtype: torch.dtype) -> None:
    state = {k: v.to(dtype) for k, v in filled(vit()).items()}
    model = vit()
    assert load(model, state).share == 1
    assert all(v.dtype == torch.float32 for v in model.state_dict().values())
    assert torch.equal(model.state_dict()["cls_token"], state["cls_token"].float())


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.uint8, torch.bool, torch.complex64])
def test_other_kinds_of_numbers_are_refused(dtype: torch.dtype) -> None:
    state = filled(vit())
    state["blocks.0.attn.qkv.weight"] = state["blocks.0.attn.qkv.weight"].to(dtype)
    with pytest.raises(CheckpointError, match=r"holds blocks\.0\.attn\.qkv\.weight as"):
        load(vit(), state, allow_partial=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_not_finite_is_refused(value: float, dtype: torch.dtype) -> None:
    state = {k: v.to(dtype) for k, v in filled(vit()).items()}
    state["blocks.0.norm1.bias"][3] = value
    with pytest.raises(CheckpointError, match=r"NaN or infinity in blocks\.0\.norm1\.bias"):
        load(vit(), state, allow_partial=True)


def test_batch_norm_counters_are_no_weights() -> None:
    model = timm.create_model("resnet10t", num_classes=2)
    assert load(model, dict(model.state_dict())).share == 1


@pytest.mark.shared_data
def test_deit_tiny_equals_timms_own_load(deit_file: Path) -> None:
    ours, theirs = (timm.create_model("deit_tiny_patch16_224") for _ in range(2))
    report = load_file(ours, read_weights(deit_file), allow_partial=False)
    theirs.load_state_dict(load_safetensors(deit_file), strict=True)
    assert report.share == 1
    assert report.whole
    assert [line.split()[0] for line in report.dropped] == ["head.bias", "head.weight"]
    image = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = ours.eval().forward_features(image) - theirs.eval().forward_features(image)
    assert difference.abs().max() <= 1e-5
