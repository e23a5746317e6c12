"""What a tracker asks of a trained network, whatever runs it; and PyTorch's answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracking.data.crops import ImageArray
from tracking.models.center_head import HeadMaps
from tracking.models.one_stream_vit import TemplateKV
from tracking.models.tracker_model import TrackerModel

FloatMap = NDArray[np.float32]


class NumpyHeadMaps(NamedTuple):
    """What the head says of one search region: score (G, G) and size (2, G, G) in (0, 1), offset (2, G, G) in cells."""

    score: FloatMap
    size: FloatMap
    offset: FloatMap


class TrackerNetwork(Protocol):
    """A trained tracker network behind some runtime. Crops are RGB bytes, (side, side, 3).

    Attributes:
        grid_size: cells of a side of its maps.
        runtime, precision: what computes and in which numbers, for records: ``torch`` and ``fp32``, for example.
    """

    grid_size: int
    runtime: str
    precision: str

    def encode_template(self, template: ImageArray) -> Any:
        """What is kept of a template; its form is the network's own."""

    def predict_maps(self, encoded_templates: Sequence[Any], search_crops: Sequence[ImageArray]) -> list[NumpyHeadMaps]:
        """The maps of search regions, each with its own target's memory; several at once is a batch."""


class TorchNetwork:
    """The network in PyTorch, on the model's device, fp32.

    Args:
        model: put in evaluation mode.
    """

    runtime = "torch"
    precision = "fp32"

    def __init__(self, model: TrackerModel) -> None:
        self.model = model.eval()
        self.grid_size = model.backbone.search_grid
        self.device = next(model.parameters()).device

    @torch.inference_mode()
    def encode_template(self, template: ImageArray) -> Any:
        """Keys and values of every block where the template attends to itself only; else the prepared template."""
        prepared = self._preprocess([template])
        return self.model.encode_template(prepared) if self.model.backbone.asymmetric_attention else prepared

    @torch.inference_mode()
    def predict_maps(self, encoded_templates: Sequence[Any], search_crops: Sequence[ImageArray]) -> list[NumpyHeadMaps]:
        """One forward pass for all of them."""
        prepared = self._preprocess(search_crops)
        if self.model.backbone.asymmetric_attention:
            maps = self.model.forward_cached(_concat_template_kv(encoded_templates), prepared)
        else:
            maps = self.model(
                encoded_templates[0] if len(encoded_templates) == 1 else torch.cat(list(encoded_templates)), prepared
            )
        return split_head_maps(HeadMaps(*(values.cpu() for values in maps)))

    def _preprocess(self, crops: Sequence[ImageArray]) -> Tensor:
        pixels = torch.from_numpy(crops[0][None] if len(crops) == 1 else np.stack(crops))
        prepared: Tensor = self.model.normalize_images(pixels.to(self.device).permute(0, 3, 1, 2))
        return prepared


def split_head_maps(batch: HeadMaps) -> list[NumpyHeadMaps]:
    """A batch of maps, one by one."""
    return [NumpyHeadMaps(*(values.numpy() for values in each)) for each in zip(*batch, strict=True)]


def _concat_template_kv(templates: Sequence[list[TemplateKV]]) -> list[TemplateKV]:
    if len(templates) == 1:
        return templates[0]
    return [
        TemplateKV(*(torch.cat(parts) for parts in zip(*block, strict=True))) for block in zip(*templates, strict=True)
    ]
