"""The color part of the two-crop augmentation, for a complete batch at once; each image has its own random numbers."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pretraining.data.counter_rng import BLUR_STREAM, COLOR_STREAM, sample_uniform
from pretraining.recipe import ColorAugmentation

BLUR_SIGMA_RANGE = (0.1, 2.0)
"""Smallest and largest sigma of the blur, in pixels of a 224-px image."""


def augment_colors(images: Tensor, seeds: Tensor, recipe: ColorAugmentation, view_index: int) -> Tensor:
    """Apply color jitter, blur, grayscale and solarization, each with its probability, in this order.

    The order is that of MAE-Lite (``ssl_transform``); MoCo-v3's own code blurs after the grayscale. A blur and a
    weighted sum of channels can be exchanged, so the two orders differ by rounding alone.

    Args:
        images: (N, 3, S, S), 0 to 1.
        seeds: (N,) int64, one per image.
        recipe: strengths and probabilities.
        view_index: 0 or 1, the index of the crop; blur and solarization have other probabilities in the second one.
    """
    # columns: 0-3 strengths, 4-7 sort keys for a random order, 8 jitter?, 9 grayscale?, 10 solarize?
    drawn = sample_uniform(seeds, 11, COLOR_STREAM)
    jittered = jitter_colors(images, drawn[:, :4], drawn[:, 4:8].argsort(1), recipe.jitter)
    # jitter and grayscale are computed for all images and then selected per image
    images = _select_images(drawn[:, 8] < recipe.jitter_p, jittered, images)
    chance = sample_uniform(seeds, 2, BLUR_STREAM)
    some = (chance[:, 0] < recipe.blur_p[view_index]).nonzero()[:, 0]
    if len(some):  # the blur is the expensive part, so only the chosen images are blurred
        sigma = (
            (BLUR_SIGMA_RANGE[0] + (BLUR_SIGMA_RANGE[1] - BLUR_SIGMA_RANGE[0]) * chance[some, 1])
            * images.shape[-1]
            / 224
        )
        # 3 of the largest sigma, so that the window has one size for all images
        reach = round(3 * BLUR_SIGMA_RANGE[1] * images.shape[-1] / 224)
        images = images.index_copy(0, some, gaussian_blur(images[some], sigma, reach))
    images = _select_images(drawn[:, 9] < recipe.grayscale_p, rgb_to_grayscale(images).expand_as(images), images)
    return _select_images(drawn[:, 10] < recipe.solarize_p[view_index], solarize_images(images), images)


def jitter_colors(images: Tensor, random_values: Tensor, operation_order: Tensor, strengths: list[float]) -> Tensor:
    """Change brightness, contrast, saturation and hue in a random order per image, as torchvision's ``ColorJitter``.

    Args:
        images: (N, 3, H, W), 0 to 1.
        random_values: (N, 4), 0 to 1; they are mapped to factors from 1 - strength to 1 + strength, for the hue to
            shifts from -strength to +strength.
        operation_order: (N, 4); column j contains the index of the operation that comes j-th.
        strengths: of the four operations.
    """
    changes = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
    # in each of the four turns, images with the same operation are changed together
    for turn in range(4):
        for index, change in enumerate(changes):
            members = (operation_order[:, turn] == index).nonzero()[:, 0]
            if len(members) == 0 or strengths[index] == 0:
                continue
            center = 0.0 if change is adjust_hue else 1.0
            # a negative factor would invert the image; a hue may shift in both directions
            low = center - strengths[index] if change is adjust_hue else max(0.0, center - strengths[index])
            factor = low + (center + strengths[index] - low) * random_values[members, index]
            images = images.index_copy(0, members, change(images[members], factor[:, None, None, None]))
    return images


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply the images by a factor (N, 1, 1, 1)."""
    return (images * factor).clamp(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the difference from the mean of the gray image by a factor (N, 1, 1, 1)."""
    return _blend(images, rgb_to_grayscale(images).mean((1, 2, 3), keepdim=True), factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the difference from the gray image by a factor (N, 1, 1, 1)."""
    return _blend(images, rgb_to_grayscale(images), factor)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Shift the hue of images (N, 3, H, W) by a fraction of the color circle (N, 1, 1, 1)."""
    top, bottom = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    span = top - bottom
    red, green, blue = images.chunk(3, dim=1)
    # Hue of HSV as an angle in sixths of the circle; which formula holds depends on the largest channel. Gray pixels
    # (span 0) have no hue, so their divisor is replaced and their angle set to 0.
    safe = torch.where(span > 0, span, torch.ones_like(span))
    angle = torch.where(top == red, (green - blue) / safe % 6, (red - green) / safe + 4)
    angle = torch.where((top == green) & (top != red), (blue - red) / safe + 2, angle)
    angle = (torch.where(span > 0, angle, torch.zeros_like(angle)) + 6 * shift) % 6
    # closed form of HSV to RGB: channel n is V - V S clamp(min(k, 4 - k), 0, 1) with k = (n + angle) mod 6 and n = 5, 3
    # and 1 for red, green and blue; here V = top and V S = span
    channels = [(offset + angle) % 6 for offset in (5, 3, 1)]
    parts = [top - span * torch.minimum(part, 4 - part).clamp(0, 1) for part in channels]
    return torch.cat(parts, dim=1)


def rgb_to_grayscale(images: Tensor) -> Tensor:
    """Compute the luma of ITU-R BT.601, (N, 1, H, W), from images (N, 3, H, W)."""
    weights = images.new_tensor([0.2989, 0.587, 0.114]).reshape(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def solarize_images(images: Tensor) -> Tensor:
    """Invert all values from 0.5 upward; images are 0 to 1."""
    return torch.where(images >= 0.5, 1 - images, images)


def gaussian_blur(images: Tensor, sigmas: Tensor, radius: int) -> Tensor:
    """Blur images by Gaussians with a different sigma per image; pixels of the edge are repeated, as in Pillow.

    Args:
        images: (N, C, H, W).
        sigmas: (N,), pixels.
        radius: distance from the center of the window to its edge, pixels.
    """
    count, channels, height, width = images.shape
    radius = max(radius, 1)
    steps = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (steps / sigmas[:, None].clamp(min=1e-3)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None, :]
    # Images and channels become the channels of one image: a grouped convolution then applies one kernel to each.
    values = images.reshape(1, count * channels, height, width)
    window = 2 * radius + 1
    # a two-dimensional Gaussian is separable: first along rows, then along columns
    passes = (((-1, 1, 1, window), (radius, radius, 0, 0)), ((-1, 1, window, 1), (0, 0, radius, radius)))
    for shape, pad in passes:
        values = F.conv2d(F.pad(values, pad, mode="replicate"), kernel.reshape(shape), groups=count * channels)
    return values.reshape(images.shape)


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return (images * factor + other * (1 - factor)).clamp(0, 1)


def _select_images(selected: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return torch.where(selected[:, None, None, None], first, second)
