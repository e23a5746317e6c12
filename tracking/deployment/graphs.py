"""A tracker's network as graphs: bytes of crops in, maps out, normalization inside, batch 1, static shapes."""

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
