"""Random resized crops of a whole batch at once, on its device."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pretraining.data.counter_rng import CROP, FLIP, uniform

TRIES = 10
RATIO = (3 / 4, 4 / 3)


def boxes(seeds: Tensor, height: int, width: int, scale: tuple[float, float]) -> Tensor:
    """A random crop for each seed, (N, 4) whole pixels: top, left, height, width.

    As torchvision's ``RandomResizedCrop``: a share of the area from ``scale`` and an aspect ratio, uniform in its
    logarithm, from 3/4 to 4/3; the first of ten draws that fits, else the largest crop at the centre that has an
    allowed ratio.

    Args:
        seeds: (N,).
        height, width: of the images, pixels.
        scale: smallest and largest share of the area.
    """
    drawn = uniform(seeds, 4 * TRIES, CROP).double().reshape(-1, TRIES, 4).unbind(2)
    area = height * width * (scale[0] + (scale[1] - scale[0]) * drawn[0])
    low, high = (math.log(value) for value in RATIO)
    ratio = (low + (high - low) * drawn[1]).exp()
    wide, tall = ((area * ratio).sqrt().round(), (area / ratio).sqrt().round())
    fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    first = fits.to(torch.uint8).argmax(1, keepdim=True)
    wide, tall, up, along = (each.gather(1, first)[:, 0] for each in (wide, tall, drawn[2], drawn[3]))
    top, left = (up * (height - tall + 1)).floor(), (along * (width - wide + 1)).floor()
    found = torch.stack([top, left, tall, wide], dim=1)
    return torch.where(fits.any(1, keepdim=True), found, found.new_tensor(_central(height, width)))


def _central(height: int, width: int) -> list[float]:
    """The largest crop at the centre of an allowed ratio."""
    tall, wide = height, width
    if width / height < RATIO[0]:
        tall = round(width / RATIO[0])
    elif width / height > RATIO[1]:
        wide = round(height * RATIO[1])
    return [(height - tall) // 2, (width - wide) // 2, tall, wide]


def flips(seeds: Tensor, probability: float) -> Tensor:
    """Whether each image is mirrored, (N,) bool."""
    return uniform(seeds, 1, FLIP)[:, 0] < probability


def cut(images: Tensor, crops: Tensor, mirrored: Tensor, size: int) -> Tensor:
    """Crops of images (N, 3, H, W) in 0..255, resized to (size, size) and mirrored where asked: bicubic, as timm's
    loaders; not antialiased, so meant for sets that are not much larger than the input.

    Pixels beyond a crop's border are seen by the bicubic window where the image has them.
    """
    height, width = images.shape[-2:]
    crops = crops.to(torch.float32)
    tall, wide = crops[:, 2] / height, crops[:, 3] / width
    down, along = (2 * crops[:, 0] + crops[:, 2]) / height - 1, (2 * crops[:, 1] + crops[:, 3]) / width - 1
    nothing = torch.zeros_like(tall)
    sign = torch.where(mirrored, -1.0, 1.0)
    rows = torch.stack([sign * wide, nothing, along, nothing, tall, down], dim=1).reshape(-1, 2, 3)
    grid = F.affine_grid(rows, [len(images), 3, size, size], align_corners=False)
    sampled = F.grid_sample(images.float(), grid, mode="bicubic", padding_mode="border", align_corners=False)
    return sampled.clamp_(0, 255)
