"""The colour part of the two-crop augmentation, a whole batch at once, each image by numbers of its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pretraining.data.counter_rng import BLUR_STREAM, COLOR_STREAM, sample_uniform
from pretraining.recipe import ColorAugmentation

BLUR_SIGMA_RANGE = (0.1, 2.0)
"""Of the blur at 224 pixels."""


def augment_colors(images: Tensor, seeds: Tensor, recipe: ColorAugmentation, view_index: int) -> Tensor:
    """Jitter, grey, blur and solarise, each with its probability, in this order (as MoCo-v3 does).

    Args:
        images: (N, 3, S, S) in 0..1.
        seeds: (N,).
        recipe: strengths and probabilities.
        view_index: 0 or 1: blur and solarise have other probabilities in the two.
    """
    drawn = sample_uniform(seeds, 11, COLOR_STREAM)
    jittered = jitter_colors(images, drawn[:, :4], drawn[:, 4:8].argsort(1), recipe.jitter)
    images = _select_images(drawn[:, 8] < recipe.jitter_p, jittered, images)
    images = _select_images(drawn[:, 9] < recipe.grayscale_p, rgb_to_grayscale(images).expand_as(images), images)
    chance = sample_uniform(seeds, 2, BLUR_STREAM)
    some = (chance[:, 0] < recipe.blur_p[view_index]).nonzero()[:, 0]
    if len(some):
        sigma = (
            (BLUR_SIGMA_RANGE[0] + (BLUR_SIGMA_RANGE[1] - BLUR_SIGMA_RANGE[0]) * chance[some, 1])
            * images.shape[-1]
            / 224
        )
        reach = round(3 * BLUR_SIGMA_RANGE[1] * images.shape[-1] / 224)
        images = images.index_copy(0, some, gaussian_blur(images[some], sigma, reach))
    return _select_images(drawn[:, 10] < recipe.solarize_p[view_index], solarize_images(images), images)


def jitter_colors(images: Tensor, random_values: Tensor, operation_order: Tensor, strengths: list[float]) -> Tensor:
    """Brightness, contrast, saturation and hue, in an order of each image's own (as torchvision's ``ColorJitter``).

    Args:
        images: (N, 3, H, W) in 0..1.
        random_values: (N, 4) in 0..1; factors are spread evenly over 1 -+ strength, for the hue over -+ strength.
        operation_order: (N, 4): which of the four comes first, second ...
        strengths: of the four.
    """
    changes = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
    for turn in range(4):
        for number, change in enumerate(changes):
            members = (operation_order[:, turn] == number).nonzero()[:, 0]
            if len(members) == 0 or strengths[number] == 0:
                continue
            centre = 0.0 if change is adjust_hue else 1.0
            low = centre - strengths[number] if change is adjust_hue else max(0.0, centre - strengths[number])
            factor = low + (centre + strengths[number] - low) * random_values[members, number]
            images = images.index_copy(0, members, change(images[members], factor[:, None, None, None]))
    return images


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Times the factor (N, 1, 1, 1)."""
    return (images * factor).clamp(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Away from (or towards) the mean of the grey image."""
    return _blend(images, rgb_to_grayscale(images).mean((1, 2, 3), keepdim=True), factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Away from (or towards) the grey image."""
    return _blend(images, rgb_to_grayscale(images), factor)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue by a share of the circle (N, 1, 1, 1)."""
    top, bottom = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    span = top - bottom
    red, green, blue = images.chunk(3, dim=1)
    safe = torch.where(span > 0, span, torch.ones_like(span))
    angle = torch.where(top == red, (green - blue) / safe % 6, (red - green) / safe + 4)
    angle = torch.where((top == green) & (top != red), (blue - red) / safe + 2, angle)
    angle = (torch.where(span > 0, angle, torch.zeros_like(angle)) + 6 * shift) % 6
    # a channel falls from the top by the share of the span that its angle is away (the usual closed form of HSV)
    channels = [(number + angle) % 6 for number in (5, 3, 1)]
    parts = [top - span * torch.minimum(place, 4 - place).clamp(0, 1) for place in channels]
    return torch.cat(parts, dim=1)


def rgb_to_grayscale(images: Tensor) -> Tensor:
    """Luma of ITU-R 601, (N, 1, H, W)."""
    weights = images.new_tensor([0.2989, 0.587, 0.114]).reshape(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def solarize_images(images: Tensor) -> Tensor:
    """Invert from the middle on."""
    return torch.where(images >= 0.5, 1 - images, images)


def gaussian_blur(images: Tensor, sigmas: Tensor, radius: int) -> Tensor:
    """Gaussian blur with a sigma (N,) of each image's own, in pixels; edges are reflected.

    ``radius``: pixels from the centre of the window to its edge.
    """
    count, channels, height, width = images.shape
    radius = min(max(radius, 1), min(height, width) - 1)
    steps = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (steps / sigmas[:, None].clamp(min=1e-3)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None, :]
    values = images.reshape(1, count * channels, height, width)
    window = 2 * radius + 1
    passes = (((-1, 1, 1, window), (radius, radius, 0, 0)), ((-1, 1, window, 1), (0, 0, radius, radius)))
    for shape, pad in passes:
        values = F.conv2d(F.pad(values, pad, mode="reflect"), kernel.reshape(shape), groups=count * channels)
    return values.reshape(images.shape)


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return (images * factor + other * (1 - factor)).clamp(0, 1)


def _select_images(selected: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return torch.where(selected[:, None, None, None], first, second)
