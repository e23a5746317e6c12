"""Exported graphs in ONNX Runtime, on the CPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from deployment.formats import Precision
from deployment.graph_io import GraphCallable, NamedArrays
from deployment.packages import import_package
from foundation.errors import UserError

PROVIDERS = ["CPUExecutionProvider"]


def require_runtime_precision(precision: Precision) -> None:
    """Pass what ONNX Runtime computes on a CPU: f32 and int8.

    Raises:
        UserError: the precision is bf16.
    """
    if precision == "bf16":
        raise UserError(
            "ONNX Runtime has no bf16 on the CPU: its provider there has no such kernels for matrix products and "
            "convolutions; take --precision f32 or int8, or --format openvino"
        )


def load_graphs(files: Mapping[str, bytes], precision: Precision, threads: int) -> dict[str, GraphCallable]:
    """The graphs of an ONNX export, ready to run.

    Args:
        files: ``<graph>.onnx`` and its content.
        precision: of the export.
        threads: for one pass.

    Raises:
        UserError: onnxruntime is missing, the precision is not available, or a file is not a sound model.
    """
    require_runtime_precision(precision)
    return {name.removesuffix(".onnx"): _load_graph(name, content, threads) for name, content in files.items()}


def _load_graph(name: str, content: bytes, threads: int) -> GraphCallable:
    runtime = import_package("onnxruntime")
    refuse_external_data(name, content)
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(content, options, providers=PROVIDERS)
    except Exception as error:
        raise UserError(f"ONNX Runtime cannot take {name} ({type(error).__name__}); export the run again") from error
    outputs = [output.name for output in session.get_outputs()]

    def call(feeds: NamedArrays) -> NamedArrays:
        return dict(zip(outputs, session.run(outputs, feeds), strict=True))

    return call


def compute_outputs(model: bytes, feeds: Iterable[NamedArrays]) -> list[NamedArrays]:
    """The outputs of an ONNX model for each of several inputs, on as many threads as ONNX Runtime takes by itself.

    Args:
        model: in f32, just exported.
        feeds: inputs by name.
    """
    session = import_package("onnxruntime").InferenceSession(model, providers=PROVIDERS)
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(names, feed), strict=True)) for feed in feeds]


def refuse_external_data(name: str, content: bytes) -> None:
    """Pass a model that holds all its tensors itself.

    Raises:
        UserError: it names other files, or cannot be read.
    """
    onnx = import_package("onnx")
    try:
        graph = onnx.load_model_from_string(content).graph
    except Exception as error:
        raise UserError(f"{name} is no ONNX model ({type(error).__name__}); export the run again") from error
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _iter_tensors(graph)):
        raise UserError(f"{name} keeps tensors in other files, which are not followed; export the run again")


def _iter_tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.initializer:
                    yield from _iter_tensors(inner)
