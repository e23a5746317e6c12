"""Segmentors are exported with one size or any, with logits or labels; windows outside give torch's very procedure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.cli.main import main
from deployment.formats import EXPORT_FORMATS, ExportFormat
from deployment.image_models import load_image_model
from engine.evaluation.model_source import ModelSource
from foundation.environment import get_cache_dir
from foundation.errors import UserError
from segmentation.as_is.evaluation import open_segmentor
from segmentation.as_is.finished_model import FinishedSegmentor
from segmentation.as_is.mmseg_config import build_segmentor_of_config, read_mmseg_config
from segmentation.as_is.settings import SegmentationSettings
from segmentation.data.mini_ade import make_mini_ade
from segmentation.deployment.export import export_run, export_segmentor
from segmentation.deployment.runtime_network import SegmentorNetwork, make_segmentor_origin
from segmentation.tasks import MINI_ADE
from tests.deployment.make import skip_without_runtime
from tests.segmentation.as_is.make import CONFIG, write_config
from tests.wild_data.test_masks import make_writer, write_image, write_mask

UPER_HEAD = CONFIG[CONFIG.index("    decode_head=dict(") : CONFIG.index("    auxiliary_head=dict(")]
FCN_HEAD = """    decode_head=dict(
        type="FCNHead", in_channels=64, in_index=3, channels=16, num_convs=1, num_classes=150, norm_cfg=norm_cfg,
        align_corners=False,
    ),
"""
FPN_HEAD = """    decode_head=dict(
        type="FPNHead", in_channels=[8, 16, 32, 64], in_index=[0, 1, 2, 3], feature_strides=[4, 8, 16, 32], channels=16,
        num_classes=150, norm_cfg=norm_cfg, align_corners=False,
    ),
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        make_mini_ade(get_cache_dir())
        yield get_cache_dir()


@pytest.fixture(scope="module")
def run(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of mini_ade with windows of 64 px."""
    out = tmp_path_factory.mktemp("runs")
    words = ("mini_ade", "--backbone", "vit_nano", "--protocol", "linear", "--tier", "smoke", "--device", "cpu")
    assert main(["run", *words, "--out", str(out)]) == 0
    (record,) = out.rglob("record.json")
    return record.parent


def open_run(run: Path) -> FinishedSegmentor:
    return open_segmentor(ModelSource(run=run, device="cpu"), SegmentationSettings(), "cpu")


def open_config(folder: Path, head: str) -> FinishedSegmentor:
    """An mmseg model of convolutions with random weights."""
    config = write_config(folder, text=CONFIG.replace(UPER_HEAD, head))
    torch.manual_seed(0)
    model = build_segmentor_of_config(read_mmseg_config(config), "cpu")
    torch.save({"state_dict": model.state_dict(), "meta": {}}, folder / "weights.pth")
    source = ModelSource(config=config, checkpoint=folder / "weights.pth", device="cpu")
    return open_segmentor(source, SegmentationSettings(), "cpu")


def compute_logits(segmentor: FinishedSegmentor, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return torch.nn.functional.interpolate(segmentor.network(images), images.shape[2:], mode="bilinear")


@pytest.mark.parametrize("format_", EXPORT_FORMATS)
def test_a_run_is_exported_with_its_window(run: Path, tmp_path: Path, format_: ExportFormat) -> None:
    skip_without_runtime(format_)
    folder, manifest = export_run(run, format_, "f32", tmp_path)
    assert manifest.size == [64, 64] and manifest.facts.kind == "segmentor" and len(manifest.facts.class_names) == 150
    assert manifest.origin.task == "mini_ade" and manifest.facts.preprocessing["stride"] == [32, 32]
    images = torch.randn(2, 3, 64, 64)
    assert torch.allclose(load_image_model(folder)(images), compute_logits(open_run(run), images), atol=1e-4)


@pytest.mark.parametrize("format_", EXPORT_FORMATS)
def test_labels_of_a_size_that_the_patch_does_not_divide(run: Path, tmp_path: Path, format_: ExportFormat) -> None:
    """Positions are resized inside, with torch's anti-aliasing; the padding is cut off again."""
    skip_without_runtime(format_)
    folder, manifest = export_run(run, format_, "f32", tmp_path, size=(70, 100), output="labels")
    assert manifest.size == [70, 100] and manifest.parity.agreement > 0.999 and manifest.parity.difference is None
    image = torch.randn(1, 3, 70, 100)
    padded = compute_logits(open_run(run), torch.nn.functional.pad(image, (0, 4, 0, 2)))
    found = load_image_model(folder)(image)
    assert found.dtype == torch.uint8 and found.shape == (1, 70, 100)
    assert float((found == padded[:, :, :70, :100].argmax(1)).float().mean()) > 0.999


def test_positions_of_a_fixed_number_refuse_a_dynamic_size(run: Path, tmp_path: Path) -> None:
    skip_without_runtime("onnx")
    with pytest.raises(UserError, match="name a fixed size with --size HxW"):
        export_run(run, "onnx", "f32", tmp_path, size="dynamic")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("format_", "head"), [("onnx", FCN_HEAD), ("openvino", FPN_HEAD)])
