"""Run exported graphs in OpenVINO on the CPU, and check that it uses the requested precision and threads."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployment.graph_io import GraphCallable, NamedArrays
from deployment.packages import import_package
from engine.evaluation.model_source import Precision
from foundation.errors import UserError
from foundation.storage.disk_space import require_space
from foundation.storage.leftovers import open_scratch_folder

PRECISION_HINTS: dict[Precision, str] = {"f32": "f32", "bf16": "bf16", "int8": "f32"}
"""The type for everything that is not quantized. Without a hint OpenVINO silently uses bf16 if the CPU has it."""


@functools.cache
def get_core() -> Any:
    """Return OpenVINO's core, which is created once per process.

    The CPU plugin of a core installs a stack for signal handlers and removes it when the core is destroyed. With two
    cores, or in another thread, this fails: the next signal (Ctrl-C, or the end of a data loader's process) ends the
    process with a segmentation fault. Therefore the core is never destroyed.

    Raises:
        UserError: openvino is missing.
    """
    return import_package("openvino").Core()


def require_runtime_precision(precision: Precision) -> None:
    """Check that this CPU can compute in a precision.

    Args:
        precision: the precision.

    Raises:
        UserError: the CPU has no bf16, or openvino is missing.
    """
    if precision == "bf16" and "BF16" not in get_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UserError(
            "this CPU has no bf16 (AVX512-BF16 or AMX), so OpenVINO would compute in f32; choose f32 or int8"
        )


def load_graphs(files: Mapping[str, bytes], precision: Precision, threads: int) -> dict[str, GraphCallable]:
    """Load and compile the graphs of an OpenVINO export.

    Args:
        files: the content of each file ``<graph>.xml`` and ``<graph>.bin`` by its name.
        precision: precision of the export.
        threads: number of threads for one call.

    Returns:
        A callable for each graph by its name.

    Raises:
        UserError: openvino is missing, the precision is not available, or a file is not a valid model.
    """
    require_runtime_precision(precision)
    names = [name.removesuffix(".xml") for name in files if name.endswith(".xml")]
    return {name: _load_graph(name, files, precision, threads) for name in names}


def convert_to_openvino(model: bytes) -> dict[str, bytes]:
    """Convert an ONNX model to OpenVINO's format with f32 weights.

    Args:
        model: the ONNX model.

    Returns:
        The content of the files ``.xml`` and ``.bin`` by these suffixes.
    """
    openvino = import_package("openvino")
    with open_scratch_folder("openvino") as folder:
        require_space(folder, len(model), "the unfinished files of this export", num_files=2)
        path = folder / "model.xml"
        # the default would store weights in fp16
        openvino.save_model(get_core().read_model(model), path, compress_to_fp16=False)
        return {".xml": path.read_bytes(), ".bin": path.with_suffix(".bin").read_bytes()}


def _load_graph(name: str, files: Mapping[str, bytes], precision: Precision, threads: int) -> GraphCallable:
    """Compile one graph and check its settings."""
    openvino = import_package("openvino")
    weights = openvino.Tensor(np.frombuffer(files[f"{name}.bin"], np.uint8).copy())
    try:
        model = get_core().read_model(files[f"{name}.xml"], weights)
    except Exception as error:
        raise UserError(f"OpenVINO cannot read {name}.xml ({type(error).__name__}); export the run again") from error
    compiled = get_core().compile_model(model, "CPU", build_compile_config(precision, threads))
    require_compiled_settings(compiled, precision, threads)
    request = compiled.create_infer_request()
    outputs = [output.get_any_name() for output in model.outputs]  # compiled outputs have additional names

    def call(feeds: NamedArrays) -> NamedArrays:
        # inputs are not copied; outputs are, because the next call overwrites them
        request.infer(feeds, share_inputs=True)
        return {output: request.get_tensor(output).data.copy() for output in outputs}

    return call


def load_batch_graph(
    model: bytes, precision: Precision, threads: int
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Compile a graph that takes one item, for as many items a second as possible: each thread computes another item.

    An item is computed in the same way whatever the number of threads and items, so its bits do not depend on either.

    Args:
        model: the ONNX model; one input (1, ...) and one output (1, C), both with a fixed shape.
        precision: precision of the computation.
        threads: number of items that are computed at once.

    Returns:
        A function from items (n, ...) to their outputs (n, C), float32.

    Raises:
        UserError: openvino is missing, or the precision is not available.
    """
    openvino = import_package("openvino")
    require_runtime_precision(precision)
    config = build_compile_config(precision, threads, streams=threads)
    compiled = get_core().compile_model(get_core().read_model(model), "CPU", config)
    require_compiled_settings(compiled, precision, threads)
    queue = openvino.AsyncInferQueue(compiled, threads)
    width = compiled.output(0).shape[1]

    def compute_outputs(items: NDArray[np.float32]) -> NDArray[np.float32]:
        # not empty memory: a row that no callback wrote must not pass for an output
        outputs = np.full((len(items), width), np.nan, np.float32)
        # called in OpenVINO's threads, one at a time; the next item overwrites the tensor
        queue.set_callback(lambda request, number: np.copyto(outputs[number], request.get_output_tensor(0).data[0]))
        for number in range(len(items)):
            queue.start_async({0: items[number : number + 1]}, number)
        queue.wait_all()
        return outputs

    return compute_outputs


def build_compile_config(precision: Precision, threads: int, streams: int = 1) -> dict[str, Any]:
    """Return OpenVINO's settings for a CPU.

    Args:
        precision: precision of the computation.
        threads: number of threads.
        streams: number of calls at a time, which share the threads; 1 for the least latency.
    """
    return {
        "INFERENCE_PRECISION_HINT": PRECISION_HINTS[precision],
        "EXECUTION_MODE_HINT": "ACCURACY",
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_HYPER_THREADING": True,  # otherwise threads beyond the physical cores are silently removed
        "ENABLE_CPU_PINNING": False,  # otherwise several processes would all run on the first cores
    }


def require_compiled_settings(compiled: Any, precision: Precision, threads: int) -> None:
    """Check that OpenVINO compiled a model with the requested settings.

    Args:
        compiled: the compiled model.
        precision: the requested precision.
        threads: the requested number of threads.

    Raises:
        UserError: OpenVINO used another type or number of threads.
    """
    taken = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if taken != PRECISION_HINTS[precision]:
        raise UserError(
            f"OpenVINO was told to compute in {PRECISION_HINTS[precision]} but uses {taken}; choose another precision"
        )
    count = compiled.get_property("INFERENCE_NUM_THREADS")
    if count != threads:
        raise UserError(f"OpenVINO was given {threads} threads but uses {count}; request {count}")
