"""Networks behind ONNX Runtime and OpenVINO against PyTorch's; precisions and threads that are taken as asked."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import numpy as np
import pytest
import torch
from benchmarks.cli.common_options import RUNTIME_PRECISIONS, RUNTIMES

from foundation.errors import UserError
from tests.conftest import ROOT
from tests.tracking.deployment.make import (
    SIZES,
    VARIANTS,
    export_onnx_variant,
    load_variant_network,
    make_variant,
    skip_without_runtime,
)
from tracking.deployment import openvino
from tracking.deployment.graphs import build_export_graphs, export_onnx
from tracking.deployment.manifest import ExportFormat, Precision, Runtime
from tracking.deployment.onnxruntime import refuse_external_data
from tracking.deployment.packages import import_package
from tracking.deployment.parity import load_parity_videos, measure_parity
from tracking.inference.backend import TorchNetwork

CROPS = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
TEMPLATE = np.ascontiguousarray(CROPS[0, :32, :32])


@pytest.mark.parametrize("format_", ["onnx", "openvino"])
@pytest.mark.parametrize("variant", VARIANTS)
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


def test_exporting_leaves_the_model_as_it_is() -> None:
    """torch's exporter folds batch norms into the very weights of the model it is given."""
    skip_without_runtime("onnx")
    model = make_variant("plain")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for graph in build_export_graphs(model).values():
        export_onnx(graph)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


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


def test_openvino_computes_in_what_it_was_told() -> None:
    skip_without_runtime("openvino")
    library = import_package("openvino")
    core = openvino.get_core()
    model = core.read_model(export_onnx_variant("plain")["tracker"])
    exact = core.compile_model(model, "CPU", openvino.build_compile_config("f32", 1))
    openvino.require_compiled_settings(exact, "f32", 1)
    assert exact.get_property("INFERENCE_PRECISION_HINT") == library.Type.f32
    with pytest.raises(UserError, match="told to compute in bf16 and took f32"):
        openvino.require_compiled_settings(exact, "bf16", 1)
    with pytest.raises(UserError, match="was given 3 threads and took 1; ask for 1"):
        openvino.require_compiled_settings(exact, "f32", 3)
    with pytest.raises(UserError, match="was given 9999 threads"):
        load_variant_network("plain", "openvino", threads=9999)


def test_bf16_is_bf16_or_refused() -> None:
    skip_without_runtime("openvino")
    if "BF16" not in openvino.get_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(UserError, match="this CPU has no bf16"):
            load_variant_network("plain", "openvino", "bf16")
        return
    half, exact = load_variant_network("plain", "openvino", "bf16"), load_variant_network("plain", "openvino", "f32")
    maps = [network.predict_maps([network.encode_template(TEMPLATE)], [CROPS[1]])[0] for network in (half, exact)]
    apart = np.abs(maps[0].score - maps[1].score).max()
    assert 1e-5 < apart < 0.2 and half.precision == "bf16"


def test_bf16_in_onnx_runtime_is_refused() -> None:
    skip_without_runtime("onnx")
    with pytest.raises(UserError, match="ONNX Runtime has no bf16 on the CPU"):
        load_variant_network("plain", "onnx", "bf16")


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnx", "onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(UserError, match=rf"the package {name} .*pip install 'litevit-bench\[deploy\]'"):
            import_package(name)


def test_openvino_reports_to_nobody() -> None:
    """Imported plainly, OpenVINO would tell its maker at once (seen by the audit hook); imported by us it does not."""
    skip_without_runtime("openvino")
    code = """
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append(event) if event.startswith("socket.") else None)
from tracking.deployment.packages import import_package
import_package("openvino").Core()
from openvino.tools.ovc import convert_impl, telemetry_utils
for module in (convert_impl, telemetry_utils):
    assert module.tm.__name__.endswith("telemetry_stub"), module.tm
assert not seen and "openvino_telemetry" not in sys.modules, seen
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_signals_outlive_the_networks() -> None:
    """In a process of its own: with a core for each of two networks, the signal is a segmentation fault."""
    skip_without_runtime("openvino")
    code = """
import gc, os, signal
import onnx
from tracking.deployment.openvino import convert_to_openvino, load_graphs
value = [onnx.helper.make_tensor_value_info(name, 1, [4]) for name in "xy"]
graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
files = {"g" + suffix: content for suffix, content in convert_to_openvino(model.SerializeToString()).items()}
seen = []
signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
first, second = (load_graphs(files, "f32", 1) for _ in range(2))
for network in (first, second):
    network.clear()
    gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
assert seen == [signal.SIGUSR1]
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.returncode, done.stderr)


def external_model() -> bytes:
    onnx: Any = import_package("onnx")
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../secret.bin")
    node = onnx.helper.make_node("Constant", [], ["y"], value=tensor)
    value = onnx.helper.make_tensor_value_info("y", 1, [1])
    return bytes(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [value])).SerializeToString())


def test_tensors_in_other_files_are_not_followed() -> None:
    skip_without_runtime("onnx")
    with pytest.raises(UserError, match="keeps tensors in other files"):
        refuse_external_data("tracker.onnx", external_model())
    with pytest.raises(UserError, match="is no ONNX model"):
        refuse_external_data("tracker.onnx", b"\xff\xfe no model")
    refuse_external_data("tracker.onnx", export_onnx_variant("plain")["tracker"])


def test_the_commands_offer_the_runtimes_there_are() -> None:
    assert get_args(Runtime) == RUNTIMES
    assert get_args(Precision) == RUNTIME_PRECISIONS
