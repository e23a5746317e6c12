"""Exports of any image model: parity before anything is written, int8 on real images, and reuse by what is in them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deployment.formats import EXPORT_FORMATS, RUNTIME_BY_FORMAT, ExportFormat
from deployment.image_models import ImageExport, build_runtime_network, export_image_model, load_image_model
from deployment.images.image_graphs import write_image_graph
from deployment.images.image_manifest import ImageModelFacts, ImageParity
from deployment.images.image_parity import require_image_parity
from deployment.images.image_sets import make_calibration_photos, make_parity_photos, make_photo_crops
from engine.data import photographs
from foundation.errors import BenchError, UserError
from tests.deployment.make import ORIGIN, make_classifier, skip_without_runtime

MEAN, STD = [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]
FACTS = ImageModelFacts(kind="classifier", num_classes=7, mean=MEAN, std=STD)
PIXEL_FACTS = ImageModelFacts(kind="segmentor", num_classes=5, mean=MEAN, std=STD)
EXAMPLE = torch.zeros(1, 3, 32, 32)


class PixelModel(nn.Module):
    """A small fully convolutional network; ``step`` is the number of pixels per cell."""

    def __init__(self, *, is_fixed: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = nn.Conv2d(3, 16, 4, 4), nn.Conv2d(16, 5, 1)
        self.norm = nn.BatchNorm2d(16)
        self.positions = nn.Parameter(torch.randn(1, 16, 8, 8)) if is_fixed else None

    def forward(self, images: Tensor) -> Tensor:
        maps = self.norm(self.stem(images)).relu()
        if self.positions is not None:
            maps = maps + self.positions
        logits: Tensor = self.head(maps)
        return nn.functional.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=False)


class AttentionModel(nn.Module):
    """Torch's own encoder layer, which is one operator in evaluation mode, and ``scaled_dot_product_attention``."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 16, 8, 8)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 7)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.layer(self.stem(images).flatten(2).transpose(1, 2))
        heads = tokens.unflatten(2, (4, 4)).transpose(1, 2)
        mask = torch.ones(16, 16, dtype=torch.bool).tril()
        mixed = nn.functional.scaled_dot_product_attention(heads, heads, heads, attn_mask=mask, scale=0.3)
        order = tokens[:, :, 0].argsort(dim=1, descending=False, stable=True)
        tokens = mixed.transpose(1, 2).flatten(2).gather(1, order[:, :4, None].expand(-1, -1, 16))
        logits: Tensor = self.head(tokens.mean(1))
        return logits


def export(model: nn.Module, out: Path, facts: ImageModelFacts = FACTS, **changes: Any) -> ImageExport:
    settings = {"export_format": "onnx", "precision": "f32", "origin": ORIGIN, "example": EXAMPLE, **changes}
    skip_without_runtime(settings["export_format"])
    return export_image_model(model, facts, out=out, **settings)


@pytest.mark.parametrize("format_", EXPORT_FORMATS)
def test_an_export_gives_pytorchs_logits_for_a_batch(format_: ExportFormat, tmp_path: Path) -> None:
    folder, manifest = export(make_classifier(), tmp_path, export_format=format_)
    assert folder == tmp_path / f"{format_}-f32" and manifest.runtime == RUNTIME_BY_FORMAT[format_]
    assert manifest.parity.agreement == 1 and manifest.parity.images == 8
    network = load_image_model(folder, threads=1)
    images = torch.cat(make_photo_crops(photographs.TEST_PHOTOS, (32, 32), MEAN, STD, 3, 1))
    with torch.inference_mode():
        expected = make_classifier()(images)
    assert network(images).shape == (3, 7) and torch.allclose(network(images), expected, atol=1e-5)
    with pytest.raises(UserError, match="32 x 32 pixels, not"):
        network(torch.zeros(1, 3, 32, 40))


@pytest.mark.parametrize("format_", EXPORT_FORMATS)
@pytest.mark.parametrize("output", ["logits", "labels"])
def test_a_dynamic_size_takes_any_image(format_: ExportFormat, output: str, tmp_path: Path) -> None:
    facts = PIXEL_FACTS.model_copy(update={"dynamic_size": True, "size_divisor": [4, 4], "output": output})
    folder, manifest = export(PixelModel().eval(), tmp_path, facts, export_format=format_)
    assert manifest.parity.sizes == [[32, 32], [40, 44]], "compared with another size than the one it was traced with"
    image = torch.randn(1, 3, 60, 36)
    with torch.inference_mode():
        logits = PixelModel().eval()(image)
    found = load_image_model(folder)(image)
    if output == "labels":
        assert found.dtype == torch.uint8 and bool((found == logits.argmax(1)).all())
    else:
        assert torch.allclose(found, logits, atol=1e-5)
    with pytest.raises(UserError, match="multiples of 4 and 4"):
        load_image_model(folder)(torch.zeros(1, 3, 33, 32))


