"""Small exported trackers for tests."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from tests.tracking.make import tracker_model
from tracking.deploy.export import files_of
from tracking.deploy.graphs import graphs, to_onnx
from tracking.deploy.load import graph_network
from tracking.deploy.manifest import RUNTIMES, Format, Origin, Precision
from tracking.deploy.network import GraphNetwork
from tracking.model import TrackerModel
from tracking.pair import CropSizes
from tracking.settings import Elimination

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
def onnx_of(variant: str) -> dict[str, bytes]:
    return {name: to_onnx(graph) for name, graph in graphs(model_of(variant)).items()}


def network_of(variant: str, format_: Format, precision: Precision = "f32", threads: int = 1) -> GraphNetwork:
    files = files_of(onnx_of(variant), format_)
    return graph_network(files, RUNTIMES[format_], precision, threads, model_of(variant).backbone.search_grid)
