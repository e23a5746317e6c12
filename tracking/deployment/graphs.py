"""A tracker's network as ONNX graphs: bytes of crops in, maps out, normalisation inside, batch 1, static shapes."""

from __future__ import annotations

import contextlib
import copy
import io
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tracking.deployment.graph_names import JOINT_GRAPH, SEARCH_GRAPH, TEMPLATE_GRAPH
from tracking.deployment.packages import import_package
from tracking.models.one_stream_vit import TemplateKV
from tracking.models.tracker_model import TrackerModel

ONNX_OPSET = 17
MAP_NAMES = ("score", "size", "offset")


class ExportGraph(NamedTuple):
    """A graph: its module, examples of its inputs by name, the names of its outputs, and the width of a head."""

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    head_dim: int


def build_export_graphs(model: TrackerModel) -> dict[str, ExportGraph]:
    """The graphs of a model by name, around copies of it: the exporter folds batch norms into what it is given."""
    model = copy.deepcopy(model).eval().cpu()
    width = model.backbone.vit.blocks[0].attn.head_dim
    patch = model.backbone.vit.patch_embed.patch_size[0]
    template, search = (
        torch.zeros(1, side, side, 3, dtype=torch.uint8)
        for side in (model.backbone.template_grid * patch, model.backbone.search_grid * patch)
    )
    if not model.backbone.asymmetric_attention:
        return {
            JOINT_GRAPH: ExportGraph(JointModule(model), {"template": template, "search": search}, MAP_NAMES, width)
        }
    first = TemplateModule(model)
    names = ("keys", "values", "centre") if model.candidate_elimination else ("keys", "values")
    with torch.inference_mode():
        memory = dict(zip(names, first(template), strict=True))
    return {
        TEMPLATE_GRAPH: ExportGraph(first, {"template": template}, names, width),
        SEARCH_GRAPH: ExportGraph(SearchModule(copy.deepcopy(model)), {**memory, "search": search}, MAP_NAMES, width),
    }


def export_onnx(graph: ExportGraph) -> bytes:
    """A graph as a self-contained ONNX file, folded and tidied by ONNX Runtime's basic optimisations.

    Raises:
        UserError: onnx or onnxruntime is not installed.
    """
    import_package("onnx")
    raw: Any = io.BytesIO()  # the exporter takes one, its annotation does not say so
    with torch.inference_mode(), _custom_symbolics(graph.head_dim), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's: every shape is meant to become a constant
        torch.onnx.export(
            graph.module,
            tuple(graph.inputs.values()),
            raw,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=ONNX_OPSET,
            dynamo=False,  # the newer exporter needs one package more and gives no better graph here
        )
    return _optimize_onnx(raw.getvalue())


class JointModule(nn.Module):
    """Template and search region to maps."""

    def __init__(self, model: TrackerModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, ...]:
        """Crops (1, side, side, 3), bytes."""
        return tuple(self.model(_normalize_crops(self.model, template), _normalize_crops(self.model, search)))


class TemplateModule(nn.Module):
    """Template to what ``SearchModule`` takes of it: keys and values (blocks, heads, tokens, d), and centre queries."""

    def __init__(self, model: TrackerModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, template: Tensor) -> tuple[Tensor, ...]:
        """The crop (1, side, side, 3), bytes."""
        memory = self.model.encode_template(_normalize_crops(self.model, template))
        count = 3 if self.model.candidate_elimination else 2
        return tuple(torch.cat(parts) for parts in list(zip(*memory, strict=True))[:count])


class SearchModule(nn.Module):
    """What is remembered of a template, and a search region, to maps."""

    def __init__(self, model: TrackerModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, keys: Tensor, values: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """``TemplateModule``'s outputs, then the search crop (1, side, side, 3), bytes."""
        centre, search = (rest[0], rest[1]) if self.model.candidate_elimination else (keys[:, :, :0], rest[0])
        parts = [torch.split(part, 1) for part in (keys, values, centre)]
        memory = [TemplateKV(*block) for block in zip(*parts, strict=True)]
        return tuple(self.model.forward_cached(memory, _normalize_crops(self.model, search)))


def _normalize_crops(model: TrackerModel, crops: Tensor) -> Tensor:
    return model.normalize_images(crops.permute(0, 3, 1, 2))


@contextlib.contextmanager
def _custom_symbolics(head_dim: int) -> Iterator[None]:
    """Our way to write two operators; the exporter's own lack one and wrap the other in computed shapes."""
    ours: dict[str, Callable[..., Any]] = {
        "aten::scaled_dot_product_attention": partial(_attention_symbolic, head_dim),
        "aten::argsort": _argsort_symbolic,
    }
    for name, function in ours.items():
        torch.onnx.register_custom_op_symbolic(name, function, ONNX_OPSET)
    try:
        yield
    finally:
        for name in ours:
            torch.onnx.unregister_custom_op_symbolic(name, ONNX_OPSET)


def _attention_symbolic(head_dim: int, g: Any, q: Any, k: Any, v: Any, mask: Any, *rest: Any) -> Any:
    scaled = g.op("Mul", q, g.op("Constant", value_t=torch.tensor(head_dim**-0.5)))
    logits = g.op("MatMul", scaled, g.op("Transpose", k, perm_i=[0, 1, 3, 2]))
    if not mask.node().mustBeNone():
        logits = g.op("Add", logits, mask)
    return g.op("MatMul", g.op("Softmax", logits, axis_i=-1), v)


def _argsort_symbolic(g: Any, values: Any, *rest: Any) -> Any:
    """Descending along axis 1, equal values by place: what TopK of everything gives."""
    count = g.op("Shape", values, start_i=1, end_i=2)
    return g.op("TopK", values, count, axis_i=1, largest_i=1, sorted_i=1, outputs=2)[1]


def _optimize_onnx(model: bytes) -> bytes:
    runtime = import_package("onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tidied.onnx"
        options = runtime.SessionOptions()
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        # as Gemm, a linear layer is wrapped in reshapes, which nobody quantises or fuses well
        runtime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], disabled_optimizers=["MatMulAddFusion"]
        )
        return path.read_bytes()
