"""Random resized crops of a complete batch at once, on its device."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pretraining.data.counter_rng import CROP_STREAM, FLIP_STREAM, INTERPOLATION_STREAM, sample_uniform
from pretraining.recipe import Interpolation

MAX_CROP_ATTEMPTS = 10  # this and the range of ratios as in torchvision
ASPECT_RATIO_RANGE = (3 / 4, 4 / 3)


def sample_crop_boxes(seeds: Tensor, height: int, width: int, area_range: tuple[float, float]) -> Tensor:
    """Draw a random crop for each seed, following torchvision's ``RandomResizedCrop``.

    A draw is a fraction of the area from ``area_range`` and an aspect ratio from 3/4 to 4/3, uniform in its logarithm.
    The first of ten draws that fits into the image is taken; if none fits, the largest center crop with an allowed
    ratio.

    Args:
        seeds: (N,) int64, one per image.
        height, width: size of the images, pixels.
        area_range: smallest and largest fraction of the image area.

    Returns:
        (N, 4) integer pixel values (as float64): top, left, height, width.
    """
    # (N, attempts * 4) to four tensors (N, attempts): area, ratio, vertical and horizontal position
    drawn = (
        sample_uniform(seeds, 4 * MAX_CROP_ATTEMPTS, CROP_STREAM).double().reshape(-1, MAX_CROP_ATTEMPTS, 4).unbind(2)
    )
    area = height * width * (area_range[0] + (area_range[1] - area_range[0]) * drawn[0])
    low, high = (math.log(value) for value in ASPECT_RATIO_RANGE)
    ratio = (low + (high - low) * drawn[1]).exp()
    # with width / height = ratio and width * height = area
    wide, tall = ((area * ratio).sqrt().round(), (area / ratio).sqrt().round())
    fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    # argmax of 0 and 1 gives the first 1, or index 0 if nothing fits, which torch.where below replaces
    first = fits.to(torch.uint8).argmax(1, keepdim=True)
    wide, tall, up, along = (each.gather(1, first)[:, 0] for each in (wide, tall, drawn[2], drawn[3]))
    top, left = (up * (height - tall + 1)).floor(), (along * (width - wide + 1)).floor()
    found = torch.stack([top, left, tall, wide], dim=1)
    return torch.where(fits.any(1, keepdim=True), found, found.new_tensor(_largest_center_crop(height, width)))


def _largest_center_crop(height: int, width: int) -> list[float]:
    """Return the largest center crop with an allowed ratio: top, left, height, width in pixels."""
    tall, wide = height, width
    if width / height < ASPECT_RATIO_RANGE[0]:
        tall = round(width / ASPECT_RATIO_RANGE[0])
    elif width / height > ASPECT_RATIO_RANGE[1]:
        wide = round(height * ASPECT_RATIO_RANGE[1])
    return [(height - tall) // 2, (width - wide) // 2, tall, wide]


def sample_flips(seeds: Tensor, probability: float) -> Tensor:
    """Draw whether to mirror each image, (N,) bool, from its seed (N,)."""
    return sample_uniform(seeds, 1, FLIP_STREAM)[:, 0] < probability


def choose_bilinear(seeds: Tensor, interpolation: Interpolation) -> Tensor:
    """Return which crops are resized by bilinear interpolation, (N,) bool, from their seeds (N,); others are bicubic.

    Args:
        seeds: (N,) int64, one per image.
        interpolation: see ``PretrainRecipe``; ``random`` takes each with probability one half, as timm's
            ``RandomResizedCropAndInterpolation`` does.
    """
    if interpolation == "random":
        return sample_uniform(seeds, 1, INTERPOLATION_STREAM)[:, 0] < 0.5
    return torch.full_like(seeds, interpolation == "bilinear", dtype=torch.bool)


def crop_and_resize(
    images: Tensor, crop_boxes: Tensor, flipped: Tensor, size: int, is_bilinear: Tensor | None = None
) -> Tensor:
    """Crop images, resize them to (size, size), and mirror some.

    The interpolation is not antialiased, so the images should not be much larger than the input. At the border of a
    crop its window uses pixels outside the crop if the image has them.

    Args:
        images: (N, 3, H, W), 0 to 255.
        crop_boxes: (N, 4), pixels: top, left, height, width.
        flipped: (N,) bool, true for images to mirror.
        size: side of the output, pixels.
        is_bilinear: (N,) bool, true for bilinear interpolation; ``None`` for bicubic interpolation of all.

    Returns:
        (N, 3, size, size) float32, 0 to 255.
    """
    # affine_grid uses coordinates from -1 to 1 over the image: a crop has the relative size h / H and the center
    # 2 (top + h / 2) / H - 1, likewise along the width. A negative horizontal scale mirrors.
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
    sampled = grid.new_empty(len(images), images.shape[1], size, size)
    linear = torch.zeros_like(flipped) if is_bilinear is None else is_bilinear
    for mode, chosen in (("bilinear", linear), ("bicubic", ~linear)):
        members = chosen.nonzero()[:, 0]
        if len(members):
            part = images[members].float()
            sampled[members] = F.grid_sample(part, grid[members], mode, padding_mode="border", align_corners=False)
    return sampled.clamp_(0, 255)  # bicubic interpolation overshoots at edges
