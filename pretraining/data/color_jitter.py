"""The colour part of the two-crop augmentation, a whole batch at once, each image by numbers of its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pretraining.data.counter_rng import BLUR, COLOUR, uniform
from pretraining.recipe import Colours

SIGMA = (0.1, 2.0)
"""Of the blur at 224 pixels."""


def colour(images: Tensor, seeds: Tensor, recipe: Colours, view: int) -> Tensor:
    """Jitter, grey, blur and solarise, each with its probability, in this order (as MoCo-v3 does).

    Args:
        images: (N, 3, S, S) in 0..1.
        seeds: (N,).
        recipe: strengths and probabilities.
        view: 0 or 1: blur and solarise have other probabilities in the two.
    """
    drawn = uniform(seeds, 11, COLOUR)
    jittered = jitter(images, drawn[:, :4], drawn[:, 4:8].argsort(1), recipe.jitter)
    images = _where(drawn[:, 8] < recipe.jitter_p, jittered, images)
    images = _where(drawn[:, 9] < recipe.grey, grey(images).expand_as(images), images)
    chance = uniform(seeds, 2, BLUR)
    some = (chance[:, 0] < recipe.blur[view]).nonzero()[:, 0]
    if len(some):
        sigma = (SIGMA[0] + (SIGMA[1] - SIGMA[0]) * chance[some, 1]) * images.shape[-1] / 224
        reach = round(3 * SIGMA[1] * images.shape[-1] / 224)
        images = images.index_copy(0, some, blur(images[some], sigma, reach))
    return _where(drawn[:, 10] < recipe.solarise[view], solarise(images), images)


def jitter(images: Tensor, drawn: Tensor, turns: Tensor, strength: list[float]) -> Tensor:
    """Brightness, contrast, saturation and hue, in an order of each image's own (as torchvision's ``ColorJitter``).

    Args:
        images: (N, 3, H, W) in 0..1.
        drawn: (N, 4) in 0..1; factors are spread evenly over 1 -+ strength, for the hue over -+ strength.
        turns: (N, 4): which of the four comes first, second ...
        strength: of the four.
    """
    changes = (brightness, contrast, saturation, hue)
    for turn in range(4):
        for number, change in enumerate(changes):
            members = (turns[:, turn] == number).nonzero()[:, 0]
            if len(members) == 0 or strength[number] == 0:
                continue
            centre = 0.0 if change is hue else 1.0
            low = centre - strength[number] if change is hue else max(0.0, centre - strength[number])
            factor = low + (centre + strength[number] - low) * drawn[members, number]
            images = images.index_copy(0, members, change(images[members], factor[:, None, None, None]))
    return images


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Times the factor (N, 1, 1, 1)."""
    return (images * factor).clamp(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Away from (or towards) the mean of the grey image."""
    return _blend(images, grey(images).mean((1, 2, 3), keepdim=True), factor)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Away from (or towards) the grey image."""
    return _blend(images, grey(images), factor)


def hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by a share of the circle (N, 1, 1, 1)."""
    top, bottom = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    span = top - bottom
    red, green, blue = images.chunk(3, dim=1)
    safe = torch.where(span > 0, span, torch.ones_like(span))
    angle = torch.where(top == red, (green - blue) / safe % 6, (red - green) / safe + 4)
    angle = torch.where((top == green) & (top != red), (blue - red) / safe + 2, angle)
    angle = (torch.where(span > 0, angle, torch.zeros_like(angle)) + 6 * turn) % 6
    # a channel falls from the top by the share of the span that its angle is away (the usual closed form of HSV)
    channels = [(number + angle) % 6 for number in (5, 3, 1)]
    parts = [top - span * torch.minimum(place, 4 - place).clamp(0, 1) for place in channels]
    return torch.cat(parts, dim=1)


def grey(images: Tensor) -> Tensor:
    """Luma of ITU-R 601, (N, 1, H, W)."""
    weights = images.new_tensor([0.2989, 0.587, 0.114]).reshape(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def solarise(images: Tensor) -> Tensor:
    """Invert from the middle on."""
    return torch.where(images >= 0.5, 1 - images, images)


def blur(images: Tensor, sigma: Tensor, reach: int) -> Tensor:
    """Gaussian blur with a sigma (N,) of each image's own, in pixels; edges are reflected.

    ``reach``: pixels from the centre of the window to its edge.
    """
    count, channels, height, width = images.shape
    reach = min(max(reach, 1), min(height, width) - 1)
    steps = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (steps / sigma[:, None].clamp(min=1e-3)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None, :]
    values = images.reshape(1, count * channels, height, width)
    window = 2 * reach + 1
    passes = (((-1, 1, 1, window), (reach, reach, 0, 0)), ((-1, 1, window, 1), (0, 0, reach, reach)))
    for shape, pad in passes:
        values = F.conv2d(F.pad(values, pad, mode="reflect"), kernel.reshape(shape), groups=count * channels)
    return values.reshape(images.shape)


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return (images * factor + other * (1 - factor)).clamp(0, 1)


def _where(chosen: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return torch.where(chosen[:, None, None, None], first, second)
