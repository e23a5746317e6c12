"""A fine-tuning run is exported with the weights that it tested; its answers stay its answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.cli.main import main
from classification.as_is.finished_classifier import open_classifier
from classification.deployment.export import export_classifier, export_run
from classification.deployment.runtime_network import build_classifier_network
from classification.digits_task import DIGITS
from deployment.image_models import load_image_model
from engine.data.digits import DigitsDataset, load_digits_data
from engine.evaluation.model_source import ModelSource
from foundation.errors import UserError
from tests.deployment.make import skip_without_runtime


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fine-tuning run of digits."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        words = ("digits", "--backbone", "vit_pico", "--protocol", "finetune", "--tier", "smoke", "--device", "cpu")
        assert main(["run", *words, "--out", str(out)]) == 0
    (record,) = out.rglob("record.json")
    yield record.parent


def load_test_images(run: Path) -> torch.Tensor:
    mean, std = (open_classifier(ModelSource(run=run)).card.mean, open_classifier(ModelSource(run=run)).card.std)
    digits = DigitsDataset(load_digits_data(), "test", 32, mean, std)
    return torch.stack([torch.as_tensor(np.asarray(digits[item]["images"], np.float32)) for item in range(40)])


@pytest.mark.parametrize(("format_", "precision"), [("onnx", "f32"), ("openvino", "int8")])
def test_the_tested_weights_are_exported(run: Path, tmp_path: Path, format_: str, precision: str) -> None:
    skip_without_runtime(format_)  # type: ignore[arg-type]
    folder, manifest = export_run(run, format_, precision, tmp_path)  # type: ignore[arg-type]
    classifier = open_classifier(ModelSource(run=run))
    assert manifest.origin.checkpoint_sha256 == classifier.file.sha256
    assert manifest.origin.run_id is not None and manifest.origin.task == "digits"
    assert manifest.facts.class_names == list("0123456789")
    assert manifest.facts.preprocessing["interpolation"] == "bicubic"
    assert manifest.parity.source == "validation images of digits"
    if precision == "int8":
        assert manifest.calibration is not None and manifest.calibration.source == "training images of digits"
    images = load_test_images(run)
    with torch.inference_mode():
        expected = classifier.model(images)
    found = load_image_model(folder, 1)(images)
    if precision == "f32":
        assert torch.allclose(found, expected, atol=1e-5)
    assert float((found.argmax(1) == expected.argmax(1)).float().mean()) > 0.8


def test_an_evaluation_takes_the_export_of_its_folder(run: Path, tmp_path: Path) -> None:
    skip_without_runtime("onnx")
    classifier = open_classifier(ModelSource(run=run))
    build_classifier_network(classifier, "onnxruntime", "f32", tmp_path)
    written = (tmp_path / "onnx-f32" / "manifest.json").stat().st_mtime_ns
    network = build_classifier_network(classifier, "onnxruntime", "f32", tmp_path, threads=1)
    assert (tmp_path / "onnx-f32" / "manifest.json").stat().st_mtime_ns == written and network.threads == 1
    # for predictions nothing is kept
    assert build_classifier_network(classifier, "onnxruntime", "f32")(load_test_images(run)).shape == (40, 10)


def test_a_score_is_of_the_exported_model(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without_runtime("openvino")
    monkeypatch.setattr("backbones.cost.measure_cost.TIMED_SECONDS", 0.01)
    source = ModelSource(run=run, device="cpu", overrides=("tta_flip=true",))
    expected = DIGITS.open_evaluation(source, tmp_path).run(tmp_path)
    evaluation = DIGITS.open_evaluation(replace(source, runtime="openvino", precision="int8"), tmp_path)
    (tmp_path / "out").mkdir()
    assert evaluation.backbone.arguments["precision"] == "int8"
    found = evaluation.run(tmp_path / "out")
    assert found.metrics["top1"].value == pytest.approx(expected.metrics["top1"].value, abs=10)
    manifest = json.loads((tmp_path / "out" / "export" / "openvino-int8" / "manifest.json").read_text())
    assert found.details["export"]["files"] == manifest["files"]
    files = [tmp_path / "out" / "export" / "openvino-int8" / name for name in manifest["files"]]
    assert found.details["artifact_bytes"] == sum(file.stat().st_size for file in files)
    cost, single = evaluation.measure_cost(), DIGITS.open_evaluation(replace(source, overrides=()), tmp_path)
    plain = single.measure_cost()
    assert cost is not None and plain is not None and cost.macs == 2 * plain.macs, "the mirror image is computed too"
    assert cost.runtime is not None and cost.runtime.startswith("openvino 20") and cost.precision == "int8"


def test_what_int8_is_calibrated_on_is_part_of_the_id(run: Path, tmp_path: Path) -> None:
    """The same weights as a file are calibrated on photographs and not on digits, and give another number."""
    skip_without_runtime("openvino")
    own = DIGITS.open_evaluation(ModelSource(run=run), tmp_path).backbone
    assert own.checkpoint is not None
    # away from its run, whose record would be asked otherwise
    file = Path(shutil.copy(own.checkpoint.uri, tmp_path / "alone.pth"))
    used = own.arguments
    given = tuple(f"{name}={list(used[name])}" for name in ("mean", "std"))
    sources = (
        ModelSource(run=run),
        ModelSource(backbone="vit_pico", checkpoint=file, overrides=given),
    )
    for precision, differing in (("f32", set()), ("int8", {"calibration"})):
        runtime = [replace(source, runtime="openvino", precision=precision) for source in sources]
        applied = [DIGITS.open_evaluation(source, tmp_path).backbone.arguments for source in runtime]
        assert {key for key in applied[0] if applied[0][key] != applied[1].get(key)} == differing
    assert applied[0]["calibration"] == "digits" and "calibration" not in applied[1]


def test_the_command_line_describes_the_export(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skip_without_runtime("onnx")
    words = ["export", str(run), "--format", "onnx", "--precision", "int8", "--out", str(tmp_path)]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "classifier: images of 32 x 32 px to logits of 10 classes" in text
    assert "% of the classes are equal; logits differ by up to" in text
    assert "calibrated on 64 images (training images of digits), seed 20003" in text
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["manifest"]["facts"]["kind"] == "classifier" and found["manifest"]["precision"] == "int8"
    for extra in (["--size", "64x64"], ["--size", "dynamic"], ["--argmax"]):
        assert main([*words, *extra]) == 2
        assert "--size and --argmax are for segmentation" in capsys.readouterr().err
    assert main(["export", str(run), "--format", "ostrack"]) == 2
    assert "--format ostrack writes trackers" in capsys.readouterr().err


def test_runs_without_a_network_of_their_own_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    skip_without_runtime("onnx")
    for change in ({"protocol": "knn"}, {"status": "incomplete"}, {"domain": "pretraining"}):
        other = tmp_path / "run"
        shutil.copytree(run, other)
        record = json.loads((other / "record.json").read_text())
        (other / "record.json").write_text(json.dumps({**record, **change}))
        assert main(["export", str(other), "--format", "onnx"]) == 2
        said = capsys.readouterr().err
        assert len(said.strip().splitlines()) == 1 and "Traceback" not in said
        shutil.rmtree(other)
    for weights in (run / "checkpoints").glob("best_*.pth"):
        weights.rename(tmp_path / weights.name)
    try:
        assert main(["export", str(run), "--format", "onnx"]) == 2
        assert "tested weights" in capsys.readouterr().err
    finally:
        for weights in tmp_path.glob("best_*.pth"):
            weights.rename(run / "checkpoints" / weights.name)


def test_what_a_runtime_lacks_is_said_before_the_weights_are_read(run: Path, tmp_path: Path) -> None:
    skip_without_runtime("onnx")
    source = ModelSource(run=run, runtime="onnxruntime", precision="bf16")
    with pytest.raises(UserError, match="ONNX Runtime has no bf16"):
        DIGITS.open_evaluation(source, tmp_path)
    with pytest.raises(UserError, match="an exported model computes on the CPU; leave out --device cuda"):
        DIGITS.open_evaluation(replace(source, precision="f32", device="cuda"), tmp_path)
    assert DIGITS.open_evaluation(replace(source, precision="f32"), tmp_path).device == "cpu"


def test_a_data_root_is_for_runs(run: Path, tmp_path: Path) -> None:
    classifier = open_classifier(ModelSource(run=run))
    with pytest.raises(UserError, match="--data-root is the folder of a run's data"):
        export_classifier(replace(classifier, run=None), "onnx", "int8", tmp_path, data_root=tmp_path)


def test_a_run_on_a_part_of_own_images_is_calibrated_on_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The record has the fingerprint of the complete data, whatever part of them a limit keeps."""
    skip_without_runtime("onnx")
    noise = np.random.default_rng(0)
    for place in ("train/cat", "train/dog", "val/cat", "val/dog"):
        (tmp_path / "data" / place).mkdir(parents=True)
        for name in range(8):
            pixels = noise.integers(0, 255, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / place / f"{name}.png")
    data = ["--data-root", str(tmp_path / "data")]
    words = ["--backbone", "vit_pico", "--protocol", "finetune", "--tier", "smoke", "--set", "max_items=6"]
    assert main(["run", "imagefolder", *words, *data, "--device", "cpu", "--out", str(tmp_path / "runs")]) == 0
    (record,) = tmp_path.rglob("record.json")
    assert main(["export", str(record.parent), "--format", "onnx", "--precision", "int8", *data]) == 0
    assert "training images of imagefolder" in capsys.readouterr().out
