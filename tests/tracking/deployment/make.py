"""Small exported trackers for tests."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from tests.tracking.make import tracker_model
from tracking.data.pair import CropSizes
from tracking.deployment.export import files_of
from tracking.deployment.graph_network import GraphNetwork
from tracking.deployment.load import graph_network
from tracking.deployment.manifest import RUNTIMES, Format, Origin, Precision
from tracking.models.candidate_elimination import Elimination
from tracking.models.tracker_model import TrackerModel

SIZES = CropSizes(32, 64, 2.0, 4.0, "exact")
ORIGIN = Origin(
    run_id=None, backbone="vit_pico", task="mini_lasot", protocol="fast64", checkpoint_sha256="0" * 64, licence="none"
)
SOME = Elimination(blocks=[1], keep=0.6)
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"backbone": "vit_pico"},
    "own_template": {"backbone": "vit_pico", "own_template": True},
    "elimination": {"backbone": "vit_pico", "elimination": SOME},
    "own_template and elimination": {"backbone": "vit_pico", "own_template": True, "elimination": SOME},
    "relative positions": {"backbone": "vit_tiny_rpe", "own_template": True, "elimination": SOME},
}
NEEDED: dict[Format, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "onnxruntime", "openvino"),
}


def require(format_: Format) -> None:
    """Skip by name where a package of the extra is missing."""
    for name in NEEDED[format_]:
        pytest.importorskip(name) if name != "openvino" else _openvino()


def _openvino() -> None:
    from importlib.util import find_spec  # not imported: that reports to its maker

    if find_spec("openvino") is None:
        pytest.skip("no openvino (pip install 'litevit-bench[deploy]')")


@functools.cache
def model_of(variant: str) -> TrackerModel:
    return tracker_model(template=32, search=64, head_channels=16, **VARIANTS[variant])


@functools.cache
def files_of_variant(variant: str, format_: Format) -> dict[str, bytes]:
    return files_of(model_of(variant), SIZES, format_, "f32")


def onnx_of(variant: str) -> dict[str, bytes]:
    return {name.removesuffix(".onnx"): content for name, content in files_of_variant(variant, "onnx").items()}


def network_of(variant: str, format_: Format, precision: Precision = "f32", threads: int = 1) -> GraphNetwork:
    files, grid = files_of_variant(variant, format_), model_of(variant).backbone.search_grid
    return graph_network(files, RUNTIMES[format_], precision, threads, grid)
