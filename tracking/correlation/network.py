"""A small tracker network that compares two images by correlation, instead of letting a ViT learn to compare them.

A few convolutions turn template and search region into features with a cell for every 4 pixels. The features of each
place of the template are compared with those of every cell of the search region (cosine similarity). Moved by their
place in the template and averaged, these similarities are the normalized cross-correlation of the two images: a map
that is high where the target is, also before any training. A head of dilated convolutions reads the similarities, their
average and the features of the search region, and corrects the score; it also estimates size and offset of the box.

The design is that of the Siamese trackers: cross-correlation from SiamFC (arXiv 1606.09549), one map per place of the
template from pixel-wise correlation (Alpha-Refine, arXiv 2012.06815), the center head from OSTrack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tracking.data.pair import CropSizes

CROP_SIZES = CropSizes(64, 128, 2.0, 4.0, "exact")
"""A pixel of the template shows as much of the target as one of the search region, so that both can be correlated."""
STRIDE = 4
"""Pixels per cell of the features, and of the maps."""
POOL = 2
"""The template's features are averaged over POOL x POOL cells before they are compared: a quarter of the maps."""
MAX_LOG_CHANGE = 3.0
"""A side of the box is at most e^3 times as long as expected, so that no exponential is infinite."""


class EncodedTarget(NamedTuple):
    """What the network keeps of templates.

    Attributes:
        places: features of K x K places, of length 1 each, shape (batch, channels, K * K).
        weights: how much of each place the target's box covers, adding up to 1, shape (batch, K * K).
        aspect_ratio: width / height of the target's box, shape (batch,).
    """

    places: Tensor
    weights: Tensor
    aspect_ratio: Tensor


class CorrelationMaps(NamedTuple):
    """The outputs for a batch of search regions with a grid of G x G cells.

    Attributes:
        score: logit that the cell holds the target's center, shape (batch, G, G).
        size: width and height of the target as fractions of the crop's side, shape (batch, 2, G, G).
        offset: x and y of the target's center from the cell's center, in cells, shape (batch, 2, G, G).
    """

    score: Tensor
    size: Tensor
    offset: Tensor


class CorrelationNetwork(nn.Module):
    """The network.

    Args:
        crop_sizes: sizes of the crops.
        channels: output channels of the convolutions of the features; the first two halve the resolution.
        head_channels: channels of the head.
        head_dilations: dilations of the head's convolutions.

    Attributes:
        grid_size: number of cells per side of the maps, G.
        num_places: number of places per side of the template, K.
    """

    def __init__(
        self,
        crop_sizes: CropSizes,
        channels: Sequence[int] = (16, 32, 48, 48),
        head_channels: int = 32,
        head_dilations: Sequence[int] = (1, 2, 4),
    ) -> None:
        super().__init__()
        self.crop_sizes = crop_sizes
        self.grid_size = crop_sizes.search_size // STRIDE
        self.num_places = crop_sizes.template_size // STRIDE // POOL
        self.features = _make_features(channels)
        self.reduce = _make_block(channels[-1] + self.num_places**2 + 1, head_channels)
        self.head = nn.ModuleList(_make_block(head_channels, head_channels, dilation=each) for each in head_dilations)
        self.output = nn.Conv2d(head_channels, 5, 1)
        # one weight from the similarity, which is from -1 to 1, to the logit of the score
        self.similarity_scale = nn.Parameter(torch.tensor(8.0))
        self._start_head()

    def _start_head(self) -> None:
        """Let the untrained network track by cross-correlation alone, with boxes of the expected size."""
        nn.init.normal_(self.output.weight, std=0.01)
        assert self.output.bias is not None
        with torch.no_grad():
            # score, width, height, x, y; a cell in a thousand holds a center
            self.output.bias.copy_(torch.tensor([-4.0, 0, 0, 0, 0]))

    def normalize_images(self, images: Tensor) -> Tensor:
        """Convert pixels from 0..255 of any type to floats from -1 to 1.

        Args:
            images: shape (batch, 3, height, width).
        """
        return images.float() / 127.5 - 1

    def encode_target(self, template: Tensor, aspect_ratio: Tensor) -> EncodedTarget:
        """Compute what ``find_target`` needs of templates.

        Args:
            template: normalized template crops, shape (batch, 3, side, side).
            aspect_ratio: width / height of the target's box, shape (batch,).
        """
        found = functional.avg_pool2d(self.features(template), POOL)
        weights = compute_place_weights(aspect_ratio, self.num_places, self.crop_sizes.template_factor)
        return EncodedTarget(functional.normalize(found.flatten(2), dim=1), weights, aspect_ratio)

    def find_target(self, target: EncodedTarget, search: Tensor) -> CorrelationMaps:
        """Compute the maps of search regions.

        Args:
            target: the encoded templates.
            search: normalized search crops, shape (batch, 3, side, side).
        """
        found: Tensor = self.features(search)
        cells = functional.normalize(found.flatten(2), dim=1)
        # cosine similarity of each place with each cell: (batch, K * K, G * G)
        similarity = target.places.transpose(1, 2) @ cells
        whole = add_shifted_maps(similarity * target.weights[:, :, None], self.num_places, self.grid_size)
        grids = similarity.reshape(len(similarity), -1, self.grid_size, self.grid_size)
        hidden = self.reduce(torch.cat([found, grids, whole * 4], 1))
        for block in self.head:
            hidden = hidden + block(hidden)
        raw = self.output(hidden)
        # expected is the shape of the template at the size around which the region was cut
        side = target.aspect_ratio.sqrt()
        expected = torch.stack([side, 1 / side], 1)[:, :, None, None] / self.crop_sizes.search_factor
        return CorrelationMaps(
            raw[:, 0] + self.similarity_scale * whole[:, 0],
            expected * raw[:, 1:3].clamp(-MAX_LOG_CHANGE, MAX_LOG_CHANGE).exp(),
            raw[:, 3:5],
        )

    def forward(self, template: Tensor, search: Tensor, aspect_ratio: Tensor) -> CorrelationMaps:
        """Compute the maps of pairs of normalized crops."""
        return self.find_target(self.encode_target(template, aspect_ratio), search)


