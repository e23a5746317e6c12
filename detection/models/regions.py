"""Features of regions, and the heads that classify, refine and segment them (arXiv 1703.06870)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from detection.models.boxes import keep_precision
from detection.models.pyramid import FIRST_STRIDE, ChannelNorm

BOX_SIDE = 7
"""Side of a region's features for the box head, cells."""

MASK_SIDE = 14
"""The same for the mask head, whose masks are twice as large."""

_CANONICAL_SIDE = 224
"""Root of the area in pixels from which on regions are pooled from p4 (arXiv 1612.03144, equation 1)."""

_CANONICAL_STRIDE = 16


def find_levels(boxes: Tensor, first: int, count: int) -> Tensor:
    """Return the level from which each region is pooled: floor(log2(root of its area / 224)) levels above p4.

    Args:
        boxes: left, top, right, bottom in pixels, (n, 4).
        first: level of the finest map: 2 for a stride of 4 px.
        count: number of levels; regions beyond the first and last one are pooled from these.

    Returns:
        Indices from 0, (n,), int64.
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).prod(1).clamp(min=0).sqrt()
    # level k has a stride of 2^k px; the small number keeps log2 finite for an empty box
    canonical = int(math.log2(_CANONICAL_STRIDE))
    level = torch.floor(canonical + torch.log2(sides / _CANONICAL_SIDE + 1e-8))
    return (level - first).clamp(0, count - 1).long()


class RegionPooler(nn.Module):
    """Pools the features of regions with aligned RoIAlign, each from the level that its size asks for.

    The strides are given. Torchvision's ``MultiScaleRoIAlign`` guesses them from the first batch and keeps them, and is
    a factor of two off if the first image is oblong.

    Args:
        strides: of the levels in pixels.
    """

    def __init__(self, strides: Sequence[float]) -> None:
        super().__init__()
        self.strides = list(strides)
        # a patch of 14 px has strides of 3.5, 7, ...; its levels have the numbers of 4, 8, ...
        self.first = round(math.log2(strides[0]))

    def forward(self, levels: Sequence[Tensor], boxes: Sequence[Tensor], side: int) -> Tensor:
        """Pool the features.

        Args:
            levels: maps from fine to coarse, each (batch, channels, rows, columns).
            boxes: of each image, left, top, right, bottom in pixels, (n, 4).
            side: of the result in cells.

        Returns:
            Of the regions of the first image, then of the next, (regions, channels, side, side), at least 32 bits.
        """
        images = torch.cat([each.new_full((len(each), 1), number) for number, each in enumerate(boxes)])
        joined = torch.cat(list(boxes))
        # the operator wants the number of the image in front of each box
        regions = torch.cat([images, joined], 1)
        chosen = find_levels(joined, self.first, len(self.strides))
        channels = levels[0].shape[1]
        like = keep_precision(levels[0])
        pooled = like.new_zeros(len(regions), channels, side, side)
        for number, (level, stride) in enumerate(zip(levels, self.strides, strict=False)):
            # the regions of each level in one call, put back into their order
            rows = (chosen == number).nonzero()[:, 0]
            values = pool_aligned(keep_precision(level), regions[rows], 1 / stride, side)
            pooled = pooled.index_put((rows,), values)
        return pooled


def pool_aligned(maps: Tensor, regions: Tensor, scale: float, side: int) -> Tensor:
    """Pool regions with RoIAlign: the mean of bilinear samples in each cell, one sample per pixel of the map.

    It calls the operator itself: torchvision's function replaces it on a GPU under deterministic algorithms by a slow
    one, which needs a compiler.

    Args:
        maps: (batch, channels, rows, columns).
        regions: index of the map, left, top, right, bottom in pixels, (n, 5).
        scale: rows of the map per pixel.
        side: of the result in cells.
    """
    regions = regions.to(maps.dtype)
    # aligned: the center of the first cell of a map lies at (0.5, 0.5)
    pooled: Tensor = torch.ops.torchvision.roi_align(maps, regions, scale, side, side, 0, True)
    return pooled


class BoxHead(nn.Module):
    """Classifies regions and refines their boxes: 3x3 convolutions with channel LayerNorms, and one hidden layer.

    Args:
        channels: of the features and the convolutions.
        convs: number of convolutions.
        hidden: width of the layer.
        num_classes: without background, which is the **last** logit, as in detectron2.
    """

    def __init__(self, channels: int, convs: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.convs = make_convs(channels, convs)
        self.hidden = nn.Linear(channels * BOX_SIDE**2, hidden)
        self.classes = nn.Linear(hidden, num_classes + 1)
        self.deltas = nn.Linear(hidden, num_classes * 4)
        # detectron2's Xavier: uniform with a variance of 1 / inputs
        nn.init.kaiming_uniform_(self.hidden.weight, a=1)
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.normal_(self.deltas.weight, std=0.001)
        for layer in (self.hidden, self.classes, self.deltas):
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Compute logits (n, classes + 1) and encoded boxes (n, classes, 4) from features (n, channels, 7, 7)."""
        hidden = functional.relu(self.hidden(self.convs(features).flatten(1)))
        return self.classes(hidden), self.deltas(hidden).unflatten(1, (-1, 4))


class MaskHead(nn.Module):
    """Segments regions, with one mask per class.

    Args:
        channels: of the features and the convolutions.
        convs: number of convolutions.
        num_classes: without background.
    """

    def __init__(self, channels: int, convs: int, num_classes: int) -> None:
        super().__init__()
        self.convs = make_convs(channels, convs)
        self.enlarge = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.masks = nn.Conv2d(channels, num_classes, 1)
        nn.init.kaiming_normal_(self.enlarge.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.masks.weight, std=0.001)
        for layer in (self.enlarge, self.masks):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Compute logits (n, classes, 28, 28) from features (n, channels, 14, 14)."""
        masks: Tensor = self.masks(functional.relu(self.enlarge(self.convs(features))))
        return masks


def make_convs(channels: int, count: int) -> nn.Sequential:
    """Return the convolutions of a head, each with a channel LayerNorm and ReLU, and He's initialization (fan out).

    Args:
        channels: of input and output.
        count: how many.
    """
    layers: list[nn.Module] = []
    for _ in range(count):
        conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        layers += [conv, ChannelNorm(channels), nn.ReLU()]
    return nn.Sequential(*layers)


def count_pooled_levels(strides: Sequence[float]) -> int:
    """Return how many levels regions are pooled from: all but those with a stride above 32 px (p6).

    Args:
        strides: of the levels in pixels.

    >>> count_pooled_levels([4, 8, 16, 32, 64])
    4
    """
    largest = FIRST_STRIDE * 2**3.5  # halfway, on a logarithmic scale, between p5 and p6
    return sum(stride < largest for stride in strides)
