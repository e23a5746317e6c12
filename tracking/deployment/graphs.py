"""Split a tracker's network into graphs for export: crops in, maps out, with batch 1 and static shapes."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from deployment.onnx_export import ExportGraph
from tracking.deployment.graph_names import JOINT_GRAPH, SEARCH_GRAPH, TEMPLATE_GRAPH
from tracking.models.one_stream_vit import TemplateKV
from tracking.models.tracker_model import TrackerModel

MAP_NAMES = ("score", "size", "offset")


def build_export_graphs(model: TrackerModel) -> dict[str, ExportGraph]:
    """Return the graphs of a model by name.

    They contain copies of the model, because the exporter changes the weights that it is given.

    Args:
        model: the network.
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
    if not model.backbone.asymmetric_attention:
        return {JOINT_GRAPH: ExportGraph(JointModule(model), {"template": template, "search": search}, MAP_NAMES)}
    first = TemplateModule(model)
    # the center query is only needed to choose which search tokens are dropped
    names = ("keys", "values", "centre") if model.candidate_elimination else ("keys", "values")
    # example inputs of the search graph are the real outputs of the template graph
    with torch.inference_mode():
        memory = dict(zip(names, first(template), strict=True))
    return {
        TEMPLATE_GRAPH: ExportGraph(first, {"template": template}, names),
        SEARCH_GRAPH: ExportGraph(SearchModule(copy.deepcopy(model)), {**memory, "search": search}, MAP_NAMES),
    }


class JointModule(nn.Module):
    """Computes the maps from both crops."""

    def __init__(self, model: TrackerModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps.

        Args:
            template: template crop, bytes of shape (1, side, side, 3).
            search: search crop, bytes of shape (1, side, side, 3).
        """
        return tuple(self.model(_normalize_crops(self.model, template), _normalize_crops(self.model, search)))


class TemplateModule(nn.Module):
    """Encodes a template for ``SearchModule``."""

    def __init__(self, model: TrackerModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, template: Tensor) -> tuple[Tensor, ...]:
        """Encode a template.

        Args:
            template: template crop, bytes of shape (1, side, side, 3).

        Returns:
            Keys and values of all blocks, shape (blocks, heads, template tokens, head channels), and with candidate
            elimination the center queries, shape (blocks, heads, 1, head channels).
        """
        memory = self.model.encode_template(_normalize_crops(self.model, template))
        count = 3 if self.model.candidate_elimination else 2
        # the blocks are stacked along the batch dimension, which is 1: a few large tensors instead of many small ones
        return tuple(torch.cat(parts) for parts in list(zip(*memory, strict=True))[:count])


class SearchModule(nn.Module):
    """Computes the maps from an encoded template and a search crop."""

    def __init__(self, model: TrackerModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, keys: Tensor, values: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps.

        Args:
            keys: first output of ``TemplateModule``.
            values: second output of ``TemplateModule``.
            rest: the third output of ``TemplateModule``, if there is one, and the search crop, bytes of shape
                (1, side, side, 3).
        """
        # without elimination the center query is never used, so an empty tensor takes its place
        center_query, search = (rest[0], rest[1]) if self.model.candidate_elimination else (keys[:, :, :0], rest[0])
        parts = [torch.split(part, 1) for part in (keys, values, center_query)]
        memory = [TemplateKV(*block) for block in zip(*parts, strict=True)]
        return tuple(self.model.forward_cached(memory, _normalize_crops(self.model, search)))


def _normalize_crops(model: TrackerModel, crops: Tensor) -> Tensor:
    """Normalize crops of bytes, shape (1, side, side, 3) to (1, 3, side, side)."""
    return model.normalize_images(crops.permute(0, 3, 1, 2))