def compute_place_weights(aspect_ratio: Tensor, num_places: int, template_factor: float) -> Tensor:
    """Return how much of each place of a template the target's box covers.

    The target's area is 1 and its center is that of the template, so its box reaches sqrt(aspect ratio) / 2 to each
    side, and the template template_factor / 2.

    Args:
        aspect_ratio: width / height of the box, shape (batch,).
        num_places: number of places per side, K.
        template_factor: side length of the template as a multiple of the target's.

    Returns:
        Values that add up to 1 for each template, shape (batch, K * K).
    """
    edges = torch.linspace(-template_factor / 2, template_factor / 2, num_places + 1, device=aspect_ratio.device)
    lines = []
    for half in (0.5 / aspect_ratio.sqrt(), 0.5 * aspect_ratio.sqrt()):  # height, width
        end = torch.minimum(edges[1:], half[:, None])
        lines.append((end - torch.maximum(edges[:-1], -half[:, None])).clamp_min(0))
    weights = (lines[0][:, :, None] * lines[1][:, None, :]).flatten(1)
    return weights / weights.sum(1, keepdim=True)


def add_shifted_maps(maps: Tensor, num_places: int, grid_size: int) -> Tensor:
    """Add up the maps of all places, each moved by the place's distance from the template's center.

    Place k of a line lies (2 k - K + 1) cells from the center (for POOL = 2: -7, -5 ... 7 for K = 8), so a template
    that is centered at cell y has it at y + 2 k - K + 1. The sum at y takes the map of k there; cells outside count 0.

    Args:
        maps: one map per place, shape (batch, K * K, G * G).
        num_places: number of places per side, K.
        grid_size: number of cells per side, G.

    Returns:
        Shape (batch, 1, G, G).
    """
    # fold adds entry l of map p to l + POOL * p - padding. With the places in reverse order p = K - 1 - k, this is
    # l - (2 k - K + 1) for a padding of K - 1
    padding = (num_places - 1) * POOL // 2
    return functional.fold(maps.flip(1), (grid_size, grid_size), num_places, dilation=POOL, padding=padding)


def _make_block(before: int, after: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Create a 3x3 convolution with batch norm and ReLU."""
    conv = nn.Conv2d(before, after, 3, stride, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


def _make_features(channels: Sequence[int]) -> nn.Sequential:
    """Create the convolutions of the features.

    The last one has no ReLU, and its batch norm no weights: each channel has mean 0, so that the similarity of
    unrelated places is 0 on average.
    """
    # the first two halve the resolution, which makes a stride of 4
    blocks: list[nn.Module] = []
    before = 3
    for number, after in enumerate(channels[:-1]):
        blocks.append(_make_block(before, after, stride=2 if number < 2 else 1))
        before = after
    last = nn.Conv2d(before, channels[-1], 3, padding=1, bias=False)
    return nn.Sequential(*blocks, last, nn.BatchNorm2d(channels[-1], affine=False))
