"""The interface between a tracker and its trained network, and the implementation in PyTorch."""

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
    """The outputs of the center head for one search region with a grid of G x G cells.

    Attributes:
        score: probability that the cell holds the target's center, in (0, 1), shape (G, G).
        size: width and height of the target as fractions of the crop's side, in (0, 1), shape (2, G, G).
        offset: x and y of the center from the cell's index, in cells, shape (2, G, G).
    """

    score: FloatMap
    size: FloatMap
    offset: FloatMap


class TrackerNetwork(Protocol):
    """A trained tracker network in some runtime. Crops are RGB bytes of shape (side, side, 3).

    Attributes:
        grid_size: number of cells per side of the maps.
        runtime: what runs the network, for records, for example ``torch``.
        precision: the numbers it computes with, for records, for example ``fp32``.
    """

    grid_size: int
    runtime: str
    precision: str

    def encode_template(self, template: ImageArray) -> Any:
        """Return what the network stores of a template. Its form depends on the network.

        Args:
            template: the template crop.
        """

    def predict_maps(self, encoded_templates: Sequence[Any], search_crops: Sequence[ImageArray]) -> list[NumpyHeadMaps]:
        """Return the maps of one or several search regions, each of another target.

        Args:
            encoded_templates: the encoded template of each target.
            search_crops: the search crop of each target.
        """


class TorchNetwork:
    """The network in PyTorch, in fp32, on the device of the model.

    Args:
        model: the network; it is put into evaluation mode.
    """

    runtime = "torch"
    precision = "fp32"

    def __init__(self, model: TrackerModel) -> None:
        self.model = model.eval()
        self.grid_size = model.backbone.search_grid
        self.device = next(model.parameters()).device

    @torch.inference_mode()
    def encode_template(self, template: ImageArray) -> Any:
        """Return keys and values of every block with asymmetric attention, else the normalized template.

        Args:
            template: the template crop.
        """
        prepared = self._preprocess([template])
        return self.model.encode_template(prepared) if self.model.backbone.asymmetric_attention else prepared

    @torch.inference_mode()
    def predict_maps(self, encoded_templates: Sequence[Any], search_crops: Sequence[ImageArray]) -> list[NumpyHeadMaps]:
        """Return the maps of all search regions, computed in one forward pass.

        Args:
            encoded_templates: the encoded template of each target.
            search_crops: the search crop of each target.
        """
        prepared = self._preprocess(search_crops)
        if self.model.backbone.asymmetric_attention:
            maps = self.model.forward_cached(_concat_template_kv(encoded_templates), prepared)
        else:
            maps = self.model(
                # templates are images here, so they form a batch of their own
                encoded_templates[0] if len(encoded_templates) == 1 else torch.cat(list(encoded_templates)),
                prepared,
            )
        # copying to the CPU waits for the GPU, so the caller's clock shows the real time
        return split_head_maps(HeadMaps(*(values.cpu() for values in maps)))

    def _preprocess(self, crops: Sequence[ImageArray]) -> Tensor:
        """Convert crops to normalized images, shape (batch, 3, side, side)."""
        # bytes are copied to the device and become floats there: a quarter of the traffic
        pixels = torch.from_numpy(crops[0][None] if len(crops) == 1 else np.stack(crops))
        prepared: Tensor = self.model.normalize_images(pixels.to(self.device).permute(0, 3, 1, 2))
        return prepared


def split_head_maps(batch: HeadMaps) -> list[NumpyHeadMaps]:
    """Split the maps of a batch into one entry per image.

    Args:
        batch: maps on the CPU.
    """
    return [NumpyHeadMaps(*(values.numpy() for values in each)) for each in zip(*batch, strict=True)]


def _concat_template_kv(templates: Sequence[list[TemplateKV]]) -> list[TemplateKV]:
    """Concatenate the encoded templates of several targets along the batch dimension, block by block."""
    # nothing to copy in the common case of a single target
    if len(templates) == 1:
        return templates[0]
    return [
        TemplateKV(*(torch.cat(parts) for parts in zip(*block, strict=True))) for block in zip(*templates, strict=True)
    ]
