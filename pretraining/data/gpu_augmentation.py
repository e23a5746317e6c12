"""The last steps of the input, on the device and a whole batch at once: crop, flip, colours, normalisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from pretraining.data.color_jitter import colour
from pretraining.data.crops import boxes, cut, flips
from pretraining.data.readers import Pool
from pretraining.recipe import Colours, PretrainRecipe

VIEW = 1 << 32
"""Added to a seed for each further view of an image."""


class Feed(BaseDataPreprocessor):
    """Makes ``images`` (N, 3, S, S), normalised, and ``seeds`` of a loader's batch; with two views ``others`` too.

    Args:
        pool: its images are moved to the device once, where they are in memory.
        recipe: gives scale and flip.
        size: S.
        mean, std: of the card, per channel, for pixels in 0..1.
        colours: of the two-view augmentation; ``None``: one view, no colours.
    """

    def __init__(
        self,
        pool: Pool,
        recipe: PretrainRecipe,
        size: int,
        mean: Sequence[float],
        std: Sequence[float],
        colours: Colours | None = None,
    ) -> None:
        super().__init__()
        # a plain attribute, so that a checkpoint does not hold the data
        self.pixels = None if pool.pixels is None else torch.from_numpy(pool.pixels).permute(0, 3, 1, 2).contiguous()
        self.recipe = recipe
        self.size = size
        self.colours = colours
        self.register_buffer("mean", 255 * torch.tensor(mean).reshape(3, 1, 1), persistent=False)
        self.register_buffer("scale", 1 / (255 * torch.tensor(std).reshape(3, 1, 1)), persistent=False)

    @torch.no_grad()
    def forward(self, data: Mapping[str, Any], training: bool = False) -> dict[str, Tensor]:
        """A loader's batch (of ``MemoryItems`` or ``FileItems``) as input of a method."""
        device = self.mean.device
        seeds = data["seeds"].to(device, non_blocking=True)
        with torch.autocast(device.type, enabled=False):
            views = [self._view(data, seeds, number) for number in range(1 if self.colours is None else 2)]
        return {"images": views[0], "seeds": seeds} | ({"others": views[1]} if len(views) > 1 else {})

    def _view(self, data: Mapping[str, Any], seeds: Tensor, number: int) -> Tensor:
        device = self.mean.device
        own = seeds + number * VIEW
        mirrored = flips(own, self.recipe.flip)
        if self.pixels is None:
            images = data["crops"][:, number].to(device, non_blocking=True).float()
            images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        else:
            if self.pixels.device != device:
                self.pixels = self.pixels.to(device)
            images = self.pixels[data["item"].to(device)]
            low, high = self.recipe.scale
            images = cut(images, boxes(own, images.shape[2], images.shape[3], (low, high)), mirrored, self.size)
        if self.colours is not None:
            images = 255 * colour(images / 255, own, self.colours, number)
        return self.normalised(images)

    def normalised(self, images: Tensor) -> Tensor:
        """Pixels in 0..255 as input."""
        found: Tensor = (images - self.mean) * self.scale
        return found

    def shown(self, images: Tensor) -> Tensor:
        """Input as pixels, uint8."""
        found: Tensor = (images / self.scale + self.mean).round().clamp(0, 255).to(torch.uint8)
        return found
