"""Pyramids of feature maps: the simple one of a plain ViT, and torchvision's on the stages of other backbones."""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.convnext import LayerNorm2d
from torchvision.ops import FeaturePyramidNetwork

ChannelNorm = functools.partial(LayerNorm2d, eps=1e-6)
"""LayerNorm over the channels of a map (batch, channels, rows, columns).

It is the ``LN`` of detectron2. GroupNorm with one group would average over rows and columns too.
"""

NUM_LEVELS = 4
"""Levels p2 to p5, from which regions are pooled; p6 serves proposals alone."""

FIRST_STRIDE = 4
"""Stride of p2 in pixels."""


class SimplePyramid(nn.Module):
    """ViTDet's simple feature pyramid: each level is made from the one map of a plain ViT (arXiv 2203.16527).

    A level is the map enlarged or reduced by a power of two (transposed convolutions, max pooling), a 1x1 and a 3x3
    convolution, each followed by a channel LayerNorm. No level sees another one.

    Args:
        in_channels: channels of the map.
        channels: channels of the levels.
        stride: stride of the map in pixels: the patch.

    Attributes:
        strides: of the levels from p2 to p6 in pixels. With patches of 16 px 4, 8, 16, 32 and 64; with another patch
            the nearest that halving and doubling give, such as 3.5 for patches of 14 px.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        # how often the map must be doubled to reach the stride of p2: twice for patches of 16 px
        octaves = round(math.log2(stride / FIRST_STRIDE))
        exponents = [octaves - level for level in range(NUM_LEVELS)]
        self.strides = [stride / 2**exponent for exponent in (*exponents, exponents[-1] - 1)]
        self.levels = nn.ModuleList(_make_level(in_channels, channels, exponent) for exponent in exponents)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Compute the levels.

        Args:
            maps: one map (batch, in_channels, rows, columns).

        Returns:
            p2 to p6, each (batch, channels, rows, columns).
        """
        levels = [level(maps[0]) for level in self.levels]
        return [*levels, _halve_level(levels[-1])]


def _make_level(in_channels: int, channels: int, exponent: int) -> nn.Sequential:
    """Return the layers of a level that is 2 ** exponent times as large as the map."""
    layers: list[nn.Module] = []
    width = in_channels
    for number in range(exponent):
        if number:  # between two transposed convolutions alone
            layers += [ChannelNorm(width), nn.GELU()]
        # each doubling halves the channels
        layers.append(nn.ConvTranspose2d(width, width // 2, 2, stride=2))
        width //= 2
    layers += [nn.MaxPool2d(2, 2) for _ in range(-exponent)]
    # no activation: proposals and regions read the norm's output
    layers += [nn.Conv2d(width, channels, 1, bias=False), ChannelNorm(channels)]
    layers += [nn.Conv2d(channels, channels, 3, padding=1, bias=False), ChannelNorm(channels)]
    return nn.Sequential(*layers)


def _halve_level(level: Tensor) -> Tensor:
    """Return every other row and column: max pooling with a kernel of 1, as detectron2's LastLevelMaxPool."""
    return functional.max_pool2d(level, kernel_size=1, stride=2)


class StagePyramid(nn.Module):
    """torchvision's feature pyramid network (arXiv 1612.03144) on the stages of a hierarchical backbone.

    Each convolution is followed by a channel LayerNorm, as in the simple pyramid. Levels that are coarser than the last
    stage are made by leaving out every other row and column of the level before.

    Args:
        in_channels: channels of the stages, fine to coarse.
        channels: channels of the levels.
        strides: of the stages in pixels; each is twice the one before.

    Attributes:
        strides: of the levels in pixels, from that of the first stage to 64.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, strides: Sequence[int]) -> None:
        super().__init__()
        # without a norm, the unnormalized maps of transformers would differ in size by stage
        norm: Any = ChannelNorm
        self.network = FeaturePyramidNetwork(list(in_channels), channels, norm_layer=norm)
        last = FIRST_STRIDE * 2**NUM_LEVELS
        self.strides = [float(stride) for stride in strides]
        while self.strides[-1] < last:
            self.strides.append(self.strides[-1] * 2)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Compute the levels.

        Args:
            maps: of the stages, fine to coarse, each (batch, its channels, rows, columns).

        Returns:
            Each (batch, channels, rows, columns).
        """
        # torchvision wants names; only their order matters
        stages = OrderedDict((str(number), each) for number, each in enumerate(maps))
        levels = list(self.network(stages).values())
        while len(levels) < len(self.strides):
            levels.append(_halve_level(levels[-1]))
        return levels
