"""A small classifier, exported: what the room does for any task."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from backbones.create import create_backbone
from deployment.formats import ExportFormat
from deployment.graph_io import NamedArrays
from deployment.manifest import ExportManifest, ExportOrigin
from deployment.onnx_export import ExportGraph, export_onnx
from deployment.runtimes import make_export_files

ORIGIN = ExportOrigin(
    run_id=None, backbone="vit_pico", task="digits", protocol="finetune", checkpoint_sha256="0" * 64, licence="none"
)
REQUIRED_PACKAGES: dict[ExportFormat, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "onnxruntime", "openvino"),
}


class ClassifierManifest(ExportManifest):
    """A manifest with fields of its own, as a task adds them."""

    num_classes: int
    logit_difference: float

    def list_graph_names(self) -> tuple[str, ...]:
        return ("classifier",)


def skip_without_runtime(format_: ExportFormat) -> None:
    """Skip by name where a package of the extra is missing."""
    for name in REQUIRED_PACKAGES[format_]:
        pytest.importorskip(name) if name != "openvino" else _skip_without_openvino()


def _skip_without_openvino() -> None:
    from importlib.util import find_spec  # not imported: that reports to its maker

    if find_spec("openvino") is None:
        pytest.skip("no openvino (pip install 'litevit-bench[deploy]')")


@functools.cache
def make_classifier() -> torch.nn.Module:
    torch.manual_seed(0)
    return create_backbone("vit_pico", img_size=32, checkpoint="random", num_classes=7).model.eval()


def make_images(number: int, seed: int = 0) -> list[NamedArrays]:
    rng = np.random.default_rng(seed)
    return [{"image": rng.standard_normal((1, 3, 32, 32), dtype=np.float32)} for _ in range(number)]


def compute_logits(feed: NamedArrays) -> NamedArrays:
    """What PyTorch says."""
    with torch.inference_mode():
        return {"logits": make_classifier()(torch.from_numpy(feed["image"])).numpy()}


@functools.cache
def export_classifier_onnx() -> bytes:
    model = make_classifier()
    graph = ExportGraph(model, {"image": torch.zeros(1, 3, 32, 32)}, ("logits",))
    return export_onnx(graph)


@functools.cache
def export_classifier(format_: ExportFormat) -> dict[str, bytes]:
    return make_export_files({"classifier": export_classifier_onnx()}, format_)
