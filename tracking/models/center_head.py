"""The centre head: a score, a size and an offset for every cell of the search region."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class HeadMaps(NamedTuple):
    """What the head says: score (N, G, G) and size (N, 2, G, G) in (0, 1), offset (N, 2, G, G) in cells."""

    score: Tensor
    size: Tensor
    offset: Tensor


class CenterHead(nn.Module):
    """Three towers of 3x3 convolution, batch norm and ReLU, each halving the channels, then 1x1.

    Args:
        in_channels: channels of the tokens.
        hidden_channels: of the first convolution (256 in OSTrack).
    """

    def __init__(self, in_channels: int, hidden_channels: int = 256) -> None:
        super().__init__()
        self.score, self.offset, self.size = (
            _make_tower(in_channels, hidden_channels, outputs) for outputs in (1, 2, 2)
        )
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, features: Tensor) -> HeadMaps:
        """Maps of (N, width, G, G) features."""
        return HeadMaps(
            _clamped_sigmoid(self.score(features))[:, 0],
            _clamped_sigmoid(self.size(features)),
            self.offset(features).float(),
        )


def decode_boxes(score_map: Tensor, head_maps: HeadMaps) -> Tensor:
    """Boxes (N, 4) at the best cell of ``score_map``: centre x, centre y, w, h as shares of the crop.

    Args:
        score_map: (N, G, G), the head's own or windowed.
        head_maps: sizes and offsets.
    """
    return gather_boxes(score_map.flatten(1).argmax(1), head_maps)


def gather_boxes(cells: Tensor, head_maps: HeadMaps) -> Tensor:
    """Boxes (N, 4) that the head says at given cells (N,), counted row by row."""
    grid = head_maps.score.shape[-1]
    place = cells[:, None, None].expand(-1, 2, 1)
    size = head_maps.size.flatten(2).gather(2, place)[..., 0]
    offset = head_maps.offset.flatten(2).gather(2, place)[..., 0]
    corner = torch.stack([cells % grid, cells // grid], 1)
    return torch.cat([(corner + offset) / grid, size], 1)


def _clamped_sigmoid(values: Tensor) -> Tensor:
    return values.float().sigmoid().clamp(1e-4, 1 - 1e-4)


def _make_tower(in_channels: int, hidden_channels: int, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    before = in_channels
    for after in (hidden_channels, hidden_channels // 2, hidden_channels // 4, hidden_channels // 8):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        before = after
    return nn.Sequential(*layers, nn.Conv2d(before, out_channels, 1))