def test_a_users_own_mmseg_model_takes_any_size(cache: Path, tmp_path: Path, format_: ExportFormat, head: str) -> None:
    """The head of semantic FPN enlarges by factors, which mmseg computes as numbers."""
    skip_without_runtime(format_)
    segmentor = open_config(tmp_path, head)
    origin, out = make_segmentor_origin(segmentor), tmp_path / "out"
    folder, manifest = export_segmentor(segmentor, format_, "f32", out, origin=origin, size="dynamic")
    assert len(manifest.parity.sizes) == 2 and manifest.facts.dynamic_size
    image = torch.randn(1, 3, 75, 131)
    assert torch.allclose(load_image_model(folder)(image), compute_logits(segmentor, image), atol=1e-4)


def test_pooling_to_a_fixed_grid_refuses_a_dynamic_size(cache: Path, tmp_path: Path) -> None:
    """The head of UperNet pools to 2 x 2 cells, which ONNX can only say of a known size."""
    skip_without_runtime("onnx")
    segmentor = open_config(tmp_path, UPER_HEAD)
    origin, out = make_segmentor_origin(segmentor), tmp_path / "out"
    with pytest.raises(UserError, match=r"name a fixed (one|size) with --size HxW"):
        export_segmentor(segmentor, "onnx", "f32", out, origin=origin, size="dynamic")
    assert export_segmentor(segmentor, "onnx", "f32", out, origin=origin).manifest.size == [64, 64]


def test_a_model_that_mmsegs_own_code_segments_is_refused(cache: Path, tmp_path: Path) -> None:
    skip_without_runtime("onnx")
    segmentor = open_config(tmp_path, FCN_HEAD)
    other = replace(segmentor, segment_by_itself=lambda path: pytest.fail("not called"))
    with pytest.raises(UserError, match="segmented by mmseg's own code"):
        export_segmentor(other, "onnx", "f32", tmp_path / "out", origin=make_segmentor_origin(segmentor))


@pytest.mark.parametrize("format_", EXPORT_FORMATS)
def test_windows_around_the_export_segment_as_torch_does(run: Path, tmp_path: Path, format_: ExportFormat) -> None:
    skip_without_runtime(format_)
    segmentor = open_run(run)
    runtime: Any = {"onnx": "onnxruntime", "openvino": "openvino"}[format_]
    network = SegmentorNetwork(segmentor, runtime, "f32", tmp_path)
    (file, *_) = sorted((make_mini_ade(get_cache_dir()) / "ADEChallengeData2016/images/validation").iterdir())
    expected, found = segmentor.segment_file(file), replace(segmentor, network=network).segment_file(file)
    assert found.is_finite and found.labels.shape == expected.labels.shape
    assert float((found.labels == expected.labels).float().mean()) > 0.999
    assert list(network.networks) == [(64, 64)] and network.networks[64, 64].facts.logit_size == "head"
    assert [path.name for path in tmp_path.iterdir()] == [f"{format_}-f32"]


