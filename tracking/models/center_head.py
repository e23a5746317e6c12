"""The center head of OSTrack: a score, a size and an offset for every cell of the search region."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from tracking.models.cell_window import apply_tower, gather_windows
from tracking.models.group_batch_norm import GroupBatchNorm2d
from tracking.models.norm_groups import DEFAULT_NORM_GROUP


class HeadMaps(NamedTuple):
    """The outputs of the center head for a grid of G x G cells.

    Attributes:
        score: probability that the cell holds the target's center, in (0, 1), shape (batch, G, G).
        size: width and height of the target as fractions of the crop's side, in (0, 1), shape (batch, 2, G, G).
        offset: x and y of the center from the cell's index, in cells, shape (batch, 2, G, G).
    """

    score: Tensor
    size: Tensor
    offset: Tensor


class BestCell(NamedTuple):
    """What a box needs of the head's outputs: the score of every cell, and size and offset at the best one.

    Attributes:
        score: probability that the cell holds the target's center, in (0, 1), shape (batch, G, G).
        cell: index of the best cell, row * G + column, shape (batch,).
        size: width and height of the target as fractions of the crop's side, in (0, 1), shape (batch, 2).
        offset: x and y of the center from the cell's index, in cells, shape (batch, 2).
    """

    score: Tensor
    cell: Tensor
    size: Tensor
    offset: Tensor


class CenterHead(nn.Module):
    """Three towers of convolutions: one for the score, one for the offset and one for the size.

    A tower has four blocks of 3x3 convolution, batch norm and ReLU, then a 1x1 convolution. The channels are halved
    from block to block.

    Args:
        in_channels: channels of the tokens.
        hidden_channels: output channels of the first convolution; 256 in OSTrack.
        norm_group: largest number of pairs that batch norm normalizes together.
    """

    def __init__(self, in_channels: int, hidden_channels: int = 256, norm_group: int = DEFAULT_NORM_GROUP) -> None:
        super().__init__()
        self.score, self.offset, self.size = (
            _make_tower(in_channels, hidden_channels, outputs, norm_group) for outputs in (1, 2, 2)
        )
        for parameter in self.parameters():
            # the weights of the convolutions; biases and batch norms are vectors and keep torch's initialization
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, features: Tensor) -> HeadMaps:
        """Compute the maps from features of the search region.

        Args:
            features: shape (batch, channels, G, G).
        """
        return HeadMaps(
            # (batch, 1, G, G) -> (batch, G, G)
            _clamped_sigmoid(self.score(features))[:, 0],
            _clamped_sigmoid(self.size(features)),
            # no sigmoid: the offset is a distance in cells, which is not confined to (0, 1)
            self.offset(features).float(),
        )

    def predict_best_cell(self, features: Tensor, window: Tensor) -> BestCell:
        """Compute all scores, and size and offset at the best cell only: the same numbers without the rest of the maps.

        Only for evaluation, where batch norm takes each cell alone.

        Args:
            features: shape (batch, channels, G, G).
            window: weights of the cells for the choice of the best one, shape (G, G).
        """
        score = _clamped_sigmoid(self.score(features))[:, 0]
        cells = (score * window).flatten(1).argmax(1)
        windows, inside = gather_windows(features, cells)
        size, offset = (apply_tower(tower, windows, inside) for tower in (self.size, self.offset))
        return BestCell(score, cells, _clamped_sigmoid(size), offset.float())


def decode_boxes(score_map: Tensor, head_maps: HeadMaps) -> Tensor:
    """Return the box that the head predicts at the cell with the highest score.

    Args:
        score_map: scores to choose the cell by: the head's own or weighted ones, shape (batch, G, G).
        head_maps: sizes and offsets.

    Returns:
        Center x, center y, width and height as fractions of the crop's side, shape (batch, 4).
    """
    return gather_boxes(score_map.flatten(1).argmax(1), head_maps)


def gather_boxes(cells: Tensor, head_maps: HeadMaps) -> Tensor:
    """Return the box that the head predicts at a given cell.

    Args:
        cells: index of one cell per image, row * G + column, shape (batch,).
        head_maps: sizes and offsets.

    Returns:
        Center x, center y, width and height as fractions of the crop's side, shape (batch, 4).
    """
    grid = head_maps.score.shape[-1]
    # (batch,) -> (batch, 2, 1): the same cell for both channels of the flattened (batch, 2, G * G) maps
    place = cells[:, None, None].expand(-1, 2, 1)
    size = head_maps.size.flatten(2).gather(2, place)[..., 0]
    offset = head_maps.offset.flatten(2).gather(2, place)[..., 0]
    # column first, because the maps of size and offset hold x before y
    corner = torch.stack([cells % grid, cells // grid], 1)
    return torch.cat([(corner + offset) / grid, size], 1)


def _clamped_sigmoid(values: Tensor) -> Tensor:
    """Return the sigmoid, kept away from 0 and 1, where the logarithms of the focal loss would be infinite."""
    # in float32, because 1 - 1e-4 rounds to 1 in half precision
    return values.float().sigmoid().clamp(1e-4, 1 - 1e-4)


def _make_tower(in_channels: int, hidden_channels: int, out_channels: int, norm_group: int) -> nn.Sequential:
    """Create a tower: four blocks of convolution, batch norm and ReLU, then a 1x1 convolution."""
    layers: list[nn.Module] = []
    before = in_channels
    for after in (hidden_channels, hidden_channels // 2, hidden_channels // 4, hidden_channels // 8):
        layers += [nn.Conv2d(before, after, 3, padding=1), GroupBatchNorm2d(after, norm_group), nn.ReLU()]
        before = after
    return nn.Sequential(*layers, nn.Conv2d(before, out_channels, 1))
