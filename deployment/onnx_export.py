"""Export a PyTorch module as a self-contained ONNX graph of standard operators with static shapes."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from deployment.packages import import_package

ONNX_OPSET = 17


class ExportGraph(NamedTuple):
    """A graph to export.

    Attributes:
        module: the module, in evaluation mode and on the CPU. It must be a copy, because the exporter folds batch norms
            into its weights.
        inputs: an example of each input by name, in the order of ``forward``; the graph gets their shapes.
        outputs: names of the outputs, in the order in which ``forward`` returns them.
        head_dim: number of channels of an attention head, by whose inverse square root every fused attention of the
            module is scaled; ``None`` for a module without fused attention.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    head_dim: int | None


def export_onnx(graph: ExportGraph) -> bytes:
    """Export a graph, fold its constants and apply ONNX Runtime's basic optimizations.

    Args:
        graph: the graph.

    Returns:
        The ONNX model.

    Raises:
        UserError: onnx or onnxruntime is not installed.
    """
    import_package("onnx")
    raw: Any = io.BytesIO()  # accepted by the exporter, although its type annotation does not list it
    with torch.inference_mode(), _custom_symbolics(graph.head_dim), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of shapes that become constants, which is intended
        torch.onnx.export(
            graph.module,
            tuple(graph.inputs.values()),
            raw,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=ONNX_OPSET,
            dynamo=False,  # the newer exporter needs another package and gives no better graph here
        )
    return _optimize_onnx(raw.getvalue())


@contextlib.contextmanager
def _custom_symbolics(head_dim: int | None) -> Iterator[None]:
    """Register our own conversion of two operators within a ``with`` block.

    The exporter has none for ``argsort``, and surrounds fused attention with shapes that are computed at run time.
    """
    ours: dict[str, Callable[..., Any]] = {"aten::argsort": _argsort_symbolic}
    if head_dim is not None:
        ours["aten::scaled_dot_product_attention"] = partial(_attention_symbolic, head_dim)
    for name, function in ours.items():
        torch.onnx.register_custom_op_symbolic(name, function, ONNX_OPSET)
    try:
        yield
    finally:
        for name in ours:
            torch.onnx.unregister_custom_op_symbolic(name, ONNX_OPSET)


def _attention_symbolic(head_dim: int, g: Any, q: Any, k: Any, v: Any, mask: Any, *rest: Any) -> Any:
    """Write fused attention as softmax(q k^T / sqrt(head_dim) + mask) v."""
    # q is scaled before the product, which has fewer elements than the logits
    scaled = g.op("Mul", q, g.op("Constant", value_t=torch.tensor(head_dim**-0.5)))
    # (batch, heads, tokens, head_dim) times (batch, heads, head_dim, tokens)
    logits = g.op("MatMul", scaled, g.op("Transpose", k, perm_i=[0, 1, 3, 2]))
    if not mask.node().mustBeNone():
        logits = g.op("Add", logits, mask)
    return g.op("MatMul", g.op("Softmax", logits, axis_i=-1), v)


def _argsort_symbolic(g: Any, values: Any, *rest: Any) -> Any:
    """Write ``argsort`` along axis 1 in descending order as TopK of all values."""
    count = g.op("Shape", values, start_i=1, end_i=2)
    # ONNX defines that TopK puts equal values in the order of their indices, like a stable sort
    return g.op("TopK", values, count, axis_i=1, largest_i=1, sorted_i=1, outputs=2)[1]


def _optimize_onnx(model: bytes) -> bytes:
    """Fold constants and apply ONNX Runtime's basic optimizations, which also prepare the model for quantization."""
    runtime = import_package("onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options = runtime.SessionOptions()
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        # MatMulAddFusion would turn linear layers into Gemm between reshapes, which are hard to quantize and to fuse
        runtime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], disabled_optimizers=["MatMulAddFusion"]
        )
        return path.read_bytes()
