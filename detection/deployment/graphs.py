"""Split a detector into graphs for export, and put a detector together again whose parts are graphs.

Four parts are functions of tensors alone: the backbone with its pyramid, the head of the proposal network, the box head
and the mask head. What lies between them depends on what an image holds, and stays in torch: which anchors become
proposals, non-maximum suppression, the pooling of regions, the choice of the detections, the pasting of masks.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deployment.graph_io import GraphCallable
from deployment.images.image_graphs import prepare_image_model
from deployment.onnx_export import ExportGraph, export_onnx
from detection.models.detector import Detector
from detection.models.regions import BOX_SIDE, MASK_SIDE
from foundation.errors import UserError

PYRAMID_GRAPH, PROPOSAL_GRAPH, BOX_GRAPH, MASK_GRAPH = "pyramid", "proposals", "box_head", "mask_head"
"""Names of the graphs; the last one is there if the detector has masks."""

IMAGE_INPUT, REGION_INPUT = "images", "regions"

_EXAMPLE_REGIONS = 3
"""Regions that the heads are traced with; any number may follow."""


def list_graph_names(has_masks: bool) -> tuple[str, ...]:
    """Return the names of the graphs of a detector.

    Args:
        has_masks: whether it has a mask head.
    """
    return (PYRAMID_GRAPH, PROPOSAL_GRAPH, BOX_GRAPH, *((MASK_GRAPH,) if has_masks else ()))


def prepare_detector(model: Detector) -> Detector:
    """Return a copy of a detector on the CPU, in evaluation mode and f32, that computes attention step by step.

    Args:
        model: the detector; it is not changed.
    """
    twin = prepare_image_model(model)
    assert isinstance(twin, Detector)
    return twin


@torch.no_grad()
def build_detector_graphs(model: Detector) -> dict[str, ExportGraph]:
    """Return the graphs of a detector by name. They share its modules, which the exporter may change.

    Args:
        model: the detector, as ``prepare_detector`` returns it; a copy that is thrown away afterwards.
    """
    size, channels = model.recipe.size, model.recipe.model.channels
    images = torch.zeros(1, 3, size, size)
    levels = model.compute_levels(images)
    names = _name_levels("level", len(levels))
    graphs = {
        PYRAMID_GRAPH: ExportGraph(_PyramidModule(model), {IMAGE_INPUT: images}, tuple(names)),
        PROPOSAL_GRAPH: ExportGraph(
            _ProposalModule(model.proposal_network.head),
            dict(zip(names, levels, strict=True)),
            (*_name_levels("logits", len(levels)), *_name_levels("deltas", len(levels))),
        ),
    }
    heads: list[tuple[str, nn.Module, int, tuple[str, ...]]] = [
        (BOX_GRAPH, model.box_head, BOX_SIDE, ("logits", "deltas"))
    ]
    if model.mask_head is not None:
        heads.append((MASK_GRAPH, model.mask_head, MASK_SIDE, ("masks",)))
    for name, head, side, outputs in heads:
        regions = torch.zeros(_EXAMPLE_REGIONS, channels, side, side)
        axes = {each: {0: "regions"} for each in (REGION_INPUT, *outputs)}
        graphs[name] = ExportGraph(head, {REGION_INPUT: regions}, outputs, axes)
    return graphs


def write_detector_graphs(model: Detector, name: str) -> dict[str, bytes]:
    """Write the graphs of a detector as ONNX in f32, by name.

    Args:
        model: the detector, as ``prepare_detector`` returns it; it is not changed.
        name: name of the model, for messages.

    Raises:
        UserError: a part has an operator that ONNX has no form for, or cannot be traced.
    """
    try:
        # a copy, because the exporter folds batch norms into the weights
        return {part: export_onnx(graph) for part, graph in build_detector_graphs(copy.deepcopy(model)).items()}
    except UserError:
        raise
    # tracing runs the code of any backbone, which may raise anything
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
        raise UserError(f"{name} cannot be written as ONNX ({reason}); choose another backbone") from error


def attach_graphs(model: Detector, graphs: Mapping[str, GraphCallable]) -> Detector:
    """Return a twin of a detector whose parts are computed by graphs.

    Args:
        model: the detector on the CPU; it is not changed.
        graphs: the graphs by name.
    """
    twin = copy.copy(model)
    proposals = copy.copy(model.proposal_network)
    count = len(model.pyramid.strides)
    names = _name_levels("level", count)
    # copies of the dicts of modules: a shallow copy shares them with the model
    proposals._modules = {"head": _ProposalGraph(graphs[PROPOSAL_GRAPH], names)}
    twin._modules = {
        **model._modules,
        "backbone": nn.Identity(),
        "pyramid": _GraphModule(graphs[PYRAMID_GRAPH], (IMAGE_INPUT,), names),
        "proposal_network": proposals,
        "box_head": _GraphModule(graphs[BOX_GRAPH], (REGION_INPUT,), ("logits", "deltas")),
    }
    if model.mask_head is not None:
        twin._modules["mask_head"] = _MaskGraph(graphs[MASK_GRAPH], (REGION_INPUT,), ("masks",))
    return twin


class _PyramidModule(nn.Module):
    """Computes the levels of the pyramid."""

    def __init__(self, model: Detector) -> None:
        super().__init__()
        self.backbone, self.pyramid = model.backbone, model.pyramid

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.pyramid(self.backbone(images)))


class _ProposalModule(nn.Module):
    """Scores the anchors of all levels; takes them one by one, as a graph has tensors as inputs and no lists."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, *levels: Tensor) -> tuple[Tensor, ...]:
        logits, deltas = self.head(list(levels))
        return (*logits, *deltas)


class _GraphModule(nn.Module):
    """A graph in the place of a module with one input."""

    def __init__(self, graph: GraphCallable, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        super().__init__()
        self.graph, self.inputs, self.outputs = graph, list(inputs), list(outputs)

    def forward(self, *tensors: Tensor) -> Any:
        if not len(tensors[0]):  # no regions: OpenVINO runs no graph on nothing
            return self.make_empty(tensors[0])
        return self.call_graph(tensors)

    def call_graph(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Run the graph and return its outputs in the order of their names."""
        feeds = {
            name: np.ascontiguousarray(tensor.detach().float().cpu().numpy())
            for name, tensor in zip(self.inputs, tensors, strict=True)
        }
        found = self.graph(feeds)
        # a runtime returns its own memory, which the next call may overwrite
        return [torch.from_numpy(np.array(found[name])) for name in self.outputs]

    def make_empty(self, like: Tensor) -> Any:
        """Return the outputs for no regions: those for one region without it."""
        return [each[:0] for each in self.call_graph([like.new_zeros(1, *like.shape[1:])])]


class _MaskGraph(_GraphModule):
    """A graph with one output."""

    def forward(self, *tensors: Tensor) -> Any:
        return super().forward(*tensors)[0]


class _ProposalGraph(_GraphModule):
    """The graph of the proposal network in the place of its head."""

    def __init__(self, graph: GraphCallable, names: Sequence[str]) -> None:
        count = len(names)
        super().__init__(graph, names, [*_name_levels("logits", count), *_name_levels("deltas", count)])

    def forward(self, levels: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:  # type: ignore[override]
        found = self.call_graph(levels)
        return found[: len(levels)], found[len(levels) :]


def _name_levels(stem: str, count: int) -> list[str]:
    return [f"{stem}_{number}" for number in range(count)]
