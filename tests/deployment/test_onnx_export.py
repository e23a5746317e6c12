"""A module of any task becomes a graph of standard operators that computes what PyTorch computes."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch

from deployment.formats import RUNTIME_BY_FORMAT, ExportFormat, list_graph_files
from deployment.onnx_export import ExportGraph, export_onnx
from deployment.packages import import_package
from deployment.parity import compare_outputs
from deployment.runtimes import load_runtime_graphs, make_export_files
from tests.deployment.make import (
    compute_logits,
    export_classifier,
    export_classifier_onnx,
    make_images,
    skip_without_runtime,
)


@pytest.mark.parametrize("format_", ["onnx", "openvino"])
@pytest.mark.parametrize("from_files", [False, True], ids=["from memory", "from files"])
def test_a_classifier_gives_pytorchs_logits(format_: ExportFormat, from_files: bool, tmp_path: Path) -> None:
    skip_without_runtime(format_)
    files: dict[str, bytes | Path] = dict(export_classifier(format_))
    assert list(files) == list_graph_files(["classifier"], format_)
    if from_files:
        for name, content in export_classifier(format_).items():
            (tmp_path / name).write_bytes(content)
            files[name] = tmp_path / name
    graphs = load_runtime_graphs(files, RUNTIME_BY_FORMAT[format_], "f32", 1)
    (feed,) = make_images(1)
    differences = compare_outputs(compute_logits(feed), graphs["classifier"](feed))
    assert 0 < differences["logits"] < 1e-5, "two computations that agree to the bit would be one and the same"


def test_the_graph_holds_standard_operators_and_no_computed_shapes() -> None:
    skip_without_runtime("onnx")
    onnx = import_package("onnx")
    model = onnx.load_model_from_string(export_classifier_onnx())
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert not any(node.op_type in ("Identity", "Shape") for node in model.graph.node)


def test_a_module_without_attention() -> None:
    skip_without_runtime("onnx")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten()).eval()
    graph = ExportGraph(module, {"image": torch.zeros(1, 3, 32, 32)}, ("features",))
    files = make_export_files({"net": export_onnx(graph)}, "onnx")
    (feed,) = make_images(1)
    found = load_runtime_graphs(files, "onnxruntime", "f32", 1)["net"](feed)["features"]
    with torch.inference_mode():
        expected = cast(torch.Tensor, module(torch.from_numpy(feed["image"])))
    assert torch.allclose(torch.from_numpy(found), expected, atol=1e-5)
