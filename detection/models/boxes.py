"""Boxes and their offsets from reference boxes, as Faster R-CNN encodes them (arXiv 1506.01497, section 3.1.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

DeltaWeights = tuple[float, float, float, float]
"""What the four numbers of an encoded box are multiplied by."""

PROPOSAL_WEIGHTS: DeltaWeights = (1.0, 1.0, 1.0, 1.0)
REGION_WEIGHTS: DeltaWeights = (10.0, 10.0, 5.0, 5.0)

_LARGEST_LOG = math.log(1000 / 16)
"""Largest logarithm of a factor on width or height, so that exp does not overflow early in a training."""


def keep_precision(values: Tensor) -> Tensor:
    """Return values in at least 32 bits; half precision moves corners by pixels.

    At 600 px, neighboring numbers of bfloat16 are 4 px apart and those of float16 half a pixel.

    Args:
        values: any floating-point tensor.
    """
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def encode_deltas(references: Tensor, boxes: Tensor, weights: DeltaWeights) -> Tensor:
    """Encode boxes relative to reference boxes.

    With centers (x, y), width w and height h of a box and (X, Y, W, H) of its reference, the code is
    ((x - X) / W, (y - Y) / H, log(w / W), log(h / H)), each times its weight.

    Args:
        references: left, top, right, bottom in pixels, (n, 4), none of them empty.
        boxes: the same for the boxes.
        weights: what each number is multiplied by.

    Returns:
        Shape (n, 4).
    """
    # the center of a box is its corner plus half its size
    size, reference_size = boxes[:, 2:] - boxes[:, :2], references[:, 2:] - references[:, :2]
    shift = (boxes[:, :2] + size / 2 - references[:, :2] - reference_size / 2) / reference_size
    return torch.cat([shift, (size / reference_size).log()], 1) * boxes.new_tensor(weights)


def apply_deltas(references: Tensor, deltas: Tensor, weights: DeltaWeights) -> Tensor:
    """Decode boxes, the reverse of ``encode_deltas``, in at least 32 bits.

    Args:
        references: left, top, right, bottom in pixels, (..., 4).
        deltas: encoded boxes, of any precision, (..., 4).
        weights: what each number was multiplied by.

    Returns:
        Left, top, right, bottom in pixels, (..., 4).
    """
    codes, references = keep_precision(deltas), keep_precision(references)
    codes = codes / codes.new_tensor(weights)
    # the formula of encode_deltas, solved for the box: x = X + W dx, w = W exp(dw)
    size = references[..., 2:] - references[..., :2]
    center = references[..., :2] + size / 2 + codes[..., :2] * size
    half = codes[..., 2:].clamp(max=_LARGEST_LOG).exp() * size / 2
    return torch.cat([center - half, center + half], -1)


def clip_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut boxes off at the border of their image.

    Args:
        boxes: left, top, right, bottom in pixels, (..., 4).
        size: height and width of the image in pixels.
    """
    # right and bottom may equal width and height: corners lie on the edges of pixels, not on their centers
    limit = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    return torch.minimum(boxes.clamp(min=0), limit)


def find_nonempty(boxes: Tensor) -> Tensor:
    """Return which boxes are finite and have a positive width and height, (...,) bool, for boxes (..., 4)."""
    return boxes.isfinite().all(-1) & (boxes[..., 2:] > boxes[..., :2]).all(-1)