@pytest.mark.parametrize("format_", EXPORT_FORMATS)
def test_a_model_of_one_size_is_refused_as_dynamic(format_: ExportFormat, tmp_path: Path) -> None:
    model = PixelModel(is_fixed=True).eval()
    facts = PIXEL_FACTS.model_copy(update={"dynamic_size": True, "size_divisor": [4, 4]})

    class Traced(nn.Module):
        """The other size fails in the runtime and not in PyTorch."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Tensor) -> Tensor:
            side = int(images.shape[2]) // 4, int(images.shape[3]) // 4
            assert self.model.positions is not None
            positions = nn.functional.interpolate(self.model.positions, side, mode="bicubic", antialias=True)
            maps = self.model.norm(self.model.stem(images)).relu() + positions
            logits: Tensor = self.model.head(maps)
            return logits

    with pytest.raises(BenchError, match=r"name a fixed (one|size) with --size|differs from PyTorch"):
        export(Traced().eval(), tmp_path, facts, export_format=format_)
    assert not list(tmp_path.iterdir())
    example = torch.zeros(1, 3, 40, 52)
    small = facts.model_copy(update={"dynamic_size": False})
    assert export(Traced().eval(), tmp_path, small, example=example, export_format=format_).manifest.size == [40, 52]


def test_what_computes_something_else_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = export(make_classifier(), tmp_path)
    written = {path.name: path.read_bytes() for path in before.folder.iterdir()}
    ours = write_image_graph

    def write_other(model: nn.Module, *rest: Any) -> bytes:
        with torch.no_grad():
            model.head.bias += 1e-3  # type: ignore[union-attr,operator]
        graph = ours(model, *rest)
        with torch.no_grad():
            model.head.bias -= 1e-3  # type: ignore[union-attr]
        return graph

    monkeypatch.setattr("deployment.image_models.write_image_graph", write_other)
    with pytest.raises(BenchError, match=r"differs from PyTorch's model: logits by up to 0\.001"):
        export(make_classifier(), tmp_path)
    assert {path.name: path.read_bytes() for path in before.folder.iterdir()} == written
    assert [path.name for path in tmp_path.iterdir()] == ["onnx-f32"]


def test_int8_and_bf16_are_refused_by_their_classes_and_their_noise() -> None:
    parity = ImageParity(
        images=8, source="x", fingerprint="0", sizes=[[32, 32]], agreement=0.9, difference=1.0, scale=2.0, noise=0.2
    )
    require_image_parity(parity, "int8", "it")
    with pytest.raises(BenchError, match="logits by up to 1"):
        require_image_parity(parity, "f32", "it")
    for change in ({"agreement": 0.4}, {"noise": 1.5}):
        with pytest.raises(BenchError, match="choose another --precision"):
            require_image_parity(parity.model_copy(update=change), "int8", "it")
    labels = parity.model_copy(update={"difference": None, "scale": None, "noise": None})
    with pytest.raises(BenchError, match=r"10\.00 % of the labels"):
        require_image_parity(labels, "f32", "it")
    require_image_parity(labels, "bf16", "it")


def test_logits_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = PixelModel().eval()
    with torch.no_grad():
        model.head.bias[0] = float("nan")  # type: ignore[index]
    with pytest.raises(BenchError, match="not finite"):
        export(model, tmp_path, PIXEL_FACTS)


@pytest.mark.parametrize("format_", EXPORT_FORMATS)
def test_int8_is_calibrated_on_training_photographs_by_default(format_: ExportFormat, tmp_path: Path) -> None:
    folder, manifest = export(make_classifier(), tmp_path, precision="int8", export_format=format_)
    own = make_calibration_photos((32, 32), MEAN, STD)
    assert manifest.calibration is not None
    assert manifest.calibration.fingerprint == own.compute_fingerprint() and manifest.calibration.samples == 64
    assert manifest.calibration.seed == own.seed and "training photographs" in manifest.calibration.source
    parity = make_parity_photos([(32, 32)], MEAN, STD)
    assert manifest.parity.fingerprint == parity.compute_fingerprint()
    assert not {image.numpy().tobytes() for image in own.images} & {each.numpy().tobytes() for each in parity.images}
    assert manifest.parity.difference is not None and manifest.parity.difference > 1e-5
    assert load_image_model(folder)(EXAMPLE).shape == (1, 7)


def test_bf16_is_openvinos(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ONNX Runtime has no bf16"):
        export(make_classifier(), tmp_path, precision="bf16")
    assert not list(tmp_path.iterdir())


def test_an_export_is_taken_again_only_for_the_very_model(tmp_path: Path) -> None:
    skip_without_runtime("onnx")

    def build(model: nn.Module, facts: ImageModelFacts = FACTS) -> float:
        settings: dict[str, Any] = {"runtime": "onnxruntime", "precision": "f32", "origin": ORIGIN}
        build_runtime_network(model, facts, out=tmp_path, example=EXAMPLE, **settings)
        return (tmp_path / "onnx-f32" / "manifest.json").stat().st_mtime_ns

    first = build(make_classifier())
    assert build(make_classifier()) == first
    other_facts = build(make_classifier(), FACTS.model_copy(update={"class_names": list("abcdefg")}))
    assert other_facts != first
    (tmp_path / "onnx-f32" / "model.onnx").write_bytes(b"damaged")
    again = build(make_classifier())
    assert again != other_facts
    other = copy.deepcopy(make_classifier())
    with torch.no_grad():
        other.head.bias += 1  # type: ignore[union-attr,operator]
    assert build(other) != again


def test_changed_files_are_not_loaded(tmp_path: Path) -> None:
    folder = export(make_classifier(), tmp_path).folder
    content = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**content, "size": [64, 64, 1]}))
    with pytest.raises(UserError, match=r"not a valid manifest: size"):
        load_image_model(folder)
    (folder / "manifest.json").write_text(json.dumps(content))
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes() + b"\0")
    with pytest.raises(UserError, match="not the file that was exported"):
        load_image_model(folder)


def test_torchs_own_attention_and_sorting(tmp_path: Path) -> None:
    """A causal mask of its own, a scale of its own, and an ascending stable sort mean in the graph what they mean."""
    manifest = export(AttentionModel().eval(), tmp_path).manifest
    assert manifest.parity.difference is not None and manifest.parity.difference < 1e-5


class UnknownOperator(nn.Module):
    """Something that ONNX has no form for."""

    def forward(self, images: Tensor) -> Tensor:
        values: Tensor = torch.linalg.svdvals(images.mean(1))
        return values[:, :7]


def test_global_switches_stay_as_they_were(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    core: Any = torch._C

    def read_switches() -> tuple[object, ...]:
        sdp: Any = torch.backends.cuda
        return (
            torch.backends.mha.get_fastpath_enabled(),
            *(sdp.flash_sdp_enabled(), sdp.math_sdp_enabled(), sdp.mem_efficient_sdp_enabled()),
            core._jit_is_onnx_log_enabled(),
            core._jit_is_onnx_log_enabled,
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
        )

    model = AttentionModel().eval()
    for is_fast in (True, False):
        torch.backends.mha.set_fastpath_enabled(is_fast)
        try:
            before = read_switches()
            export(model, tmp_path)
            assert read_switches() == before
            with pytest.raises(UserError, match=r"cannot be written as ONNX .*svdvals"):
                export(UnknownOperator().eval(), tmp_path)
            assert read_switches() == before
        finally:
            torch.backends.mha.set_fastpath_enabled(True)
    assert all(parameter.requires_grad for parameter in model.parameters()), "the model of the caller is not changed"
    assert "graph(" not in capfd.readouterr().out, "the exporter prints the graph of what it cannot write"


def test_photographs_are_cropped_in_the_shape_of_the_input() -> None:
    crops = make_photo_crops(photographs.TRAIN_PHOTOS, (24, 60), [0.0] * 3, [1.0] * 3, 4, 7)
    assert {tuple(crop.shape) for crop in crops} == {(1, 3, 24, 60)}
    assert all(float(crop.min()) >= 0 and float(crop.max()) <= 1 for crop in crops)
    again = make_photo_crops(photographs.TRAIN_PHOTOS, (24, 60), [0.0] * 3, [1.0] * 3, 4, 7)
    assert all(np.array_equal(one, other) for one, other in zip(crops, again, strict=True))


def test_a_long_export_says_how_long_it_still_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large segmentor takes minutes, in which nothing was said."""
    monkeypatch.setattr("engine.progress_bar.LOG_INTERVAL_SECONDS", -1.0)
    export(make_classifier(), tmp_path, precision="int8")
    lines = capsys.readouterr().err
    assert "calibrate int8: 1/64 inputs" in lines and "calibrate int8: 64/64 inputs" in lines
    assert "compare the export with PyTorch: 1/8 images" in lines and "s left" in lines
