"""Sliding-window inference that passes several windows of an image through the model at once.

The arithmetic is that of mmseg's ``slide_inference``: windows that would cross the border are shifted inwards, and
logits are averaged where windows overlap. Two things differ, for speed: several windows share a forward pass, and the
logits of a window are added in place instead of as a zero-padded copy of the full image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class WindowCorner(NamedTuple):
    """The upper left corner of a window, in pixels."""

    top: int
    left: int


def list_window_corners(height: int, width: int, crop_size: int, stride: int) -> list[WindowCorner]:
    """List the windows that cover an image, row by row.

    Args:
        height: height of the image, pixels; at least ``crop_size``.
        width: width of the image, pixels; at least ``crop_size``.
        crop_size: side of the windows, pixels.
        stride: distance between neighboring windows, pixels.

    >>> list_window_corners(512, 683, 512, 341)
    [WindowCorner(top=0, left=0), WindowCorner(top=0, left=171)]
    """
    rows, columns = (_compute_window_starts(side, crop_size, stride) for side in (height, width))
    return [WindowCorner(top, left) for top in rows for left in columns]


def _compute_window_starts(side: int, crop_size: int, stride: int) -> list[int]:
    # one window, and one more for every started stride of the remaining side - crop_size pixels (rounded up)
    count = max(side - crop_size + stride - 1, 0) // stride + 1
    # the last window would cross the border: its end is moved to the border and its start follows
    return [max(min(index * stride + crop_size, side) - crop_size, 0) for index in range(count)]


def compute_slide_logits(
    forward_fn: Callable[[Tensor], Tensor], image: Tensor, crop_size: int, stride: int, window_batch: int = 8
) -> Tensor:
    """Compute the logits of an image, averaged over the windows that cover each pixel.

    Args:
        forward_fn: maps windows (n, channels, crop_size, crop_size) to logits (n, classes, crop_size, crop_size).
        image: one normalized image, (1, channels, height, width). A side shorter than ``crop_size`` is padded with 0
            (the mean color) at the right or bottom, and the logits of the padding are cut off.
        crop_size: side of the windows, pixels.
        stride: distance between neighboring windows, pixels.
        window_batch: largest number of windows in one forward pass.

    Returns:
        Logits, (1, classes, height, width).
    """
    height, width = int(image.shape[2]), int(image.shape[3])
    padded = functional.pad(image, (0, max(crop_size - width, 0), 0, max(crop_size - height, 0)))
    corners = list_window_corners(int(padded.shape[2]), int(padded.shape[3]), crop_size, stride)
    total: Tensor | None = None
    visits = padded.new_zeros(padded.shape[2:])  # how many windows cover each pixel
    for first in range(0, len(corners), window_batch):
        group = corners[first : first + window_batch]
        logits = forward_fn(torch.cat([_crop_window(padded, corner, crop_size) for corner in group]))
        if total is None:  # the number of classes is known only after the first forward pass
            total = logits.new_zeros((1, logits.shape[1], *padded.shape[2:]))
        for corner, each in zip(group, logits, strict=True):
            _crop_window(total, corner, crop_size)[0].add_(each)  # the crop is a view, so this adds into total
            visits[corner.top : corner.top + crop_size, corner.left : corner.left + crop_size] += 1
    assert total is not None
    # every pixel is covered at least once, because the recipe refuses a stride above the crop
    return total.div_(visits)[:, :, :height, :width]


def _crop_window(maps: Tensor, corner: WindowCorner, crop_size: int) -> Tensor:
    return maps[:, :, corner.top : corner.top + crop_size, corner.left : corner.left + crop_size]
