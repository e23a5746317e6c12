"""Run exported graphs in ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from deployment.graph_io import GraphCallable, NamedArrays
from deployment.packages import import_package
from engine.evaluation.model_source import Precision
from foundation.errors import UserError

# named explicitly, since a build for GPUs would otherwise choose the GPU
PROVIDERS = ["CPUExecutionProvider"]


def require_runtime_precision(precision: Precision) -> None:
    """Check that ONNX Runtime can compute in a precision on the CPU: f32 and int8.

    Args:
        precision: the precision.

    Raises:
        UserError: the precision is bf16.
    """
    if precision == "bf16":
        raise UserError(
            "ONNX Runtime has no bf16 on the CPU, since it lacks the kernels for matrix products and convolutions; "
            "choose --precision f32 or int8, or --format openvino"
        )


def load_graphs(files: Mapping[str, bytes], precision: Precision, threads: int) -> dict[str, GraphCallable]:
    """Load the graphs of an ONNX export.

    Args:
        files: the content of each file ``<graph>.onnx`` by its name.
        precision: precision of the export.
        threads: number of threads for one call.

    Returns:
        A callable for each graph by its name.

    Raises:
        UserError: onnxruntime is missing, the precision is not available, or a file is not a valid model.
    """
    require_runtime_precision(precision)
    return {name.removesuffix(".onnx"): _load_graph(name, content, threads) for name, content in files.items()}


def _load_graph(name: str, content: bytes, threads: int) -> GraphCallable:
    """Load one graph with the requested number of threads."""
    runtime = import_package("onnxruntime")
    # before the session is created, which would read such files
    refuse_external_data(name, content)
    options = runtime.SessionOptions()
    # one graph at a time: parallelism within an operator, none between operators
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # errors arrive as exceptions, and are told once
    try:
        session = runtime.InferenceSession(content, options, providers=PROVIDERS)
    except Exception as error:
        raise UserError(f"ONNX Runtime cannot load {name} ({type(error).__name__}); export the run again") from error
    outputs = [output.name for output in session.get_outputs()]

    def call(feeds: NamedArrays) -> NamedArrays:
        return dict(zip(outputs, session.run(outputs, feeds), strict=True))

    return call


def compute_outputs(model: bytes, feeds: Iterable[NamedArrays]) -> list[NamedArrays]:
    """Compute the outputs of an ONNX model for several inputs, with ONNX Runtime's default number of threads.

    Args:
        model: a model in f32 that was just exported.
        feeds: the inputs by name.

    Returns:
        The outputs by name, for each input.
    """
    session = import_package("onnxruntime").InferenceSession(model, providers=PROVIDERS)
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(names, feed), strict=True)) for feed in feeds]


def refuse_external_data(name: str, content: bytes) -> None:
    """Check that a model contains all its tensors.

    A model from elsewhere could name any file of this machine as the place of its tensors.

    Args:
        name: name of the file, for messages.
        content: the model.

    Raises:
        UserError: the model refers to other files, or cannot be read.
    """
    onnx = import_package("onnx")
    try:
        graph = onnx.load_model_from_string(content).graph
    except Exception as error:
        raise UserError(f"{name} is not an ONNX model ({type(error).__name__}); export the run again") from error
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _iter_tensors(graph)):
        raise UserError(f"{name} stores tensors in other files, which are not read; export the run again")


def _iter_tensors(graph: Any) -> Iterator[Any]:
    """Yield all tensors of a graph: initializers, constants, and those of subgraphs in control flow."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                # attributes that are not graphs appear as empty graphs
                if inner.node or inner.initializer:
                    yield from _iter_tensors(inner)
