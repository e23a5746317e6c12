"""Exported graphs in OpenVINO, on the CPU, in a precision that is asked for and read back."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deployment.formats import Precision
from deployment.graph_io import GraphCallable, NamedArrays
from deployment.packages import import_package
from foundation.errors import UserError

PRECISION_HINTS: dict[Precision, str] = {"f32": "f32", "bf16": "bf16", "int8": "f32"}
"""The type of what is not quantized. Without a hint OpenVINO takes bf16 where the CPU has it, and says nothing."""


@functools.cache
def get_core() -> Any:
    """OpenVINO's core, one for the life of the process.

    The CPU plugin of a core gives the system a stack on which signals are handled, and takes it away when the core is
    destroyed. With two cores, or in another thread, this goes wrong: the next signal (Ctrl-C, or the end of a data
    loader's process) ends the process with a segmentation fault. So no core is ever destroyed.

    Raises:
        UserError: openvino is missing.
    """
    return import_package("openvino").Core()


def require_runtime_precision(precision: Precision) -> None:
    """Pass what this CPU has.

    Raises:
        UserError: bf16 where there is none, or OpenVINO is missing.
    """
    if precision == "bf16" and "BF16" not in get_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UserError("this CPU has no bf16 (AVX512-BF16 or AMX), so OpenVINO would compute in f32; take f32 or int8")


def load_graphs(files: Mapping[str, bytes], precision: Precision, threads: int) -> dict[str, GraphCallable]:
    """The graphs of an OpenVINO export, compiled.

    Args:
        files: ``<graph>.xml`` and ``<graph>.bin`` and their content.
        precision: of the export.
        threads: for one pass.

    Raises:
        UserError: openvino is missing, the precision is not available, or a file is not a sound model.
    """
    require_runtime_precision(precision)
    names = [name.removesuffix(".xml") for name in files if name.endswith(".xml")]
    return {name: _load_graph(name, files, precision, threads) for name in names}


def convert_to_openvino(model: bytes) -> dict[str, bytes]:
    """An ONNX model in OpenVINO's own format with f32 weights: the content of the ``.xml`` and the ``.bin`` file."""
    openvino = import_package("openvino")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        openvino.save_model(get_core().read_model(model), path, compress_to_fp16=False)
        return {".xml": path.read_bytes(), ".bin": path.with_suffix(".bin").read_bytes()}


def _load_graph(name: str, files: Mapping[str, bytes], precision: Precision, threads: int) -> GraphCallable:
    openvino = import_package("openvino")
    weights = openvino.Tensor(np.frombuffer(files[f"{name}.bin"], np.uint8).copy())
    try:
        model = get_core().read_model(files[f"{name}.xml"], weights)
    except Exception as error:
        raise UserError(f"OpenVINO cannot read {name}.xml ({type(error).__name__}); export the run again") from error
    compiled = get_core().compile_model(model, "CPU", build_compile_config(precision, threads))
    require_compiled_settings(compiled, precision, threads)
    request = compiled.create_infer_request()
    outputs = [output.get_any_name() for output in model.outputs]  # compiled ones have further names

    def call(feeds: NamedArrays) -> NamedArrays:
        request.infer(feeds, share_inputs=True)
        return {output: request.get_tensor(output).data.copy() for output in outputs}

    return call


def build_compile_config(precision: Precision, threads: int) -> dict[str, Any]:
    """One pass at a time, with the least latency, on the threads that were asked for, wherever the system puts them."""
    return {
        "INFERENCE_PRECISION_HINT": PRECISION_HINTS[precision],
        "EXECUTION_MODE_HINT": "ACCURACY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_HYPER_THREADING": True,  # else threads beyond the physical cores are taken away in silence
        "ENABLE_CPU_PINNING": False,  # processes side by side would all sit on the first cores
    }


def require_compiled_settings(compiled: Any, precision: Precision, threads: int) -> None:
    """Pass a model that was compiled as asked.

    Raises:
        UserError: OpenVINO took another type or number of threads.
    """
    taken = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if taken != PRECISION_HINTS[precision]:
        raise UserError(
            f"OpenVINO was told to compute in {PRECISION_HINTS[precision]} and took {taken}; the model is not used"
        )
    count = compiled.get_property("INFERENCE_NUM_THREADS")
    if count != threads:
        raise UserError(f"OpenVINO was given {threads} threads and took {count}; ask for {count}")
