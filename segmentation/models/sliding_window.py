"""Sliding-window inference with the windows of an image batched through the model.

The same arithmetic as mmseg's ``slide_inference`` (windows at the border are shifted inwards, logits averaged), but
several windows a forward pass, and each is added where it belongs instead of as a padded full-size copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class WindowCorner(NamedTuple):
    """The upper left corner of a window, pixels."""

    top: int
    left: int


def list_window_corners(height: int, width: int, crop_size: int, stride: int) -> list[WindowCorner]:
    """The windows that cover an image, row by row.

    >>> list_window_corners(512, 683, 512, 341)
    [WindowCorner(top=0, left=0), WindowCorner(top=0, left=171)]
    """
    rows, columns = (_compute_window_starts(side, crop_size, stride) for side in (height, width))
    return [WindowCorner(top, left) for top in rows for left in columns]


def _compute_window_starts(side: int, crop_size: int, stride: int) -> list[int]:
    count = max(side - crop_size + stride - 1, 0) // stride + 1
    return [max(min(number * stride + crop_size, side) - crop_size, 0) for number in range(count)]


def compute_slide_logits(
    forward_fn: Callable[[Tensor], Tensor], image: Tensor, crop_size: int, stride: int, window_batch: int = 8
) -> Tensor:
    """The averaged logits of an image.

    Args:
        forward_fn: gives (n, classes, crop, crop) logits for (n, channels, crop, crop) windows.
        image: (1, channels, height, width), normalised. Sides below ``crop_size`` are filled with 0 (the mean
            colour) at the right and bottom, and the logits there are cut off.
        crop_size: side of the windows, pixels.
        stride: of the windows, pixels.
        window_batch: windows in one forward pass.

    Returns:
        (1, classes, height, width).
    """
    height, width = int(image.shape[2]), int(image.shape[3])
    padded = functional.pad(image, (0, max(crop_size - width, 0), 0, max(crop_size - height, 0)))
    places = list_window_corners(int(padded.shape[2]), int(padded.shape[3]), crop_size, stride)
    total: Tensor | None = None
    visits = padded.new_zeros(padded.shape[2:])
    for first in range(0, len(places), window_batch):
        group = places[first : first + window_batch]
        logits = forward_fn(torch.cat([_crop_window(padded, place, crop_size) for place in group]))
        if total is None:
            total = logits.new_zeros((1, logits.shape[1], *padded.shape[2:]))
        for place, each in zip(group, logits, strict=True):
            _crop_window(total, place, crop_size)[0].add_(each)
            visits[place.top : place.top + crop_size, place.left : place.left + crop_size] += 1
    assert total is not None
    return total.div_(visits)[:, :, :height, :width]


def _crop_window(maps: Tensor, corner: WindowCorner, crop_size: int) -> Tensor:
    return maps[:, :, corner.top : corner.top + crop_size, corner.left : corner.left + crop_size]