@pytest.mark.parametrize(("runtime", "precision"), [("onnxruntime", "f32"), ("openvino", "int8")])
def test_a_score_is_of_the_exported_model(
    run: Path, tmp_path: Path, runtime: Any, precision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_without_runtime("openvino" if runtime == "openvino" else "onnx")
    monkeypatch.setattr("backbones.cost.measure_cost.TIMED_SECONDS", 0.01)
    source = ModelSource(run=run, device="cpu", overrides=("max_items=2",))
    expected = MINI_ADE.open_evaluation(source, tmp_path).run(tmp_path / "torch")
    evaluation = MINI_ADE.open_evaluation(replace(source, runtime=runtime, precision=precision), tmp_path)
    assert (
        evaluation.backbone.arguments["runtime"] == runtime and evaluation.backbone.arguments["precision"] == precision
    )
    found = evaluation.run(tmp_path / "out")
    assert found.metrics["aAcc"].value == pytest.approx(
        expected.metrics["aAcc"].value, abs=0.1 if precision == "f32" else 5
    )
    (name,) = (path.name for path in (tmp_path / "out" / "export").iterdir())
    manifest = json.loads((tmp_path / "out" / "export" / name / "manifest.json").read_text())
    assert found.details["exports"]["64x64"]["files"] == manifest["files"]
    assert found.details["artifact_bytes"] > 0
    cost = evaluation.measure_cost()
    assert cost is not None and cost.runtime is not None and cost.runtime.startswith(runtime)
    assert cost.precision == ("fp32" if precision == "f32" else precision) and cost.latency is not None
    assert cost.macs > 0 and cost.threads == torch.get_num_threads()


def test_complete_images_of_many_sizes_are_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without_runtime("onnx")
    monkeypatch.setattr("segmentation.deployment.runtime_network.MAX_SIZES", 2)
    network = SegmentorNetwork(open_run(run), "onnxruntime", "f32", tmp_path)
    for size in ((64, 64), (64, 72)):
        assert network(torch.zeros(1, 3, *size)).shape[:2] == (1, 150)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["64x72", "onnx-f32"]
    with pytest.raises(UserError, match="more than 2 sizes"):
        network(torch.zeros(1, 3, 72, 72))


def test_int8_is_calibrated_on_the_runs_training_images(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    skip_without_runtime("onnx")
    words = ["export", str(run), "--format", "onnx", "--precision", "int8", "--argmax", "--out", str(tmp_path)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "segmentor: images of 64 x 64 px to labels of 150 classes" in said and "% of the pixels are equal" in said
    manifest = json.loads((tmp_path / "onnx-int8" / "manifest.json").read_text())
    assert manifest["calibration"]["source"] == "crops of training images of mini_ade"
    assert manifest["calibration"]["fingerprint"] != manifest["parity"]["fingerprint"]
    labels = np.unique(load_image_model(tmp_path / "onnx-int8")(torch.randn(1, 3, 64, 64)).numpy())
    assert labels.max() < 150
    assert main([*words, "--size", "64"]) == 2
    assert "must be dynamic, or height x width such as 512x512" in capsys.readouterr().err


def test_int8_is_calibrated_on_a_part_of_own_data_read_with_the_options_of_the_run(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A smoke run takes four images of each split, and its record has the fingerprint of all of them."""
    skip_without_runtime("onnx")
    rows = [[0, 1], [1, 7]]
    make_writer(rows=rows)(tmp_path / "data")
    for name in ("c", "d", "e"):
        write_image(tmp_path / f"data/images/train/{name}.jpg")
        write_mask(tmp_path / f"data/labels/train/{name}.png", rows)
    words = ("--data-root", str(tmp_path / "data"), "--device", "cpu", "--out", str(tmp_path / "runs"), "--ignore", "7")
    options = ("--backbone", "vit_nano", "--protocol", "linear", "--tier", "smoke")
    # small, as what is trained plays no part
    small = ("crop=32", "train.scale=[64,32]", "test.scale=[64,32]", "test.stride=32", "iterations=2", "workers=0")
    assert main(["run", "segfolder", *options, *words, "--set", *small]) == 0
    (record,) = tmp_path.rglob("record.json")
    assert json.loads(record.read_text())["config"]["recipe"]["max_items"] == 4
    export = ["export", str(record.parent), "--format", "onnx", "--precision", "int8", "--data-root"]
    assert main([*export, str(tmp_path / "data")]) == 0, capsys.readouterr().err
    (manifest,) = record.parent.rglob("manifest.json")
    assert json.loads(manifest.read_text())["calibration"]["source"] == "crops of training images of segfolder"
