"""What a tracker asks of a trained network, whatever runs it; and PyTorch's answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracking.data.crops import Image
from tracking.models.center_head import HeadMaps
from tracking.models.one_stream_vit import Remembered
from tracking.models.tracker_model import TrackerModel

Map = NDArray[np.float32]


class Maps(NamedTuple):
    """What the head says of one search region: score (G, G) and size (2, G, G) in (0, 1), offset (2, G, G) in cells."""

    score: Map
    size: Map
    offset: Map


class Network(Protocol):
    """A trained tracker network behind some runtime. Crops are RGB bytes, (side, side, 3).

    Attributes:
        grid: cells of a side of its maps.
        runtime, precision: what computes and in which numbers, for records: ``torch`` and ``fp32``, for example.
    """

    grid: int
    runtime: str
    precision: str

    def remember(self, template: Image) -> Any:
        """What is kept of a template; its form is the network's own."""

    def look(self, memories: Sequence[Any], searches: Sequence[Image]) -> list[Maps]:
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
        self.grid = model.backbone.search_grid
        self.device = next(model.parameters()).device

    @torch.inference_mode()
    def remember(self, template: Image) -> Any:
        """Keys and values of every block where the template attends to itself only; else the prepared template."""
        prepared = self._prepared([template])
        return self.model.remember(prepared) if self.model.backbone.own else prepared

    @torch.inference_mode()
    def look(self, memories: Sequence[Any], searches: Sequence[Image]) -> list[Maps]:
        """One forward pass for all of them."""
        prepared = self._prepared(searches)
        if self.model.backbone.own:
            maps = self.model.recall(_joined(memories), prepared)
        else:
            maps = self.model(memories[0] if len(memories) == 1 else torch.cat(list(memories)), prepared)
        return separate(HeadMaps(*(values.cpu() for values in maps)))

    def _prepared(self, crops: Sequence[Image]) -> Tensor:
        pixels = torch.from_numpy(crops[0][None] if len(crops) == 1 else np.stack(crops))
        prepared: Tensor = self.model.normalised(pixels.to(self.device).permute(0, 3, 1, 2))
        return prepared


def separate(maps: HeadMaps) -> list[Maps]:
    """A batch of maps, one by one."""
    return [Maps(*(values.numpy() for values in each)) for each in zip(*maps, strict=True)]


def _joined(memories: Sequence[list[Remembered]]) -> list[Remembered]:
    if len(memories) == 1:
        return memories[0]
    return [
        Remembered(*(torch.cat(parts) for parts in zip(*block, strict=True))) for block in zip(*memories, strict=True)
    ]
