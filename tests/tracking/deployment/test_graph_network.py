"""Trackers behind ONNX Runtime and OpenVINO against PyTorch's."""

from __future__ import annotations

import argparse
from typing import get_args

import numpy as np
import pytest
import torch

from benchmarks.cli.models import export, track
from deployment import openvino
from deployment.formats import ExportFormat
from deployment.onnx_export import export_onnx
from deployment.packages import import_package
from engine.evaluation.model_source import Precision, Runtime
from foundation.errors import UserError
from tests.deployment.make import skip_without_runtime
from tests.tracking.deployment.make import (
    SIZES,
    VARIANTS,
    export_onnx_variant,
    load_variant_network,
    make_variant,
)
from tests.tracking.make import MEAN, STD
from tests.tracking.models.test_rotary_vit import make_vit
from tracking.data.crops import make_hann_window
from tracking.deployment.export import build_export_files
from tracking.deployment.graph_network import build_exported_network
from tracking.deployment.graphs import build_export_graphs
from tracking.deployment.parity import load_parity_videos, measure_parity
from tracking.inference.backend import TorchNetwork
from tracking.models.tracker_model import TrackerModel

CROPS = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
WINDOW = make_hann_window(8).astype(np.float32)
TEMPLATE = np.ascontiguousarray(CROPS[0, :32, :32])


# the graphs are the same: of OpenVINO, the variants with most operators run in every suite
QUICK = [("onnx", each) for each in VARIANTS] + [("openvino", "asymmetric attention and elimination")]
PAIRS = [(format_, each) for format_ in ("onnx", "openvino") for each in VARIANTS]


@pytest.mark.parametrize(
    ("format_", "variant"), [pytest.param(*each, marks=[] if each in QUICK else [pytest.mark.soak]) for each in PAIRS]
)
def test_boxes_and_maps_are_pytorchs(variant: str, format_: ExportFormat) -> None:
    """Through the tracker, on real crops: boxes to 0.05 px (free-running), score and size to 1e-4, offset to 1e-3."""
    skip_without_runtime(format_)
    network = load_variant_network(variant, format_)
    parity = measure_parity(TorchNetwork(make_variant(variant)), network, SIZES, load_parity_videos()[:3], max_frames=4)
    assert (parity.sequences, parity.frames) == (3, 12)
    assert parity.box_px <= 0.05 and parity.same_crop_box_px <= 0.05 and parity.same_crop_iou > 0.999
    assert max(parity.score, parity.size) <= 1e-4 and parity.offset <= 1e-3
    assert parity.score > 0, "two computations that agree to the bit would be one and the same"
    assert (network.runtime, network.precision) == (format_.replace("onnx", "onnxruntime"), "fp32")


@pytest.mark.parametrize("format_", ["onnx", "openvino"])
@pytest.mark.parametrize("variant", ["plain", "asymmetric attention"])
def test_several_regions_are_seen_as_one_by_one(variant: str, format_: ExportFormat) -> None:
    """And a memory outlives the next call of ``encode_template``."""
    skip_without_runtime(format_)
    network = load_variant_network(variant, format_)
    memories = [network.encode_template(template) for template in (TEMPLATE, TEMPLATE[::-1])]
    together = network.predict_maps(memories, list(CROPS[1:]))
    alone = [
        network.predict_maps([network.encode_template(TEMPLATE)], [CROPS[1]]),
        network.predict_maps([memories[1]], [CROPS[2]]),
    ]
    for one, (other,) in zip(together, alone, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert not np.array_equal(together[0].score, together[1].score)


def test_bf16_is_said_to_be_bf16() -> None:
    skip_without_runtime("openvino")
    if "BF16" not in openvino.get_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(UserError, match="this CPU has no bf16"):
            load_variant_network("plain", "openvino", "bf16")
        return
    half, exact = load_variant_network("plain", "openvino", "bf16"), load_variant_network("plain", "openvino", "f32")
    maps = [network.predict_maps([network.encode_template(TEMPLATE)], [CROPS[1]])[0] for network in (half, exact)]
    apart = np.abs(maps[0].score - maps[1].score).max()
    assert 1e-5 < apart < 0.2 and half.precision == "bf16"
    # The scores are not rounded to bf16, the upper 16 bits of a float, which would make many equal; nor is the choice.
    assert ((maps[0].score.view(np.uint32) & 0xFFFF) != 0).mean() > 0.9
    for each in maps:
        assert each.choose_cell(WINDOW).cell == (each.score * WINDOW).argmax()


def test_exporting_leaves_the_model_as_it_is() -> None:
    """torch's exporter folds batch norms into the very weights of the model it is given."""
    skip_without_runtime("onnx")
    model = make_variant("plain")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for graph in build_export_graphs(model).values():
        export_onnx(graph)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("own", [False, True], ids=["joint", "own"])
def test_learned_rotations_become_constants_of_the_graphs(own: bool) -> None:
    """Computed within the graph, they would be computed again for each frame, and the exporter loses their shape."""
    skip_without_runtime("onnx")
    model = TrackerModel(make_vit("mixed"), 32, 64, MEAN, STD, head_channels=16, asymmetric_attention=own).eval()
    files = build_export_files(model, SIZES, "onnx", "f32")
    network = build_exported_network(files, "onnxruntime", "f32", 1, 8)
    parity = measure_parity(TorchNetwork(model), network, SIZES, load_parity_videos()[:1], max_frames=4)
    assert max(parity.score, parity.size) <= 1e-4 and parity.offset <= 1e-3
    assert model.backbone.search_rotation is None, "the model itself learns on"


def test_graphs_take_bytes_and_hold_standard_operators_only() -> None:
    skip_without_runtime("onnx")
    onnx = import_package("onnx")
    for content in (*export_onnx_variant("plain").values(), *export_onnx_variant("relative positions").values()):
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model, full_check=True)
        assert {node.domain for node in model.graph.node} == {""}
        crops = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
        assert all(crops[name] == onnx.TensorProto.UINT8 for name in crops if name in ("template", "search"))
        assert not any(node.op_type in ("Identity", "Shape") for node in model.graph.node)


def test_the_commands_offer_the_runtimes_there_are() -> None:
    parsers = {verb: argparse.ArgumentParser() for verb in (track, export)}
    for verb, parser in parsers.items():
        verb.add_arguments(parser)
    choices = {verb: {action.dest: action.choices for action in parser._actions} for verb, parser in parsers.items()}
    assert choices[track]["runtime"] == get_args(Runtime)
    assert choices[track]["precision"] == choices[export]["precision"] == get_args(Precision)
    assert choices[export]["format"] == (*get_args(ExportFormat), "ostrack")
