"""Cut an image into windows and compute the logits of each, several windows at a time.

The windows are those of mmseg's ``slide_inference``: the last one of a row or column is shifted inwards, so that it
ends at the border. The image stays uint8 until a window is cut out, because a large image takes four times as much
memory once it is normalized.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

Size = tuple[int, int]
"""Height and width, pixels."""

Network = Callable[[Tensor], Tensor]
"""Maps normalized images (n, 3, height, width) to logits (n, classes, rows, columns), whose cells cover the images."""

Normalizer = Callable[[Tensor], Tensor]
"""Maps pixels (3, height, width) to what the network takes, of the same shape, on the network's device."""

MAX_NORMALIZED_PIXELS = 1 << 20
"""Pixels that are normalized at once; each step of the arithmetic makes a copy of them."""


class WindowCorner(NamedTuple):
    """The upper left corner of a window, in pixels."""

    top: int
    left: int


@dataclass(frozen=True)
class WindowSettings:
    """How an image is cut into windows.

    Attributes:
        size: height and width of a window, pixels; ``None`` takes the complete image as one window.
        stride: distance between neighboring windows, down and to the right, pixels.
        batch: largest number of windows in one forward pass.
        is_filled_up: whether an image that is smaller than a window is filled up with 0 (the mean color) at the right
            and bottom; otherwise the window is as small as the image.
        divisor: numbers of pixels that height and width of what the network gets must be multiples of; what lacks is
            filled up in the same way.
    """

    size: Size | None
    stride: Size = (1, 1)
    batch: int = 1
    is_filled_up: bool = False
    divisor: Size = (1, 1)


class WindowLogits(NamedTuple):
    """The logits of one window, as the network gives them.

    Attributes:
        corner: where the window is in the image.
        size: height and width of its part of the image, pixels.
        padded_size: height and width that the cells cover: the window with what was filled up, pixels.
        cells: logits, (classes, rows, columns).
    """

    corner: WindowCorner
    size: Size
    padded_size: Size
    cells: Tensor


def list_window_corners(image_size: Size, window_size: Size, stride: Size) -> list[WindowCorner]:
    """List the windows that cover an image, row by row.

    Args:
        image_size: height and width of the image, pixels; at least ``window_size``.
        window_size: height and width of a window, pixels.
        stride: distance between neighboring windows, down and to the right, pixels.

    >>> list_window_corners((512, 683), (512, 512), (341, 341))
    [WindowCorner(top=0, left=0), WindowCorner(top=0, left=171)]
    """
    rows, columns = (_compute_window_starts(*sides) for sides in zip(image_size, window_size, stride, strict=True))
    return [WindowCorner(top, left) for top in rows for left in columns]


def _compute_window_starts(side: int, window_side: int, stride: int) -> list[int]:
    # one window, and one more for every started stride of the remaining side - window_side pixels (rounded up)
    count = max(side - window_side + stride - 1, 0) // stride + 1
    # the last window would cross the border: its end is moved to the border and its start follows
    return [max(min(index * stride + window_side, side) - window_side, 0) for index in range(count)]


def compute_window_logits(
    network: Network, normalize: Normalizer, image: Tensor, settings: WindowSettings
) -> Iterator[WindowLogits]:
    """Compute the logits of the windows of an image, row by row.

    Args:
        network: computes the logits.
        normalize: normalizes pixels.
        image: one image, (3, height, width).
        settings: how it is cut into windows.

    Yields:
        One window after the other.
    """
    image_size = (int(image.shape[1]), int(image.shape[2]))
    window_size = settings.size or image_size
    size = (min(window_size[0], image_size[0]), min(window_size[1], image_size[1]))
    rows, columns = (
        -(-side // step) * step
        for side, step in zip(window_size if settings.is_filled_up else size, settings.divisor, strict=True)
    )
    corners = list_window_corners(image_size, size, settings.stride)
    for first in range(0, len(corners), settings.batch):
        group = corners[first : first + settings.batch]
        # the windows are passed on without a name, so that they are gone while the caller works on the logits
        cells = network(torch.stack([_cut_window(normalize, image, corner, size, (rows, columns)) for corner in group]))
        for corner, each in zip(group, cells, strict=True):
            yield WindowLogits(corner, size, (rows, columns), each)


def _cut_window(normalize: Normalizer, image: Tensor, corner: WindowCorner, size: Size, padded_size: Size) -> Tensor:
    """Return a normalized window, (3, *padded_size), that is 0 outside of the image."""
    part = image[:, corner.top : corner.top + size[0], corner.left : corner.left + size[1]]
    # pixel by pixel the same arithmetic, so strips change nothing but the memory
    height = max(1, MAX_NORMALIZED_PIXELS // size[1])
    window: Tensor | None = None
    for top in range(0, size[0], height):
        strip = normalize(part[:, top : top + height])
        if window is None:
            window = strip.new_zeros((len(strip), *padded_size))
        window[:, top : top + strip.shape[1], : size[1]] = strip
    assert window is not None
    return window
