"""Random resized crops of a whole batch at once, on its device."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pretraining.data.counter_rng import CROP_STREAM, FLIP_STREAM, sample_uniform

MAX_CROP_ATTEMPTS = 10
ASPECT_RATIO_RANGE = (3 / 4, 4 / 3)


def sample_crop_boxes(seeds: Tensor, height: int, width: int, area_range: tuple[float, float]) -> Tensor:
    """A random crop for each seed, (N, 4) whole pixels: top, left, height, width.

    As torchvision's ``RandomResizedCrop``: a share of the area from ``area_range`` and an aspect ratio, uniform in its
    logarithm, from 3/4 to 4/3; the first of ten draws that fits, else the largest crop at the centre that has an
    allowed ratio.

    Args:
        seeds: (N,).
        height, width: of the images, pixels.
        area_range: smallest and largest share of the area.
    """
    drawn = (
        sample_uniform(seeds, 4 * MAX_CROP_ATTEMPTS, CROP_STREAM).double().reshape(-1, MAX_CROP_ATTEMPTS, 4).unbind(2)
    )
    area = height * width * (area_range[0] + (area_range[1] - area_range[0]) * drawn[0])
    low, high = (math.log(value) for value in ASPECT_RATIO_RANGE)
    ratio = (low + (high - low) * drawn[1]).exp()
    wide, tall = ((area * ratio).sqrt().round(), (area / ratio).sqrt().round())
    fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    first = fits.to(torch.uint8).argmax(1, keepdim=True)
    wide, tall, up, along = (each.gather(1, first)[:, 0] for each in (wide, tall, drawn[2], drawn[3]))
    top, left = (up * (height - tall + 1)).floor(), (along * (width - wide + 1)).floor()
    found = torch.stack([top, left, tall, wide], dim=1)
    return torch.where(fits.any(1, keepdim=True), found, found.new_tensor(_largest_center_crop(height, width)))


def _largest_center_crop(height: int, width: int) -> list[float]:
    """The largest crop at the centre of an allowed ratio."""
    tall, wide = height, width
    if width / height < ASPECT_RATIO_RANGE[0]:
        tall = round(width / ASPECT_RATIO_RANGE[0])
    elif width / height > ASPECT_RATIO_RANGE[1]:
        wide = round(height * ASPECT_RATIO_RANGE[1])
    return [(height - tall) // 2, (width - wide) // 2, tall, wide]


def sample_flips(seeds: Tensor, probability: float) -> Tensor:
    """Whether each image is mirrored, (N,) bool."""
    return sample_uniform(seeds, 1, FLIP_STREAM)[:, 0] < probability


def crop_and_resize(images: Tensor, crop_boxes: Tensor, flipped: Tensor, size: int) -> Tensor:
    """Crops of images (N, 3, H, W) in 0..255, resized to (size, size) and mirrored where asked: bicubic, as timm's
    loaders; not antialiased, so meant for sets that are not much larger than the input.

    Pixels beyond a crop's border are seen by the bicubic window where the image has them.
    """
    height, width = images.shape[-2:]
    crop_boxes = crop_boxes.to(torch.float32)
    tall, wide = crop_boxes[:, 2] / height, crop_boxes[:, 3] / width
    down, along = (
        (2 * crop_boxes[:, 0] + crop_boxes[:, 2]) / height - 1,
        (2 * crop_boxes[:, 1] + crop_boxes[:, 3]) / width - 1,
    )
    nothing = torch.zeros_like(tall)
    sign = torch.where(flipped, -1.0, 1.0)
    rows = torch.stack([sign * wide, nothing, along, nothing, tall, down], dim=1).reshape(-1, 2, 3)
    grid = F.affine_grid(rows, [len(images), 3, size, size], align_corners=False)
    sampled = F.grid_sample(images.float(), grid, mode="bicubic", padding_mode="border", align_corners=False)
    return sampled.clamp_(0, 255)
