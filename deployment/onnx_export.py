"""Export a PyTorch module as a self-contained ONNX graph of standard operators."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.onnx.errors import SymbolicValueError

from deployment.packages import import_package
from foundation.storage.disk_space import require_space
from foundation.storage.leftovers import open_scratch_folder

ONNX_OPSET = 17
_HELPER: Any = torch.onnx.symbolic_helper  # without types


class ExportGraph(NamedTuple):
    """A graph to export.

    Attributes:
        module: the module, in evaluation mode and on the CPU. It must be a copy, because the exporter folds batch norms
            into its weights.
        inputs: an example of each input by name, in the order of ``forward``; the graph gets their shapes.
        outputs: names of the outputs, in the order in which ``forward`` returns them.
        dynamic_axes: the axes of inputs and outputs whose length may differ from the example's, with a name for each,
            by input or output; ``None`` gives static shapes.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    dynamic_axes: dict[str, dict[int, str]] | None = None


def export_onnx(graph: ExportGraph) -> bytes:
    """Export a graph, fold its constants and apply ONNX Runtime's basic optimizations.

    Torch's global switches are afterwards as they were before, upon an error too.

    Args:
        graph: the graph.

    Returns:
        The ONNX model.

    Raises:
        UserError: onnx or onnxruntime is not installed.
    """
    import_package("onnx")
    raw: Any = io.BytesIO()  # accepted by the exporter, although its type annotation does not list it
    with torch.inference_mode(), _custom_symbolics(), _quiet_plain_tracing(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of shapes that become constants, which is intended
        torch.onnx.export(
            graph.module,
            tuple(graph.inputs.values()),
            raw,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_axes=graph.dynamic_axes,
            opset_version=ONNX_OPSET,
            dynamo=False,  # the newer exporter needs another package and gives no better graph here
        )
    return _optimize_onnx(raw.getvalue())


@contextlib.contextmanager
def _quiet_plain_tracing() -> Iterator[None]:
    """Switch off two things within a ``with`` block: torch's combined attention layers, and the exporter's log.

    In evaluation mode ``nn.MultiheadAttention`` and ``nn.TransformerEncoderLayer`` otherwise become one operator, for
    which ONNX has no form. The log would print the whole graph on standard output where something fails.
    """
    core: Any = torch._C
    attention, ask = torch.backends.mha.get_fastpath_enabled(), core._jit_is_onnx_log_enabled
    is_logging = ask()
    torch.backends.mha.set_fastpath_enabled(False)
    core._jit_set_onnx_log_enabled(False)
    # torch 2.15 takes this function itself, and not its answer, for the state of the log, and then switches it on
    core._jit_is_onnx_log_enabled = None
    try:
        yield
    finally:
        core._jit_is_onnx_log_enabled = ask
        core._jit_set_onnx_log_enabled(is_logging)
        torch.backends.mha.set_fastpath_enabled(attention)


@contextlib.contextmanager
def _custom_symbolics() -> Iterator[None]:
    """Register our own conversion of three operators within a ``with`` block.

    The exporter has none for ``argsort`` and for resizing with anti-aliasing, and surrounds fused attention with shapes
    that are computed at run time.
    """
    ours: dict[str, Callable[..., Any]] = {
        "aten::argsort": _argsort_symbolic,
        "aten::scaled_dot_product_attention": _attention_symbolic,
        "aten::_upsample_bicubic2d_aa": _antialiased_resize_symbolic,
    }
    registered = []
    try:
        for name, function in ours.items():
            torch.onnx.register_custom_op_symbolic(name, function, ONNX_OPSET)
            registered.append(name)
        yield
    finally:
        for name in registered:
            torch.onnx.unregister_custom_op_symbolic(name, ONNX_OPSET)


def _attention_symbolic(
    g: Any, q: Any, k: Any, v: Any, mask: Any, dropout: Any, is_causal: Any, scale: Any, *rest: Any
) -> Any:
    """Write fused attention as softmax(scale q k^T + mask) v; the default scale is 1 / sqrt(head dimension).

    Raises:
        SymbolicValueError: attention with a causal mask, or with heads of unknown width.
    """
    rank, width = _HELPER._get_tensor_rank(q), _HELPER._get_tensor_dim_size(q, -1)
    if rank is None or width is None or _HELPER._maybe_get_const(is_causal, "b"):
        raise SymbolicValueError("causal attention, or attention with heads of unknown width, is not written", q)
    factor = width**-0.5 if _HELPER._is_none(scale) else _HELPER._get_const(scale, "f", "scale")
    # q is scaled before the product, which has fewer elements than the logits
    scaled = q if factor == 1 else g.op("Mul", q, g.op("Constant", value_t=torch.tensor(factor)))
    # (..., tokens, width) times (..., width, tokens)
    logits = g.op("MatMul", scaled, g.op("Transpose", k, perm_i=[*range(rank - 2), rank - 1, rank - 2]))
    if not _HELPER._is_none(mask):
        if _HELPER._is_bool(mask):
            zero, hidden = (g.op("Constant", value_t=torch.tensor(value)) for value in (0.0, float("-inf")))
            mask = g.op("Where", mask, zero, hidden)
        logits = g.op("Add", logits, mask)
    return g.op("MatMul", g.op("Softmax", logits, axis_i=-1), v)


def _argsort_symbolic(g: Any, values: Any, *rest: Any) -> Any:
    """Write ``argsort`` as TopK of all values along its axis, in its direction.

    The arguments that follow the values are ``[stable,] dim, descending``.
    """
    axis = _HELPER._get_const(rest[-2], "i", "dim")
    descending = _HELPER._get_const(rest[-1], "b", "descending")
    axis %= values.type().dim()
    count = g.op("Shape", values, start_i=axis, end_i=axis + 1)
    # ONNX defines that TopK puts equal values in the order of their indices, so it is a stable sort in either direction
    order = g.op("TopK", values, count, axis_i=axis, largest_i=int(descending), sorted_i=1, outputs=2)[1]
    # said here, because the exporter knows no shapes behind an operator of ours
    order.setType(values.type().with_dtype(torch.int64))
    return order


def _antialiased_resize_symbolic(g: Any, maps: Any, size: Any, align_corners: Any, *rest: Any) -> Any:
    """Write bicubic resizing with anti-aliasing as a product with one constant matrix per axis, exactly torch's.

    Backbones resize their position embeddings so. These are constants, and then the whole product is folded. The size
    is that of the traced call; where it should follow the input, the comparison with PyTorch at another size fails.

    Raises:
        SymbolicValueError: the size is not known when the graph is written.
    """
    before, after = maps.type().sizes(), g.original_node.output().type().sizes()
    if before is None or after is None:
        raise SymbolicValueError("resizing with anti-aliasing to a size that is not fixed is not written", maps)
    align = bool(_HELPER._get_const(align_corners, "b", "align_corners"))
    rows, columns = (_compute_resize_matrix(before[axis], after[axis], align) for axis in (2, 3))
    # (targets, rows) (..., rows, columns) (columns, targets)
    tall = g.op("MatMul", g.op("Constant", value_t=rows), maps)
    wide = g.op("MatMul", tall, g.op("Constant", value_t=columns.T.contiguous()))
    wide.setType(g.original_node.output().type())
    return wide


def _compute_resize_matrix(side: int, target: int, align_corners: bool) -> Tensor:
    """Compute the matrix (target, side) by which torch resizes one axis: resizing is linear, and axes are apart."""
    # channel c is the c-th unit vector; two equal columns, since torch 2.15 resizes maps of one column wrongly
    units = torch.eye(side).view(1, side, side, 1).repeat(1, 1, 1, 2)
    resized = functional.interpolate(units, (target, 2), mode="bicubic", antialias=True, align_corners=align_corners)
    return resized[0, :, :, 0].T.contiguous()


def _optimize_onnx(model: bytes) -> bytes:
    """Fold constants and apply ONNX Runtime's basic optimizations, which also prepare the model for quantization."""
    runtime = import_package("onnxruntime")
    with open_scratch_folder("onnx") as folder:
        require_space(folder, len(model), "the unfinished files of this export")
        path = folder / "optimized.onnx"
        options = runtime.SessionOptions()
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        # MatMulAddFusion would turn linear layers into Gemm between reshapes, which are hard to quantize and to fuse
        runtime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], disabled_optimizers=["MatMulAddFusion"]
        )
        return path.read_bytes()
