"""The interface between a tracker and its trained network, and the implementation in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracking.data.crops import ImageArray, make_hann_window
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

    def choose_cell(self, window: FloatMap) -> NumpyBestCell:
        """Return size and offset at the cell with the highest weighted score.

        Args:
            window: weights of the cells, shape (G, G).
        """
        cell = int((self.score * window).argmax())
        row, column = divmod(cell, self.score.shape[-1])
        return NumpyBestCell(self.score, cell, self.size[:, row, column], self.offset[:, row, column])


class NumpyBestCell(NamedTuple):
    """What a box needs of the outputs for one search region: all scores, and size and offset at the best cell.

    Attributes:
        score: as in ``NumpyHeadMaps``, shape (G, G).
        cell: index of the cell with the highest score after weighting by the Hann window, row * G + column.
        size: width and height of the target as fractions of the crop's side, shape (2,).
        offset: x and y of the center from the cell's index, in cells, shape (2,).
    """

    score: FloatMap
    cell: int
    size: FloatMap
    offset: FloatMap

    def choose_cell(self, window: FloatMap) -> NumpyBestCell:
        """Return these outputs: the network has chosen the cell.

        Args:
            window: weights of the cells, shape (G, G); the network has the same.
        """
        return self


NumpyOutputs = NumpyHeadMaps | NumpyBestCell


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

    def predict_maps(
        self, encoded_templates: Sequence[Any], search_crops: Sequence[ImageArray]
    ) -> Sequence[NumpyOutputs]:
        """Return the outputs for one or several search regions, each of another target.

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
        self._window = torch.from_numpy(make_hann_window(self.grid_size).astype(np.float32)).to(self.device)

    @torch.inference_mode()
    def encode_template(self, template: ImageArray) -> Any:
        """Return keys and values of every block with asymmetric attention, else the embedded patches.

        Args:
            template: the template crop.
        """
        prepared = self._preprocess([template])
        if self.model.backbone.asymmetric_attention:
            return self.model.encode_template(prepared)
        return self.model.embed_template(prepared)

    @torch.inference_mode()
    def predict_maps(
        self, encoded_templates: Sequence[Any], search_crops: Sequence[ImageArray]
    ) -> Sequence[NumpyOutputs]:
        """Return scores and best cell of all search regions, computed in one forward pass.

        Args:
            encoded_templates: the encoded template of each target.
            search_crops: the search crop of each target.
        """
        if self.model.backbone.asymmetric_attention:
            memory: Any = _concat_template_kv(encoded_templates)
        else:
            # nothing to copy in the common case of a single target
            memory = encoded_templates[0] if len(encoded_templates) == 1 else torch.cat(list(encoded_templates))
        found = self.model.find_best_cell(memory, self._preprocess(search_crops), self._window)
        # copying to the CPU waits for the GPU, so the caller's clock shows the real time
        score, cell, size, offset = (values.cpu().numpy() for values in found)
        return [NumpyBestCell(*each) for each in zip(score, cell.tolist(), size, offset, strict=True)]

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
