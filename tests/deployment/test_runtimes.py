"""ONNX Runtime and OpenVINO: precisions and threads that are taken as asked, and files that are not trusted."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from deployment import openvino
from deployment.formats import RUNTIME_BY_FORMAT, ExportFormat
from deployment.graph_io import GraphCallable
from deployment.onnxruntime import refuse_external_data
from deployment.packages import import_package
from deployment.runtimes import load_runtime_graphs, require_runtime
from engine.evaluation.model_source import Precision
from foundation.errors import UserError
from tests.conftest import ROOT
from tests.deployment.make import export_classifier, export_classifier_onnx, make_images, skip_without_runtime
from tests.limits import HANG_SECONDS


def load_classifier(format_: ExportFormat, precision: Precision = "f32", threads: int = 1) -> GraphCallable:
    graphs = load_runtime_graphs(export_classifier(format_), RUNTIME_BY_FORMAT[format_], precision, threads)
    return graphs["classifier"]


@pytest.mark.parametrize("format_", ["onnx", "openvino"])
def test_outputs_outlive_the_next_call(format_: ExportFormat) -> None:
    skip_without_runtime(format_)
    network = load_classifier(format_)
    first, second = make_images(2)
    kept = network(first)
    before = kept["logits"].copy()
    assert not np.array_equal(network(second)["logits"], before)
    assert np.array_equal(kept["logits"], before)


def test_openvino_computes_in_what_it_was_told() -> None:
    skip_without_runtime("openvino")
    library = import_package("openvino")
    core = openvino.get_core()
    model = core.read_model(export_classifier_onnx())
    exact = core.compile_model(model, "CPU", openvino.build_compile_config("f32", 1))
    openvino.require_compiled_settings(exact, "f32", 1)
    assert exact.get_property("INFERENCE_PRECISION_HINT") == library.Type.f32
    with pytest.raises(UserError, match="told to compute in bf16 but uses f32"):
        openvino.require_compiled_settings(exact, "bf16", 1)
    with pytest.raises(UserError, match="was given 3 threads but uses 1; request 1"):
        openvino.require_compiled_settings(exact, "f32", 3)
    with pytest.raises(UserError, match="was given 9999 threads"):
        load_classifier("openvino", threads=9999)


def test_bf16_is_bf16_or_refused() -> None:
    skip_without_runtime("openvino")
    if "BF16" not in openvino.get_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(UserError, match="this CPU has no bf16"):
            load_classifier("openvino", "bf16")
        with pytest.raises(UserError, match="this CPU has no bf16"):
            require_runtime("openvino", "bf16")
        return
    (feed,) = make_images(1)
    half, exact = load_classifier("openvino", "bf16")(feed), load_classifier("openvino", "f32")(feed)
    apart = np.abs(half["logits"] - exact["logits"]).max()
    assert 1e-5 < apart < 0.2 * np.abs(exact["logits"]).max()


def test_bf16_in_onnx_runtime_is_refused() -> None:
    skip_without_runtime("onnx")
    with pytest.raises(UserError, match="ONNX Runtime has no bf16 on the CPU"):
        load_classifier("onnx", "bf16")


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
from deployment.packages import import_package
import_package("openvino").Core()
from openvino.tools.ovc import convert_impl, telemetry_utils
for module in (convert_impl, telemetry_utils):
    assert module.tm.__name__.endswith("telemetry_stub"), module.tm
assert not seen and "openvino_telemetry" not in sys.modules, seen
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.returncode == 0, done.stderr


def test_signals_outlive_the_networks() -> None:
    """In a process of its own: with a core for each of two networks, the signal is a segmentation fault."""
    skip_without_runtime("openvino")
    code = """
import gc, os, signal
import onnx
from deployment.openvino import convert_to_openvino, load_graphs
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
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=HANG_SECONDS)
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
    with pytest.raises(UserError, match="stores tensors in other files"):
        refuse_external_data("tracker.onnx", external_model())
    with pytest.raises(UserError, match="is not an ONNX model"):
        refuse_external_data("tracker.onnx", b"\xff\xfe no model")
    refuse_external_data("tracker.onnx", export_classifier_onnx())
