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


class Window(NamedTuple):
    """The upper left corner of a window, pixels."""

    top: int
    left: int


def windows(height: int, width: int, crop: int, stride: int) -> list[Window]:
    """The windows that cover an image, row by row.

    >>> windows(512, 683, 512, 341)
    [Window(top=0, left=0), Window(top=0, left=171)]
    """
    rows, columns = (_starts(side, crop, stride) for side in (height, width))
    return [Window(top, left) for top in rows for left in columns]


def _starts(side: int, crop: int, stride: int) -> list[int]:
    count = max(side - crop + stride - 1, 0) // stride + 1
    return [max(min(number * stride + crop, side) - crop, 0) for number in range(count)]


def slide_logits(forward: Callable[[Tensor], Tensor], image: Tensor, crop: int, stride: int, batch: int = 8) -> Tensor:
    """The averaged logits of an image.

    Args:
        forward: gives (n, classes, crop, crop) logits for (n, channels, crop, crop) windows.
        image: (1, channels, height, width), normalised. Sides below ``crop`` are filled with 0 (the mean colour) at
            the right and bottom, and the logits there are cut off.
        crop: side of the windows, pixels.
        stride: of the windows, pixels.
        batch: windows in one forward pass.

    Returns:
        (1, classes, height, width).
    """
    height, width = int(image.shape[2]), int(image.shape[3])
    padded = functional.pad(image, (0, max(crop - width, 0), 0, max(crop - height, 0)))
    places = windows(int(padded.shape[2]), int(padded.shape[3]), crop, stride)
    total: Tensor | None = None
    visits = padded.new_zeros(padded.shape[2:])
    for first in range(0, len(places), batch):
        group = places[first : first + batch]
        logits = forward(torch.cat([_cut(padded, place, crop) for place in group]))
        if total is None:
            total = logits.new_zeros((1, logits.shape[1], *padded.shape[2:]))
        for place, each in zip(group, logits, strict=True):
            _cut(total, place, crop)[0].add_(each)
            visits[place.top : place.top + crop, place.left : place.left + crop] += 1
    assert total is not None
    return total.div_(visits)[:, :, :height, :width]


def _cut(maps: Tensor, place: Window, crop: int) -> Tensor:
    return maps[:, :, place.top : place.top + crop, place.left : place.left + crop]
