"""Split a tracker's network into graphs for export: crops in, scores and best cell out; batch 1, static shapes."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from backbones.architectures.head_projection import split_projection
from deployment.onnx_export import ExportGraph
from engine.evaluation.model_source import Precision
from tracking.data.crops import make_hann_window
from tracking.deployment.graph_names import SEARCH_GRAPH, TEMPLATE_GRAPH
from tracking.models.one_stream_vit import TemplateKV
from tracking.models.tracker_model import TrackerModel

OUTPUT_NAMES = ("score", "cell", "size", "offset")
"""Outputs of the search graph: all scores (1, G, G), index of the best cell (1,), and its size and offset (1, 2)."""


def build_export_graphs(model: TrackerModel, precision: Precision = "f32") -> dict[str, ExportGraph]:
    """Return the graphs of a model by name: one that reads the template once, and one for every search region.

    They contain copies of the model, because the exporter changes the weights that it is given.

    Args:
        model: the network.
        precision: precision that the graphs are for. Only f32 gets a matrix per head: OpenVINO has no bf16 kernel for
            these products, and int8 has rules for linear layers as they are.
    """
    model = copy.deepcopy(model).eval().cpu()
    # constants of the graphs: how learned ones follow from the weights need not be computed again for each frame
    model.backbone.fix_rotations()
    patch = model.backbone.vit.patch_embed.patch_size[0]
    # bytes: normalization is part of the graph, so that a user of the file cannot get it wrong
    template, search = (
        torch.zeros(1, side, side, 3, dtype=torch.uint8)
        for side in (model.backbone.template_grid * patch, model.backbone.search_grid * patch)
    )
    if precision == "f32":
        for block in model.backbone.vit.blocks:
            split_projection(block.attn)
    first = TemplateModule(model)
    names = name_memory(model.backbone.asymmetric_attention, model.candidate_elimination is not None)
    # example inputs of the search graph are the real outputs of the template graph
    with torch.inference_mode():
        memory = dict(zip(names, first(template), strict=True))
    return {
        TEMPLATE_GRAPH: ExportGraph(first, {"template": template}, names),
        SEARCH_GRAPH: ExportGraph(SearchModule(copy.deepcopy(model)), {**memory, "search": search}, OUTPUT_NAMES),
    }


def name_memory(asymmetric_attention: bool, use_ce: bool) -> tuple[str, ...]:
    """Return the names of what the template graph gives and the search graph takes.

    Args:
        asymmetric_attention: whether the template attends only to itself.
        use_ce: whether search tokens are dropped by candidate elimination.
    """
    if not asymmetric_attention:
        return ("tokens",)
    # the center query is only needed to choose which search tokens are dropped
    return ("keys", "values", "centre") if use_ce else ("keys", "values")


class TemplateModule(nn.Module):
    """Reads a template for ``SearchModule``: embeds its patches, and with asymmetric attention encodes it."""

    def __init__(self, model: TrackerModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, template: Tensor) -> tuple[Tensor, ...]:
        """Read a template.

        Args:
            template: template crop, bytes of shape (1, side, side, 3).

        Returns:
            The embedded patches, shape (1, template tokens, channels). With asymmetric attention instead keys and
            values of all blocks, shape (blocks, heads, template tokens, head channels), and with candidate elimination
            the center queries, shape (blocks, heads, 1, head channels).
        """
        pixels = _normalize_crops(self.model, template)
        if not self.model.backbone.asymmetric_attention:
            return (self.model.embed_template(pixels),)
        memory = self.model.encode_template(pixels)
        count = 3 if self.model.candidate_elimination else 2
        # the blocks are stacked along the batch dimension, which is 1: a few large tensors instead of many small ones
        return tuple(torch.cat(parts) for parts in list(zip(*memory, strict=True))[:count])


class SearchModule(nn.Module):
    """Computes scores and the best cell from what ``TemplateModule`` gives and a search crop."""

    window: Tensor

    def __init__(self, model: TrackerModel) -> None:
        super().__init__()
        self.model = model
        window = make_hann_window(model.backbone.search_grid).astype(np.float32)
        self.register_buffer("window", torch.from_numpy(window))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Find the best cell.

        Args:
            inputs: the outputs of ``TemplateModule``, and the search crop, bytes of shape (1, side, side, 3).
        """
        *memory, search = inputs
        pixels = _normalize_crops(self.model, search)
        return tuple(self.model.find_best_cell(self._split_memory(memory), pixels, self.window))

    def _split_memory(self, memory: list[Tensor]) -> Tensor | list[TemplateKV]:
        """Return the memory in the form that the model takes."""
        if not self.model.backbone.asymmetric_attention:
            return memory[0]
        # without elimination the center query is never used, so an empty tensor takes its place
        center_query = memory[2] if self.model.candidate_elimination else memory[0][:, :, :0]
        parts = [torch.split(part, 1) for part in (*memory[:2], center_query)]
        return [TemplateKV(*block) for block in zip(*parts, strict=True)]


def _normalize_crops(model: TrackerModel, crops: Tensor) -> Tensor:
    """Normalize crops of bytes, shape (1, side, side, 3) to (1, 3, side, side)."""
    return model.normalize_images(crops.permute(0, 3, 1, 2))
